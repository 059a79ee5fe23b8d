//! Containers that are to have no network.

use backend_core::RunOptions;

use crate::support::{Jobs, shared_engine};

/// Prints the devices, the routes, and what came through a connection to a
/// name of this machine's own.
const SCRIPT: &[u8] = b"#!/bin/sh
ls /sys/class/net
tail -n +2 /proc/net/route
/bin/busybox nc -l -p 4321 -e /bin/echo came &
until grep -q :10E1 /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done
/bin/busybox nc localhost 4321 </dev/null
";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_there_is_this_machine_by_its_name_and_nothing_else() {
    let Some(engine) = shared_engine() else {
        return;
    };
    // Made by the runtime, and in each way that the engine has to make it.
    for option in [
        ("read-only", "false"),
        ("read-only", "true"),
        ("user", "65534"),
        ("cap-drop", "ALL"),
    ] {
        let jobs = Jobs::at(&engine, &[option]);
        let instance = jobs.start().await.unwrap();
        instance.upload_script(SCRIPT).await.unwrap();
        let mut output = Vec::new();
        let options = RunOptions::default();
        let result = instance.run_script(&options, &mut output).await.unwrap();
        let output = String::from_utf8_lossy(&output).into_owned();
        assert_eq!(output, "lo\ncame\n", "{option:?}: {result:?}");
        instance.stop().await.unwrap();
        jobs.nothing_left_at(&engine).await;
    }
}
