//! What the simulation can be told.

use std::time::Duration;

use backend_core::{ByteSize, Kind, OptionValue, Signal};

backend_core::options! {
    /// The options of the backend `fake`: how every step behaves.
    ///
    /// A run prints its output, sleeps, and ends, as the script
    /// `printf …; sleep …; exit …` would.
    pub struct FakeOptions {
        /// How long a start takes. It is really slept, and can be cancelled.
        startup_duration: Duration = "0s", example "1s";
        /// What the script prints, as it is: no newline is added.
        log_output: String = "", example "Hello, world!";
        /// How long the script sleeps after its output.
        run_sleep: Duration = "0s", example "10s";
        /// The code with which the script exits.
        exit_code: u8 = "0", example "43";
        /// The signal that ends the script in place of an exit.
        signal: Option<FakeSignal>, example "SEGV";
        /// Every start fails for good, with this text.
        error: Option<String>, example "no machines today";

        /// `setup` fails with this text.
        setup_error: Option<String>, example "cannot be reached";
        /// So many starts fail in a way that passes; a retry is safe.
        start_failures: u32 = "0", example "2";
        /// Starts never come to an end.
        start_hang: bool = "false";
        /// How many instances there can be at once; further starts wait.
        /// Default: no limit.
        slots: Option<u32>, example "4";

        /// The instance holds an earlier job's leftovers: uploads fail as stale.
        stale: bool = "false";
        /// How long an upload takes.
        upload_duration: Duration = "0s", example "1s";
        /// Uploads fail with this text.
        upload_error: Option<String>, example "disk full";
        /// Uploads never come to an end.
        upload_hang: bool = "false";

        /// Runs fail with this text before the script has begun.
        run_error: Option<String>, example "no more processes";
        /// What the script prints after `log-output`, as hexadecimal digits:
        /// for bytes that no text can hold.
        output_bytes: HexBytes = "", example "00ff0d0a";
        /// How many pseudo-random bytes the script prints after these, the
        /// same ones in each run.
        output_size: ByteSize = "0", example "64MiB";
        /// Whether the script prints the SHA-256 of all these bytes at the
        /// end, in hexadecimal with a newline.
        output_checksum: bool = "false";
        /// How many bytes arrive at once.
        output_chunk: ByteSize = "64KiB", example "5";
        /// How many bytes arrive in a second, a chunk at a time. Default: as
        /// fast as they are taken.
        output_rate: Option<ByteSize>, example "1MiB";
        /// The connection is lost after so many bytes of output.
        lost_after: Option<ByteSize>, example "1000";
        /// The script ends, and its status never arrives.
        withhold_status: bool = "false";
        /// The script never ends by itself.
        run_hang: bool = "false";
        /// The script ignores TERM.
        ignore_term: bool = "false";
        /// The script catches TERM, prints this text, and exits with
        /// `term-exit-code`.
        term_output: Option<String>, example "bye";
        /// The code with which a script exits that catches TERM.
        term_exit_code: Option<u8>, example "99";
        /// Signals fail with this text, and do not reach the script.
        signal_error: Option<String>, example "cannot be reached";
        /// Listings of processes never come to an end.
        processes_hang: bool = "false";
        /// The script is killed for lack of memory in place of its exit.
        oom: bool = "false";
        /// Something in the instance runs out of memory; the script goes on.
        oom_seen: bool = "false";
        /// An orderly shutdown of the engine ends the script by TERM in place
        /// of its exit.
        ended_by_engine: bool = "false";
        /// How many lost connections are re-made during the run.
        reconnects: u32 = "0", example "2";
        /// A child of this name still holds the output open when the script
        /// has ended.
        leftover: Option<String>, example "sleep 60";
        /// After how long that child ends.
        leftover_duration: Duration = "1m", example "2s";

        /// How long a stop takes.
        stop_duration: Duration = "0s", example "1s";
        /// So many stops of each instance fail, and leave it behind.
        stop_failures: u32 = "0", example "1";
        /// Stops never come to an end. No other backend may do this: each has
        /// a deadline of its own.
        stop_hang: bool = "false";
        /// `list` fails with this text.
        list_error: Option<String>, example "cannot be reached";
    }
}

/// A signal, by its name or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeSignal(pub Signal);

impl OptionValue for FakeSignal {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().and_then(Signal::from_number);
        number
            .or_else(|| Signal::from_name(text))
            .map(Self)
            .ok_or_else(|| "it is not the name or the number of a signal".into())
    }
}

/// Bytes, as hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl OptionValue for HexBytes {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.ok_or("there are other characters than 0-9 and a-f in it")?;
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err("it has an odd number of digits".into());
        }
        let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte * 16 + digit);
        // Two digits below 16 make a number below 256.
        let bytes = pairs.map(|pair| u8::try_from(byte(pair)).unwrap_or(u8::MAX));
        Ok(Self(bytes.collect()))
    }
}

#[cfg(test)]
mod tests {
    use backend_core::{Chain, Options as _, ProviderConfig};

    use super::*;

    #[test]
    fn bytes_and_signals_are_read() {
        assert_eq!(HexBytes::parse("00fF0a"), Ok(HexBytes(vec![0, 255, b'\n'])));
        for text in ["0", "0g", "0 1", "ä"] {
            assert!(HexBytes::parse(text).is_err(), "{text}");
        }
        for text in ["SEGV", "sigsegv", "11"] {
            assert_eq!(FakeSignal::parse(text), Ok(FakeSignal(Signal::SEGV)));
        }
        assert!(FakeSignal::parse("0").is_err() && FakeSignal::parse("NOPE").is_err());
    }

    #[test]
    fn a_wrong_value_says_what_is_wrong_with_it() {
        let config = ProviderConfig::from([("output-bytes", "abc"), ("signal", "SIGNOPE")]);
        let error = FakeOptions::parse("fake", &config).unwrap_err();
        let text = Chain(&error).to_string();
        assert!(text.contains("odd number of digits"), "{text}");
        assert!(text.contains("name or the number of a signal"), "{text}");
    }

    #[test]
    fn no_option_has_to_be_given() {
        let options = FakeOptions::parse("fake", &ProviderConfig::new()).unwrap();
        assert_eq!(options.output_chunk, ByteSize(64 << 10));
        assert!(
            FakeOptions::specs()
                .iter()
                .all(|spec| !spec.help.is_empty())
        );
    }
}
