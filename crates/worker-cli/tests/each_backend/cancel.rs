//! INT once and twice, TERM, HUP, and a reader that goes away.

use std::process::Stdio;
use std::time::Duration;

use crate::Case;
use crate::place::{Begun, Place, Script, ended, send};

pub(crate) const CASES: &[Case] = &[
    ("interrupt_once", |p| once(p, "INT", 130, "interrupt")),
    ("terminate_once", |p| once(p, "TERM", 143, "terminate")),
    ("hang_up_once", |p| once(p, "HUP", 129, "hang-up")),
    ("interrupt_twice", |p| twice(p, "INT", "INT", 130)),
    ("terminate_and_interrupt", |p| twice(p, "TERM", "INT", 143)),
    ("interrupt_at_any_time", at_any_time),
    ("reader_of_much_goes", |p| reader_goes(p, &PRINTS)),
    ("reader_of_nothing_goes", |p| reader_goes(p, &SILENT)),
    ("interrupt_during_the_drain", during_the_drain),
];

/// Has the last word when it is terminated.
const CATCHES: Script = Script {
    text: "trap 'echo bye; exit 99' TERM; echo begun; while :; do sleep 0.1; done",
    fake: &[
        ("log-output", "begun\n"),
        ("run-hang", "true"),
        ("term-output", "bye\n"),
        ("term-exit-code", "99"),
    ],
};

const DEAF: Script = Script {
    text: "trap '' TERM INT HUP; echo begun; while :; do sleep 0.1; done",
    fake: &[
        ("log-output", "begun\n"),
        ("run-hang", "true"),
        ("ignore-term", "true"),
    ],
};

const PRINTS: Script = Script {
    text: "echo begun; while :; do echo more; sleep 0.05; done",
    fake: &[
        ("log-output", "begun\n"),
        ("output-size", "100M"),
        ("output-chunk", "6"),
        ("output-rate", "600"),
    ],
};

const SILENT: Script = Script {
    text: "echo begun; sleep 600",
    fake: &[("log-output", "begun\n"), ("run-hang", "true")],
};

/// Exits with a child behind it that holds the output open.
const DRAINS: Script = Script {
    text: "sleep 600 & echo begun; exit 5",
    fake: &[
        ("log-output", "begun\n"),
        ("exit-code", "5"),
        ("leftover", "sleep 600"),
        ("leftover-duration", "10m"),
    ],
};

fn once(place: &Place, signal: &str, status: i32, cause: &str) {
    let mut begun = Begun::of(&mut place.run(&CATCHES, &["--grace", "30s"]));
    begun.send(signal);
    let (code, rest) = begun.ended();
    // A shell may report on its own child before it comes to the trap.
    assert!(rest.ends_with("bye\n"), "{rest:?}");
    assert_eq!(code, Some(status));
    let result = place.result();
    assert_eq!(
        (&result["ended_by"], &result["cancelled_by"]),
        (&"cancel".into(), &cause.into())
    );
    assert_eq!(result["exit_code"], 99, "{result:#}");
    assert_eq!(result["output_complete"], true);
    place.assert_clean();
}

fn twice(place: &Place, first: &str, second: &str, status: i32) {
    let mut begun = Begun::of(&mut place.run(&DEAF, &["--grace", "1h"]));
    begun.send(first);
    // The first is heard once TERM was sent; the second must not wait an hour.
    begun.says("sent SIGTERM");
    begun.send(second);
    assert_eq!(begun.ended().0, Some(status));
    let result = place.result();
    let outcome = &result["outcome"];
    assert!(
        outcome["signal"] == 9 || outcome["maybe_signal"] == 9,
        "{result:#}"
    );
    place.assert_clean();
}

/// Whatever is under way, one status comes of it, and nothing is left.
fn at_any_time(place: &Place) {
    for milliseconds in [0, 2, 5, 10, 20, 40, 80, 160, 320] {
        let mut run = place.run(&SILENT, &["--quiet", "--grace", "5s"]);
        let mut child = run.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        send(&child, "INT");
        // Before it listens, INT ends it as it ends any program.
        let code = ended(&mut child);
        assert!(
            code == Some(130) || code.is_none(),
            "{milliseconds} ms: {code:?}"
        );
        if code.is_some() {
            let result = place.result();
            assert_eq!(result["ended_by"], "cancel", "{result:#}");
            assert_ne!(result["exit_code"], 0);
        }
        place.assert_clean();
    }
}

fn reader_goes(place: &Place, script: &Script) {
    let mut begun = Begun::of(&mut place.run(script, &["--grace", "5s"]));
    begun.close();
    assert_eq!(begun.ended().0, Some(141));
    let result = place.result();
    assert_eq!(result["cancelled_by"], "output-closed", "{result:#}");
    assert_ne!(result["exit_code"], 0);
    place.assert_clean();
}

/// The script has ended: its own verdict stays, and the wait is over.
fn during_the_drain(place: &Place) {
    let mut begun = Begun::of(&mut place.run(&DRAINS, &["--grace", "5s"]));
    // Until the script has ended and the drain has begun, which nobody tells.
    std::thread::sleep(Duration::from_secs(2));
    begun.send("INT");
    let (code, _) = begun.ended();
    let result = place.result();
    // Where everything ends with the script, there was no drain to cancel.
    assert!(code == Some(5) || code == Some(130), "{code:?}");
    assert_eq!(result["exit_code"], 5, "{result:#}");
    place.assert_clean();
}
