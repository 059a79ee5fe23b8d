#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker_api::fuzzing::documents(bytes));
