# Runs jobs with SWE-ReX (PyPI: swe-rex) on this machine: a deployment that is
# up, and for each job a new session. Asked as `benches/holder.rs` of worker-cli.

import asyncio
import json
import resource
import sys
import time

from swerex.deployment.local import LocalDeployment
from swerex.runtime.abstract import BashAction, CloseBashSessionRequest, CreateBashSessionRequest


async def job(runtime, name, script):
    await runtime.create_session(CreateBashSessionRequest(session=name))
    action = BashAction(session=name, command=f"/bin/sh {script}", timeout=60)
    observation = await runtime.run_in_session(action)
    assert observation.exit_code == 0, observation
    await runtime.close_session(CloseBashSessionRequest(session=name))


async def main():
    deployment = LocalDeployment()
    await deployment.start()
    number = 0
    for line in sys.stdin:
        _, count, _, script = line.split(" ", 3)
        began = time.monotonic()
        for _ in range(int(count)):
            number += 1
            await job(deployment.runtime, f"s{number}", script.strip())
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answer = {
            "seconds": time.monotonic() - began,
            "first_bytes": [],
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss * 1024,
        }
        print(json.dumps(answer), flush=True)
    await deployment.stop()


asyncio.run(main())
