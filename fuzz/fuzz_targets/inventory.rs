//! See `fuzz/targets/src/inventory.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinglet_fuzz_targets::run("inventory", bytes));
