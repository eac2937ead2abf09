//! libFuzzer entry of the target `import_onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (edgecc_fuzz::target("import_onnx").expect("a row of the table").run)(data);
});
