//! The output of a script: whole, in order, and never a reason to hang.

use std::io;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backend_core::{OutputSink, RunOptions};
use sha2::{Digest, Sha256};

use crate::support::{Fixture, exited, hexadecimal, window};

#[derive(Default)]
struct Odd {
    pause: Option<Duration>,
    fails_after: Option<u64>,
    taken: u64,
}

#[async_trait]
impl OutputSink for Odd {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.fails_after.is_some_and(|limit| self.taken >= limit) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.taken += bytes.len() as u64;
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn last_words_arrive_two_hundred_times_and_eight_at_a_time() {
    let fixture = Fixture::new();
    for _ in 0..200 {
        assert_eq!(fixture.output("printf 'no newline'").await, "no newline");
    }
    for _ in 0..25 {
        let runs = (0..8).map(|number| {
            let fixture = &fixture;
            async move {
                let output = fixture.output(format!("echo x; printf {number}")).await;
                assert_eq!(output, format!("x\n{number}"));
            }
        });
        futures_util::future::join_all(runs).await;
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn sixty_four_mebibytes_of_anything_are_the_same_bytes() {
    const LENGTH: usize = 64 << 20;
    let fixture = Fixture::new();
    let script = "mkfifo copy; sha256sum < copy > hash & \
        head -c 67108864 /dev/urandom | tee copy; wait; cat hash";
    let (result, output) = fixture.run(script).await;
    assert_eq!(result.outcome, exited(0));
    assert_eq!(result.output_bytes, output.len() as u64);
    let (bytes, hash) = output.split_at(LENGTH);
    let expected: String = hexadecimal(&Sha256::digest(bytes));
    assert_eq!(String::from_utf8_lossy(hash), format!("{expected}  -\n"));
}

#[tokio::test]
async fn both_streams_are_one_in_the_order_written() {
    let fixture = Fixture::new();
    let script = "i=0; while [ $i -lt 5000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
    let expected: String = (0..5000)
        .flat_map(|i| [format!("out{i}\n"), format!("err{i}\n")])
        .collect();
    assert_eq!(fixture.output(script).await, expected);
    let script = "echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1";
    assert_eq!(fixture.output(script).await, "a\nb\nc\n");
}

#[tokio::test]
async fn a_slow_sink_gets_all_of_it_although_the_script_is_long_gone() {
    let fixture = Fixture::new();
    let instance = fixture.uploaded("head -c 900000 /dev/zero").await;
    let mut sink = Odd {
        pause: Some(Duration::from_millis(300)),
        ..Odd::default()
    };
    let result = instance
        .run_script(&window(Duration::ZERO), &mut sink)
        .await
        .unwrap();
    assert_eq!((result.outcome, sink.taken), (exited(0), 900_000));
    assert!(result.output_complete);
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn a_sink_that_fails_costs_the_output_and_not_the_verdict() {
    let fixture = Fixture::new();
    let instance = fixture.uploaded("head -c 5000000 /dev/zero; exit 9").await;
    let mut sink = Odd {
        fails_after: Some(1),
        ..Odd::default()
    };
    let result = instance
        .run_script(&RunOptions::default(), &mut sink)
        .await
        .unwrap();
    assert_eq!(result.outcome, exited(9));
    assert_eq!(result.output_bytes, sink.taken);
    assert!(!result.output_complete);
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn a_child_that_holds_the_output_costs_the_window_at_the_most() {
    let fixture = Fixture::new();
    let began = Instant::now();
    let (result, output) = fixture
        .run_with(
            "sleep 600 & echo a; exit 0",
            &window(Duration::from_millis(300)),
        )
        .await;
    assert_eq!(
        (result.outcome.clone(), output.as_slice()),
        (exited(0), &b"a\n"[..])
    );
    assert!(!result.output_complete);
    assert!(
        result
            .leftovers
            .iter()
            .any(|line| line.ends_with("sleep sleep 600")),
        "{result:?}"
    );
    assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&began.elapsed()));
    // What it writes within the window arrives, and its end is the end.
    let (result, output) = fixture.run("(sleep 0.3; echo late) & echo a; exit 0").await;
    assert_eq!(output, b"a\nlate\n");
    assert!(
        result.output_complete && result.leftovers.is_empty(),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_child_that_writes_without_pause_costs_the_window_at_the_most() {
    let fixture = Fixture::new();
    let began = Instant::now();
    let script = "(exec yes) & head -c 1000 /dev/zero | tr '\\0' x; exit 6";
    let (result, output) = fixture
        .run_with(script, &window(Duration::from_millis(200)))
        .await;
    assert_eq!(result.outcome, exited(6));
    assert!(!result.output_complete && !result.leftovers.is_empty());
    assert_eq!(output.split(|byte| *byte == b'x').count() - 1, 1000);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_child_without_the_output_is_reported_at_once() {
    for containment in ["auto", "marker"] {
        let fixture = Fixture::with([("containment", containment)]);
        let began = Instant::now();
        let (result, _) = fixture.run("sleep 600 >/dev/null 2>&1 & exit 0").await;
        assert!(result.output_complete);
        assert_eq!(result.leftovers.len(), 1, "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(4));
    }
}

#[tokio::test]
async fn lines_arrive_as_they_are_written() {
    struct Times(Vec<Instant>);
    #[async_trait]
    impl OutputSink for Times {
        async fn write(&mut self, _: &[u8]) -> io::Result<()> {
            self.0.push(Instant::now());
            Ok(())
        }
    }
    let fixture = Fixture::new();
    let instance = fixture
        .uploaded("for i in 1 2 3; do echo $i; sleep 0.5; done")
        .await;
    let mut sink = Times(Vec::new());
    instance
        .run_script(&RunOptions::default(), &mut sink)
        .await
        .map(drop)
        .unwrap();
    assert_eq!(sink.0.len(), 3);
    for pair in sink.0.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(350), "{pair:?}");
    }
    instance.stop().await.unwrap();
}
