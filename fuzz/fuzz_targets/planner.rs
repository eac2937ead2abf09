//! libFuzzer entry of the target `planner`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (edgecc_fuzz::target("planner").expect("a row of the table").run)(data);
});
