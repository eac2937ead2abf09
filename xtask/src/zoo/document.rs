//! The page that shows the results: only numbers that are the same on every machine.

use crate::models::check::{Row, Run};

const HEAD: &str = "# The zoo\n\n\
    Published models, compiled for both architectures and compared with ONNX Runtime. \
    `cargo xtask zoo` makes this page; `tests/zoo/models.txt` says where each model comes from and \
    with which shapes it runs.\n\n\
    The error is the largest difference from ONNX Runtime as a part of the largest value of the \
    output. Sizes are in KiB and for AArch64. The arena is the workspace; its ratio is to the bound \
    that no plan can go below.\n\n\
    | model | nodes | error x86-64 | error AArch64 | object | code | arena | ratio |\n\
    |---|---:|---:|---:|---:|---:|---:|---:|\n";

/// The page, with one line per model.
pub(super) fn page(rows: &[Row]) -> String {
    rows.iter().fold(HEAD.to_owned(), |page, row| page + &line(row))
}

fn line(row: &Row) -> String {
    let error = |arch: &str| match run(row, arch) {
        Some(run) => magnitude(run.error),
        None => "fails".to_owned(),
    };
    let sizes = run(row, "aarch64").map_or("| | | |".to_owned(), |run| {
        let r = &run.report;
        let kib = |bytes: u64| bytes.div_ceil(1024);
        let (object, code, arena) = (kib(r.object_bytes), kib(r.code_bytes), kib(r.arena_bytes));
        format!("{object} | {code} | {arena} | {:.2}", r.arena_ratio())
    });
    let (x86_64, aarch64) = (error("x86_64"), error("aarch64"));
    format!("| {} | {} | {x86_64} | {aarch64} | {sizes} |\n", row.name, row.nodes)
}

fn run<'a>(row: &'a Row, arch: &str) -> Option<&'a Run> {
    row.runs.iter().flatten().find(|run| run.arch == arch)
}

/// A power of ten that the error is below: its digits depend on ONNX Runtime's machine.
fn magnitude(error: f64) -> String {
    if error == 0.0 { "0".to_owned() } else { format!("< 1e{}", error.log10().floor() as i32 + 1) }
}

#[cfg(test)]
mod tests {
    use super::magnitude;

    #[test]
    fn errors_are_rounded_up() {
        assert_eq!(magnitude(0.0), "0");
        assert_eq!(magnitude(3.2e-6), "< 1e-5");
    }
}
