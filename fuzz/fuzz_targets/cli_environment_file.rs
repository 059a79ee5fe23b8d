#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker_cli::fuzzing::environment_file(bytes));
