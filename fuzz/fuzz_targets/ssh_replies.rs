#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backend_ssh::fuzzing::replies(bytes));
