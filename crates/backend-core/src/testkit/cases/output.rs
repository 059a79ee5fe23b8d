//! What a script prints, and what arrives of it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::testkit::case::{Case, Checked, ensure};
use crate::testkit::fixture::{Fixture, PROMPTLY, within};
use crate::testkit::script::{Ends, Prints, ScriptCheck, TRAILER, contains};
use crate::testkit::sinks::{FailingSink, HashSink, SlowSink, Watch};
use crate::{Capability, RunOptions};

/// Prints so many random bytes and then their hash, with one pass and in
/// little space: the copy goes through a named pipe.
macro_rules! hashed_script {
    ($source:literal) => {
        concat!(
            "mkfifo pipe\nsha256sum <pipe >hash &\n",
            $source,
            " | tee pipe\nwait\ncut -c1-64 hash\n"
        )
    };
}

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::script(
        "O1-no-newline",
        "a last line without a newline arrives whole",
        ScriptCheck::sh("printf 'no newline'\n").prints(Prints::Exactly(b"no newline")),
    )
    .simulate(&[("log-output", "no newline")])
    .basic(),
    Case::function(
        "O1-last-line-200-times",
        "the last line of a script that exits at once arrives, 200 times, 8 at a time",
        |fixture| Box::pin(last_line_200_times(fixture)),
    )
    .simulate(&[("log-output", "the last line\n"), ("exit-code", "3")])
    .within(180),
    Case::script(
        "O2-silent",
        "a script that prints nothing and exits 3 ends at once with 3",
        ScriptCheck::sh("exit 3\n")
            .exits(3)
            .prints(Prints::Exactly(b""))
            .at_most(10),
    )
    .simulate(&[("exit-code", "3")])
    .basic(),
    Case::script(
        "O3-64-mib",
        "64 MiB of random bytes arrive as they were written",
        ScriptCheck::sh(hashed_script!("head -c 67108864 /dev/urandom"))
            .prints(Prints::Hashed(64 << 20))
            .at_most(100),
    )
    .simulate(&[("output-size", "64MiB"), ("output-checksum", "true")])
    .within(120),
    Case::script(
        "O3-one-line-of-10-mib",
        "a line of 10 MiB without a newline arrives whole",
        ScriptCheck::sh(hashed_script!(
            "head -c 10485760 /dev/zero | tr '\\000' 'x'"
        ))
        .prints(Prints::Hashed(10 << 20))
        .at_most(50),
    )
    .simulate(&[("output-size", "10MiB"), ("output-checksum", "true")]),
    Case::script(
        "O3-lines-of-16-kib",
        "lines of exactly 16,384 bytes keep their newlines",
        // Where an engine cuts its records.
        ScriptCheck::sh(
            "line=$(head -c 16384 /dev/zero | tr '\\000' 'y')\nmkfifo pipe\nsha256sum <pipe >hash &\n\
             for i in 1 2 3 4 5 6 7 8; do printf '%s\\n' \"$line\"; done | tee pipe\nwait\ncut -c1-64 hash\n",
        )
        .prints(Prints::Hashed(8 * 16385)),
    )
    .simulate(&[("output-size", "131080"), ("output-checksum", "true")]),
    Case::script(
        "O3-control-bytes",
        "NUL, control and invalid UTF-8 bytes arrive as they were written",
        ScriptCheck::sh("printf 'a\\000b\\001\\033[31m\\377\\376\\303(\\200\\n'\n")
            .prints(Prints::Exactly(b"a\0b\x01\x1b[31m\xff\xfe\xc3(\x80\n")),
    )
    .simulate(&[("output-bytes", "610062011b5b33316dfffec328800a")]),
    Case::script(
        "O3-every-byte",
        "each of the 256 bytes arrives as it was written",
        ScriptCheck::sh(concat!(
            "i=0\nwhile [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done >all\n",
            "cat all\nsha256sum <all | cut -c1-64\n"
        ))
        .prints(Prints::Hashed(256)),
    )
    .simulate(&[("output-size", "256"), ("output-checksum", "true")]),
    Case::script(
        "O3-line-ends",
        "CRLF and bare CR arrive as they were written",
        ScriptCheck::sh("printf 'a\\r\\nb\\rc\\n\\r\\n\\n'\n")
            .prints(Prints::Exactly(b"a\r\nb\rc\n\r\n\n")),
    )
    .simulate(&[("log-output", "a\r\nb\rc\n\r\n\n")]),
    Case::function(
        "O4-order",
        "stdout and stderr, 10,000 times in turn, arrive as one stream in the order written",
        |fixture| Box::pin(order(fixture)),
    ),
    Case::function(
        "O5-live",
        "lines that are written a second apart arrive a second apart, each at once",
        |fixture| Box::pin(live(fixture)),
    )
    .simulate(&[
        ("log-output", "tick\ntick\ntick\ntick\n"),
        ("output-chunk", "5"),
        ("output-rate", "5"),
    ]),
    Case::function(
        "O5-live-without-newline",
        "a part of a line arrives before the line is ended",
        |fixture| Box::pin(live_without_newline(fixture)),
    )
    .simulate(&[("log-output", "Password: "), ("run-hang", "true")]),
    Case::function(
        "O6-slow-sink",
        "100 MiB reach a slow sink whole, in bounded memory",
        |fixture| Box::pin(slow_sink(fixture)),
    )
    .simulate(&[("output-size", "100MiB"), ("output-checksum", "true")])
    .exclusive()
    .within(180),
    Case::function(
        "O7-sink-fails",
        "after a sink fails, the script goes on to its own verdict and the output is not complete",
        |fixture| Box::pin(sink_fails(fixture, 100_000)),
    )
    .simulate(&[("output-size", "4MiB"), ("exit-code", "5")]),
    Case::function(
        "O7-sink-fails-at-once",
        "a sink that takes nothing at all does not hang the run",
        |fixture| Box::pin(sink_fails(fixture, 0)),
    )
    .simulate(&[("output-size", "4MiB"), ("exit-code", "5")]),
    Case::script(
        "O8-dev-stdout",
        "/dev/stdout can be opened and written",
        ScriptCheck::sh("echo one\necho two >/dev/stdout\necho three\n")
            .prints(Prints::Exactly(b"one\ntwo\nthree\n")),
    ),
    Case::script(
        "O8-dev-stderr",
        "/dev/stderr can be opened and written",
        ScriptCheck::sh("echo one\necho two >/dev/stderr\necho three\n")
            .prints(Prints::Exactly(b"one\ntwo\nthree\n")),
    ),
    Case::script(
        "O8-proc-self-fd-1",
        "/proc/self/fd/1 can be opened and written",
        ScriptCheck::sh("echo one\necho two >/proc/self/fd/1\necho three\n")
            .prints(Prints::Exactly(b"one\ntwo\nthree\n")),
    ),
    Case::script(
        "O8-is-a-pipe",
        "the output is a pipe",
        ScriptCheck::sh("test -p /proc/self/fd/1 && test -p /proc/self/fd/2 && echo pipes\n")
            .prints(Prints::Exactly(b"pipes\n")),
    ),
];

async fn last_line_200_times(fixture: Fixture) -> Checked {
    let script = b"echo the last line\nexit 3\n";
    for _ in 0..25 {
        let eight = try_join_all((0..8).map(|_| fixture.run(script))).await?;
        for ran in eight {
            Ends::Exit(3).check(&fixture, &ran)?;
            ensure!(
                ran.output == b"the last line\n" && ran.result.output_complete,
                "the output is {}, complete: {}",
                ran.shown(),
                ran.result.output_complete
            );
        }
    }
    Ok(())
}

async fn order(fixture: Fixture) -> Checked {
    let script = b"i=0\nwhile [ $i -lt 10000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done\n";
    let ran = fixture.run(script).await?;
    Ends::Exit(0).check(&fixture, &ran)?;
    let text = ran.text();
    let mut lines = text.lines();
    for number in 0..10_000 {
        for stream in ["o", "e"] {
            let expected = format!("{stream}{number}");
            let line = lines.next();
            ensure!(
                line == Some(&expected),
                "{expected:?} must come next; it is {line:?}"
            );
        }
    }
    ensure!(lines.next().is_none(), "there is more output than written");
    Ok(())
}

/// Prints the machine's boot and its time since boot with each line: where the
/// instance is on this machine, the delay of a line is known exactly.
const TICKS: &[u8] = b"read -r boot </proc/sys/kernel/random/boot_id\n\
for i in 1 2 3 4; do\n\
read -r up idle </proc/uptime\n\
echo \"tick $boot $up\"\n\
test $i = 4 || sleep 1\n\
done\n";

async fn live(fixture: Fixture) -> Checked {
    let instance = fixture.ready(TICKS).await?;
    let mut watch = UptimeWatch::default();
    let result = instance
        .run_script(&RunOptions::default(), &mut watch)
        .await?;
    instance.stop().await?;
    ensure!(result.success(), "it {}", result.outcome);
    let lines = &watch.lines;
    ensure!(lines.len() == 4, "{} lines arrived, not 4", lines.len());
    for pair in lines.windows(2) {
        if let [one, other] = pair {
            let apart = other.at.duration_since(one.at);
            let bounds = Duration::from_millis(400)..Duration::from_millis(2500);
            ensure!(
                bounds.contains(&apart),
                "two lines written a second apart arrived {apart:?} apart"
            );
        }
    }
    let most = if fixture.has(Capability::Polling) {
        Duration::from_millis(500)
    } else {
        Duration::from_millis(100)
    };
    // The best of four, and the clock's own step: what else this machine does
    // may hold up a line.
    let best = lines.iter().filter_map(|line| line.delay).min();
    if let Some(best) = best {
        let most = most + Duration::from_millis(20);
        ensure!(best <= most, "each line took {best:?} or more to arrive");
    }
    Ok(())
}

/// Keeps when each line arrived, and how long that was after it was written,
/// where both clocks are one.
#[derive(Default)]
struct UptimeWatch {
    part: Vec<u8>,
    lines: Vec<Line>,
}

struct Line {
    at: Instant,
    delay: Option<Duration>,
}

#[async_trait::async_trait]
impl crate::OutputSink for UptimeWatch {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let (at, now) = (Instant::now(), uptime());
        self.part.extend_from_slice(bytes);
        while let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.part.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut words = line.split_ascii_whitespace().skip(1);
            let here = words.next().is_some_and(|boot| boot == boot_id().trim());
            let written = words.next().and_then(seconds).filter(|_| here);
            let delay = written
                .zip(now)
                .map(|(written, now)| now.saturating_sub(written));
            self.lines.push(Line { at, delay });
        }
        Ok(())
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    seconds(text.split_ascii_whitespace().next()?)
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

async fn live_without_newline(fixture: Fixture) -> Checked {
    let mut running = fixture.launch(b"printf 'Password: '\nsleep 300\n").await?;
    running.printed("Password: ").await?;
    ensure!(!running.has_ended(), "the run has ended too early");
    running.instance.stop().await?;
    running.ended(PROMPTLY).await?;
    Ok(())
}

async fn slow_sink(fixture: Fixture) -> Checked {
    let script = concat!(
        "head -c 1048576 /dev/urandom >part\nmkfifo pipe\nsha256sum <pipe >hash &\n",
        "i=0\nwhile [ $i -lt 100 ]; do cat part; i=$((i+1)); done | tee pipe\n",
        "wait\ncut -c1-64 hash\n"
    );
    let instance = fixture.ready(script.as_bytes()).await?;
    let pause = Duration::from_millis(10);
    let mut sink = Gauge {
        inner: SlowSink::new(HashSink::with_trailer(TRAILER), pause),
        most: 0,
    };
    let before = resident_kib();
    let result = instance
        .run_script(&RunOptions::default(), &mut sink)
        .await?;
    instance.stop().await?;
    ensure!(
        result.success() && result.output_complete,
        "it {}, output complete: {}",
        result.outcome,
        result.output_complete
    );
    let most = sink.most;
    let sink = sink.inner.into_inner();
    ensure!(
        sink.hashed() == 100 << 20 && contains(sink.trailer(), sink.hex().as_bytes()),
        "{} bytes arrived, with another hash than was written",
        sink.hashed()
    );
    let grown = most.saturating_sub(before);
    ensure!(
        grown < 32 << 10,
        "memory grew by {grown} KiB for a slow sink"
    );
    Ok(())
}

/// Looks at this process's memory with each write.
struct Gauge<S> {
    inner: S,
    most: u64,
}

#[async_trait::async_trait]
impl<S: crate::OutputSink> crate::OutputSink for Gauge<S> {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.inner.write(bytes).await?;
        self.most = self.most.max(resident_kib());
        Ok(())
    }
}

/// The resident memory of this process in KiB; 0 where there is no `/proc`.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

async fn sink_fails(fixture: Fixture, after: u64) -> Checked {
    let script = b"head -c 4194304 /dev/zero\nexit 5\n";
    let instance = fixture.ready(script).await?;
    let mut sink = FailingSink::new(Watch::new(), after);
    let options = RunOptions::default();
    let run = instance.run_script(&options, &mut sink);
    let result = within(PROMPTLY, "a run whose sink fails", run).await??;
    instance.stop().await?;
    ensure!(
        result.exit_code() == Some(5),
        "the script must exit with 5; it {}",
        result.outcome
    );
    ensure!(!result.output_complete, "the output is said to be complete");
    ensure!(sink.has_failed(), "the sink was not written to");
    ensure!(
        sink.calls_after_failure() == 0,
        "the sink was written to after it had failed"
    );
    let taken = sink.into_inner().output().len() as u64;
    ensure!(
        result.output_bytes == taken,
        "the result counts {} bytes; the sink took {taken}",
        result.output_bytes
    );
    Ok(())
}
