//! A clock that steps while a job runs: limits hold all the same.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::Case;
use crate::place::{Begun, Place, Script};

pub(crate) const CASES: &[Case] = &[
    ("clock_steps_forwards", |place| steps(place, LATER)),
    ("clock_steps_backwards", |place| steps(place, "-1d")),
];

/// Far beyond every limit, and short of every expiry.
pub(crate) const LATER: &str = "+23h";

const WAITS: Script = Script {
    text: "echo begun; sleep 2; exit 3",
    fake: &[
        ("log-output", "begun\n"),
        ("run-sleep", "2s"),
        ("exit-code", "3"),
    ],
};

const HANGS: Script = Script {
    text: "echo begun; sleep 600",
    fake: &[("log-output", "begun\n"), ("run-hang", "true")],
};

/// What to put before a program for it to run later, if this machine can.
pub(crate) fn later() -> Option<Vec<String>> {
    let words = testbed::at_another_time(LATER);
    if words.is_none() {
        testbed::missing("faketime", "it is not installed");
    }
    words
}

fn steps(place: &Place, step: &str) {
    if later().is_none() {
        return;
    }
    // A limit of an hour must not be reached for the step's sake.
    let (code, _) = run(
        place,
        &WAITS,
        step,
        &["--hard-timeout", "1h", "--silence-timeout", "50m"],
    );
    assert_eq!(code, Some(3));
    let result = place.result();
    assert_eq!(result["ended_by"], "script", "{result:#}");
    let took = result["durations"]["run_ms"].as_u64().unwrap();
    assert!((1_500..60_000).contains(&took), "it took {took} ms");
    // And one of two seconds must be reached all the same.
    let (code, took) = run(place, &HANGS, step, &["--hard-timeout", "2s"]);
    assert_eq!(code, Some(124));
    assert!(took < Duration::from_secs(40), "it took {took:?}");
    place.assert_clean();
}

/// Runs a job in which the worker's clock steps once its script has begun.
fn run(place: &Place, script: &Script, step: &str, arguments: &[&str]) -> (Option<i32>, Duration) {
    let stamp = place.path("clock");
    std::fs::write(&stamp, "+0").unwrap();
    let arguments = [&["--log-format", "json"], arguments].concat();
    let mut run = place.run(script, &arguments);
    run.env("LD_PRELOAD", testbed::faketime_library().unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", &stamp)
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let since = Instant::now();
    let mut begun = Begun::of(&mut run);
    std::fs::write(&stamp, step).unwrap();
    let (code, _) = begun.ended();
    let took = since.elapsed();
    // The worker's own clock has really stepped.
    let said = begun.said();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let theirs = humantime::parse_rfc3339(last["timestamp"].as_str().unwrap()).unwrap();
    let ours = SystemTime::now();
    let apart = theirs
        .duration_since(ours)
        .or_else(|_| ours.duration_since(theirs));
    assert!(apart.unwrap() > Duration::from_hours(12), "{said}");
    (code, took)
}
