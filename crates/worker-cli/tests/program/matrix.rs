//! `worker matrix`: one table, where outputs first differ, and the status.

use crate::common::Place;

fn matrix(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let output = place
        .worker()
        .args(["matrix", "-b", "local", "-b", "fake"])
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    // Times differ from run to run.
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [backend @ ("local" | "fake"), exit, _, bytes, hash] => {
                format!("{backend} {exit} {bytes} {hash}")
            }
            _ => line.to_owned(),
        }
    });
    let lines: Vec<_> = lines.collect();
    (output.status.code(), lines.join("\n"))
}

#[test]
fn what_is_alike_is_a_success() {
    let place = Place::new();
    let alike = ["-o", "fake.log-output=same\n", "-c", "echo same"];
    let (status, text) = matrix(&place, &alike);
    assert_eq!(status, Some(0), "{text}");
    insta::assert_snapshot!(text, @"
    BACKEND  EXIT  TIME  BYTES  SHA-256
    local 0 5 a6328afc76e9db71
    fake 0 5 a6328afc76e9db71
    ");
    place.assert_clean();
}

#[test]
fn a_difference_is_shown_where_it_begins() {
    let place = Place::new();
    let options = [
        "-o",
        "fake.log-output=same\nthat\n",
        "-o",
        "fake.exit-code=3",
    ];
    let (status, text) = matrix(
        &place,
        &[&options[..], &["-c", "echo same; echo this"]].concat(),
    );
    assert_eq!(status, Some(1));
    insta::assert_snapshot!(text, @r#"
    BACKEND  EXIT  TIME  BYTES  SHA-256
    local 0 10 e16917e6c1a3e8b5
    fake 3 10 41f149dd1a96c9e9

    `local` and `fake` differ at byte 7, in line 2:
      local  "this\n"
      fake   "that\n"
    "#);
    place.assert_clean();
}

#[test]
fn one_that_never_begins_is_told() {
    let place = Place::new();
    let (status, text) = matrix(&place, &["-o", "fake.error=no machines", "-c", "true"]);
    assert_eq!(status, Some(1));
    let text = text.split("`w-").next().unwrap_or_default().to_owned();
    insta::assert_snapshot!(text, @"
    BACKEND  EXIT           TIME  BYTES  SHA-256
    local 0 0 e3b0c44298fc1c14
    fake never-started 0 e3b0c44298fc1c14
    error: on backend `fake` the script never began
    caused by: failed to start an instance
    ");
}

#[test]
fn an_option_is_for_one_of_the_backends() {
    let place = Place::new();
    let (status, text) = matrix(&place, &["-o", "exit-code=3", "-c", "true"]);
    assert_eq!(status, Some(125));
    insta::assert_snapshot!(text, @"
    error: the option `exit-code` is for none of the chosen backends
    hint: write -o ALIAS.KEY=VALUE, with the alias of one that -b names
    ");
}
