#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker_server::fuzzing::journal(bytes));
