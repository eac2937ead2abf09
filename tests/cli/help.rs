//! What `--help` says, as snapshots.

use super::{Folder, stdout};

#[test]
fn every_subcommand_has_help() {
    let folder = Folder::new("help");
    for command in [
        "edgecc", "compile", "run", "verify", "bench", "tune", "quantize", "inspect", "explain",
        "targets", "ops",
    ] {
        let args: &[&str] = if command == "edgecc" { &["--help"] } else { &[command, "--help"] };
        insta::assert_snapshot!(command, stdout(&folder.0, args));
    }
}
