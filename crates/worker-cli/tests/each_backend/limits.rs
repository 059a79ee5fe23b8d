//! Each limit, at its border, and what it says of itself.

use crate::Case;
use crate::place::{Place, Script};

pub(crate) const CASES: &[Case] = &[
    ("hard_limit", hard),
    ("silence_limit", silence),
    ("bytes_without_newlines_are_no_silence", no_silence),
    ("output_limit_stops", output_stops),
    ("output_limit_truncates", output_truncates),
    ("end_and_hard_limit_at_once", at_once),
    ("profile_ci", profile),
];

const HANGS: Script = Script {
    text: "echo begun; sleep 600",
    fake: &[("log-output", "begun\n"), ("run-hang", "true")],
};

const DEAF: Script = Script {
    text: "trap '' TERM; echo begun; while :; do sleep 0.1; done",
    fake: &[
        ("log-output", "begun\n"),
        ("run-hang", "true"),
        ("ignore-term", "true"),
    ],
};

/// A byte a second, for seven seconds.
const DRIPS: Script = Script {
    text: "for i in 1 2 3 4 5 6 7; do printf .; sleep 1; done; exit 4",
    fake: &[
        ("log-output", "......."),
        ("output-chunk", "1"),
        ("output-rate", "1"),
        ("exit-code", "4"),
    ],
};

/// More than there may be, in characters of three bytes, and then an exit.
const FLOODS: Script = Script {
    text: "for i in 1 2 3 4 5 6 7 8 9 10; do printf '\\342\\202\\254\\342\\202\\254'; done; exit 6",
    fake: &[("log-output", "€€€€€€€€€€€€€€€€€€€€"), ("exit-code", "6")],
};

const SECOND: Script = Script {
    text: "sleep 1; exit 3",
    fake: &[("run-sleep", "1s"), ("exit-code", "3")],
};

fn limited(place: &Place, script: &Script, arguments: &[&str], limit: &str) -> Vec<u8> {
    let output = place.output(script, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains(&format!("the {limit} limit")), "{said}");
    let result = place.result();
    assert_eq!(result["limit"], limit, "{result:#}");
    assert_ne!(result["exit_code"], 0);
    place.assert_clean();
    output.stdout
}

fn hard(place: &Place) {
    let output = limited(place, &HANGS, &["--hard-timeout", "3s"], "hard");
    assert_eq!(output, b"begun\n");
    assert_eq!(place.result()["ended_by"], "timeout");
    // One that does not listen to TERM.
    let arguments = ["--hard-timeout", "3s", "--grace", "1s"];
    limited(place, &DEAF, &arguments, "hard");
    let outcome = &place.result()["outcome"];
    assert!(
        outcome["signal"] == 9 || outcome["maybe_signal"] == 9,
        "{outcome}"
    );
}

fn silence(place: &Place) {
    let arguments = ["--silence-timeout", "1s"];
    limited(place, &HANGS, &arguments, "silence");
}

fn no_silence(place: &Place) {
    // Far longer than the pauses, and shorter than all of it together.
    let output = place.output(&DRIPS, &["--silence-timeout", "5s"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(output.stdout, b".......");
    place.assert_clean();
}

fn output_stops(place: &Place) {
    let output = limited(place, &FLOODS, &["--max-output", "10"], "output");
    assert_eq!(output, "€€€".as_bytes());
    let result = place.result();
    assert_eq!(
        (&result["ended_by"], &result["output_truncated"]),
        (&"output-limit".into(), &true.into())
    );
    assert_eq!(result["output_bytes"], 9);
}

fn output_truncates(place: &Place) {
    let arguments = ["--max-output", "10", "--on-max-output", "truncate"];
    let output = place.output(&FLOODS, &arguments);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert_eq!(output.stdout, "€€€".as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the output is cut after 9 bytes"), "{said}");
    let result = place.result();
    assert_eq!(
        (&result["output_truncated"], &result["output_complete"]),
        (&true.into(), &true.into())
    );
    place.assert_clean();
}

/// Whichever comes first, it is one of the two, and the status says the same.
fn at_once(place: &Place) {
    for _ in 0..3 {
        let output = place.output(&SECOND, &["--hard-timeout", "1s"]);
        let result = place.result();
        match output.status.code() {
            Some(3) => {
                assert_eq!(result["ended_by"], "script", "{result:#}");
                assert_eq!(result["exit_code"], 3);
            }
            Some(124) => assert_eq!(result["limit"], "hard", "{result:#}"),
            other => assert_eq!(other, None, "{result:#}"),
        }
    }
    place.assert_clean();
}

/// The limits of a job stand over those of the profile.
fn profile(place: &Place) {
    let arguments = ["--profile", "ci", "--hard-timeout", "11m"];
    let output = place.output(&SECOND, &arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let arguments = ["--profile", "ci", "--max-output", "10"];
    limited(place, &FLOODS, &arguments, "output");
    let arguments = ["--profile", "ci", "--silence-timeout", "1s"];
    limited(place, &HANGS, &arguments, "silence");
}
