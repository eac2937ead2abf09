//! libFuzzer entry of the target `parse_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (edgecc_fuzz::target("parse_text").expect("a row of the table").run)(data);
});
