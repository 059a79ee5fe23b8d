//! The script: any bytes, run by its first line.

use backend_core::{Environment, ErrorKind, RunOptions};

use crate::support::{Fixture, exited, hexadecimal};

#[tokio::test]
async fn first_lines_are_honoured() {
    let fixture = Fixture::new();
    let python = "#!/usr/bin/env python3\nprint('py')\n";
    for (script, expected) in [
        ("echo plain", "plain\n"),
        ("#!/bin/sh\necho sh", "sh\n"),
        ("#!/bin/bash\necho ${BASH_VERSION:+bash}", "bash\n"),
        ("#!/bin/cat\nitself", "#!/bin/cat\nitself"),
        ("#!/bin/echo -n  two  words \n", "-n  two  words "),
        ("", ""),
    ] {
        let output = fixture.output(script).await;
        let output = output
            .split(fixture.base().to_str().unwrap())
            .next()
            .unwrap();
        assert_eq!(output, expected, "{script}");
    }
    let mut environment = Environment::new();
    environment
        .set("PATH", std::env::var("PATH").unwrap())
        .unwrap();
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let (result, output) = fixture.run_with(python, &options).await;
    assert_eq!(
        (result.outcome, output.as_slice()),
        (exited(0), &b"py\n"[..])
    );
}

#[tokio::test]
async fn an_interpreter_that_cannot_run_is_said_by_the_shell() {
    let fixture = Fixture::new();
    let plain = fixture.outer().join("plain");
    std::fs::write(&plain, "").unwrap();
    for (line, code) in [
        ("#!/no/such/thing".to_owned(), 127),
        ("#!/bin/sh\r".to_owned(), 127),
        ("#!no-such-thing".to_owned(), 127),
        (format!("#!{}", plain.display()), 126),
        ("#!/tmp".to_owned(), 126),
        ("#!/dev/null/x".to_owned(), 127),
    ] {
        let (result, output) = fixture.run(format!("{line}\necho never\n")).await;
        let output = String::from_utf8_lossy(&output);
        // Shells differ on what is 126 and what 127 if it is there.
        let right =
            result.outcome == exited(code) || (code == 126 && result.outcome == exited(127));
        assert!(right, "{line}: {} {output}", result.outcome);
        assert!(
            output.lines().count() == 1 && !output.contains("never"),
            "{line}: {output}"
        );
    }
}

#[tokio::test]
async fn any_bytes_are_stored_as_they_are() {
    let fixture = Fixture::new();
    for length in [1, (64 << 10) - 1, (1 << 20) + 1, 32 << 20] {
        let mut script = b"#!/usr/bin/sha256sum\n\xef\xbb\xbf\0\xff\r\n".to_vec();
        script.extend(
            (0_u64..)
                .map(|n| (n.wrapping_mul(6_364_136_223_846_793_005) >> 56) as u8)
                .take(length),
        );
        let expected: String = {
            use sha2::{Digest, Sha256};
            hexadecimal(&Sha256::digest(&script))
        };
        let output = fixture.output(&script).await;
        assert_eq!(output.split(' ').next().unwrap(), expected, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_at_once_do_not_meet() {
    let fixture = Fixture::new();
    for _ in 0..4 {
        let runs = (0..32).map(|number| {
            let fixture = &fixture;
            async move {
                let script = format!("#!/bin/sh\npwd > own; cat own; echo {number} > n; cat n");
                let output = fixture.output(script).await;
                let (directory, rest) = output.split_once('\n').unwrap();
                assert_eq!(rest, format!("{number}\n"));
                directory.to_owned()
            }
        });
        let mut directories = futures_util::future::join_all(runs).await;
        directories.sort();
        directories.dedup();
        assert_eq!(directories.len(), 32);
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn values_pass_unchanged_and_what_is_too_large_never_begins() {
    let fixture = Fixture::new();
    let values = ["$HOME `id` 'a' \"b\" \\ \\n", "a\n\nb\n\n", "", "😀 ß"];
    let long = "x".repeat(131_069);
    for value in values.into_iter().chain([long.as_str()]) {
        let mut environment = Environment::new();
        environment.set("X", value).unwrap();
        let options = RunOptions {
            environment,
            ..RunOptions::default()
        };
        let (_, output) = fixture.run_with("printf %s \"$X\"", &options).await;
        assert_eq!(String::from_utf8(output).unwrap(), value);
    }

    let mut environment = Environment::new();
    for number in 0..40 {
        environment
            .set(format!("X{number}"), "x".repeat(100_000))
            .unwrap();
    }
    let instance = fixture.uploaded("echo began").await;
    let mut output = Vec::new();
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let error = instance
        .run_script(&options, &mut output)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = backend_core::Chain(&error).to_string();
    assert!(text.contains("too large") && text.contains("40"), "{text}");
    // It never began, so a run with less may.
    let result = instance
        .run_script(&RunOptions::default(), &mut output)
        .await
        .unwrap();
    assert_eq!(
        (result.outcome, output.as_slice()),
        (exited(0), &b"began\n"[..])
    );
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn the_marker_cannot_be_replaced() {
    let fixture = Fixture::new();
    let mut environment = Environment::new();
    environment.set("WORKER_INSTANCE_ID", "other").unwrap();
    let options = RunOptions {
        environment,
        ..RunOptions::default()
    };
    let instance = fixture.uploaded("").await;
    let error = instance
        .run_script(&options, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    instance.stop().await.unwrap();
}
