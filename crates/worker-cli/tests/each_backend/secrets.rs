//! A secret reaches the script and nobody else.

use crate::Case;
use crate::place::{Place, Script};

pub(crate) const CASES: &[Case] = &[
    ("secret_in_all_forms", all_forms),
    ("secret_in_what_fails", in_what_fails),
    ("secret_in_two_writes", in_two_writes),
];

const SECRET: &str = "hunter22/hunter22 \"22\"";
/// `printf %s "$SECRET" | base64`, without what depends on what follows it.
const BASE64: &str = "aHVudGVyMjIvaHVudGVyMjIgIjIyI";

const PRINTS: Script = Script {
    text: "printf %s \"$TOKEN\" | wc -c; echo \"<$TOKEN>\"; echo \"$TOKEN$TOKEN\"; printf %s \"$TOKEN\" | base64",
    fake: &[(
        "log-output",
        "22\n<hunter22/hunter22 \"22\">\nhunter22/hunter22 \"22\"hunter22/hunter22 \"22\"\naHVudGVyMjIvaHVudGVyMjIgIjIyIg==\n",
    )],
};

const IN_TWO: Script = Script {
    text: "printf 'a hunter22/hun'; sleep 1; printf 'ter22 \"22\" b'; printf ' hunter22/'",
    fake: &[
        ("log-output", "a hunter22/hunter22 \"22\" b hunter22/"),
        ("output-chunk", "14"),
        ("output-rate", "14"),
    ],
};

const FAILS: Script = Script {
    text: "exit 3",
    fake: &[("start-failures", "2"), ("exit-code", "3")],
};

/// Runs with the secret, as chatty as can be, and gives the output; nowhere in
/// all that is said and written may the secret be.
fn run(place: &Place, script: &Script, arguments: &[&str]) -> (Option<i32>, String) {
    let output = place
        .run(
            script,
            &["-vvv", "--log-format", "json", "--secret-env", "TOKEN"],
        )
        .args(["--events", "events.jsonl"])
        .args(arguments)
        .env("TOKEN", SECRET)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut all = printed.clone() + &String::from_utf8(output.stderr).unwrap();
    for file in ["result.json", "events.jsonl"] {
        all += &std::fs::read_to_string(place.path(file)).unwrap_or_default();
    }
    for form in [
        SECRET,
        &SECRET.replace('"', "\\\""),
        "hunter22/hunter22",
        BASE64,
    ] {
        assert!(!all.contains(form), "{form:?} is in {all}");
    }
    (output.status.code(), printed)
}

fn all_forms(place: &Place) {
    let (code, printed) = run(place, &PRINTS, &[]);
    assert_eq!(code, Some(0), "{printed}");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0].trim(), "22", "{printed}");
    assert_eq!(lines[1..3], ["<***>", "******"], "{printed}");
    assert!(lines[3].starts_with("***"), "{printed}");
    place.assert_clean();
}

fn in_two_writes(place: &Place) {
    let (code, printed) = run(place, &IN_TWO, &[]);
    assert_eq!((code, printed.as_str()), (Some(0), "a *** b hunter22/"));
    place.assert_clean();
}

/// In a job's name, an image, an option and its value: in no error.
fn in_what_fails(place: &Place) {
    let name = format!("job {SECRET}");
    let (code, _) = run(place, &FAILS, &["--job", &name]);
    assert_eq!(code, Some(3));
    for arguments in [
        ["--image", SECRET],
        ["-o", &format!("{SECRET}=1")],
        ["-o", &format!("no-such-option={SECRET}")],
        ["-o", &format!("exit-code={SECRET}")],
    ] {
        let (code, _) = run(place, &FAILS, &arguments);
        assert_eq!(code, Some(125), "{arguments:?}");
    }
    place.assert_clean();
}
