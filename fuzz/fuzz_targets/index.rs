//! See `fuzz/targets/src/index.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinglet_fuzz_targets::run("index", bytes));
