//! libFuzzer entry of the target `differential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (edgecc_fuzz::target("differential").expect("a row of the table").run)(data);
});
