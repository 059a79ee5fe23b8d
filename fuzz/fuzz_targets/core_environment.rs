#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backend_core::fuzzing::environment(bytes));
