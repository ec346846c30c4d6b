//! See `fuzz/targets/src/frames.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinglet_fuzz_targets::run("frames", bytes));
