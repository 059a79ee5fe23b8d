#!/usr/bin/env python3
"""Hands out machines over SSH (worker/1). Put your cloud into `create`, `delete`.
Usage: machines.py PORT MACHINE.json   (with host, port, user, host_key)"""
import json, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MACHINE = json.load(open(sys.argv[2]))
HAS = {"executes-scripts", "signals", "found-by-others", "resumes", "lists-processes",
       "reports-leftovers", "private-files"}  # what a job over SSH can do
instances, lock = {}, threading.Lock()

def create(name):
    return {"kind": "ssh", **MACHINE}

def delete(name):
    print("deleted", name, flush=True)
def shown(name, it):
    return {"id": name, "state": "ready", "rev": 1, "connect": it["connect"],
            "remaining_s": int(it["until"] - time.monotonic()),
            "labels": it["asked"].get("labels", {})}

def expire():
    while True:
        time.sleep(0.5)
        with lock:
            for name in [n for n, it in instances.items() if it["until"] < time.monotonic()]:
                instances.pop(name)
                delete(name)

class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=None, kind="application/json"):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def problem(self, status, code):
        self.answer(status, {"type": "urn:worker:problem:" + code, "status": status},
                    "application/problem+json")

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.split("?")[0].strip("/").split("/")
        with lock:
            if parts == ["v1"]:
                return self.answer(200, {"api": "worker/1", "server": {"name": "machines"}})
            if parts == ["v1", "instances"]:
                return self.answer(200, {"items": [shown(*pair) for pair in instances.items()]})
            if parts[:2] != ["v1", "instances"]:
                return self.problem(404, "no-route")
            name, rest, it = parts[2], parts[3:], instances.get(parts[2])
            if self.command == "DELETE":
                if instances.pop(name, None):
                    delete(name)
                return self.answer(204)
            if self.command == "PUT" and not rest:
                asked = json.loads(body)
                if set(asked.get("require", [])) - HAS:
                    return self.problem(422, "requirement")
                if it and it["asked"] != asked:
                    return self.problem(409, "conflict")
                if not it:
                    until = time.monotonic() + asked.get("lease_s", 60)
                    it = instances[name] = {"asked": asked, "until": until, "connect": create(name)}
                return self.answer(201, shown(name, it))
            if not it:
                return self.problem(404, "not-found")
            if rest == ["lease"]:
                it["until"] = time.monotonic() + json.loads(body)["ttl_s"]
            self.answer(200, shown(name, it))

    do_GET = do_PUT = do_DELETE = handle_any

threading.Thread(target=expire, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
