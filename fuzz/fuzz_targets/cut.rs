//! See `fuzz/targets/src/cut.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinglet_fuzz_targets::run("cut", bytes));
