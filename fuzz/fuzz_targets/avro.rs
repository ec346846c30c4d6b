//! See `fuzz/targets/src/avro.rs`.
#![no_main]

// Panics of decoders that are not ours are caught, and are errors of the file: the fuzzer's hook would end the process at each.
// A panic that nobody catches ends it still.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    kinglet_fuzz_targets::run("avro", bytes)
});
