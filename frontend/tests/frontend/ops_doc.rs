//! `docs/ops.md` says what the table says. Bless with `UPDATE_DOCS=1`.

use edgecc_frontend::{NEWEST_OPSET, OLDEST_OPSET, OpRow, supported_ops};
use std::fmt::Write;
use std::path::Path;

fn page() -> String {
    let mut page = format!(
        "# Supported ONNX operators\n\n\
         Generated from the table in `frontend/src/ops`; do not edit. Opsets {OLDEST_OPSET} to \
         {NEWEST_OPSET} are read.\nAn operator has one line per meaning; \"since\" is the first \
         opset in which the line holds.\nAll shapes are fixed at compile time.\n\n\
         | operator | since | limits |\n|---|---|---|\n"
    );
    for row in supported_ops() {
        writeln!(page, "| {} | {} | {} |", name(&row), row.since, row.limits)
            .expect("writing to a string");
    }
    page
}

fn name(row: &OpRow) -> String {
    if row.domain.is_empty() {
        row.name.to_owned()
    } else {
        format!("{}::{}", row.domain, row.name)
    }
}

#[test]
fn docs_ops_md_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ops.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).expect("docs/ops.md can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page(), "docs/ops.md is stale: run with UPDATE_DOCS=1 to renew it");
}
