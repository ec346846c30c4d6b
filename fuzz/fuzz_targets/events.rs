//! See `fuzz/targets/src/events.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinglet_fuzz_targets::run("events", bytes));
