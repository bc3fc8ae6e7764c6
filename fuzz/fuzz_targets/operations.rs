#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| notifier_index_fuzz::operations::run(data));
