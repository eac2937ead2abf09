//! Who may depend on whom.

use super::assert_none;
use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::path::Path;

/// Packages and all that their shipped code may depend on. A package that is not a row must not
/// exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("edgecc-ir", &["cranelift-entity", "indexmap", "smallvec"]),
    ("edgecc-frontend", &["edgecc-ir", "onnx-protobuf", "protobuf", "smallvec"]),
    (
        "edgecc-passes",
        &["cranelift-entity", "edgecc-ir", "egg", "indexmap", "petgraph", "smallvec"],
    ),
    (
        "edgecc-backend",
        &[
            "cranelift-codegen",
            "cranelift-control",
            "cranelift-entity",
            "cranelift-frontend",
            "cranelift-module",
            "cranelift-object",
            "edgecc-ir",
            "edgecc-rt",
            "regalloc2",
            "smallvec",
            "target-lexicon",
        ],
    ),
    ("edgecc-rt", &[]),
    (
        "edgecc",
        &[
            "anstream",
            "clap",
            "edgecc-backend",
            "edgecc-frontend",
            "edgecc-ir",
            "edgecc-passes",
            "edgecc-rt",
            "ndarray",
            "ndarray-npy",
            "serde",
            "serde_json",
        ],
    ),
    (
        "edgecc-fuzz",
        &[
            "edgecc",
            "edgecc-backend",
            "edgecc-frontend",
            "edgecc-ir",
            "edgecc-passes",
            "edgecc-rt",
            "libfuzzer-sys",
            "onnx-protobuf",
            "protobuf",
        ],
    ),
    ("xtask", &["clap", "edgecc", "edgecc-ir", "serde", "serde_json", "sha2"]),
];

/// Packages that only tests may use.
const TESTING: &[&str] = &["edgecc-fuzz", "xtask"];

#[test]
fn rooms_depend_only_on_what_they_may() {
    let broken: Vec<_> =
        packages().iter().flat_map(|p| forbidden(p, DependencyKind::Normal)).collect();
    assert_none("forbidden dependencies", &broken);
}

#[test]
fn nothing_shipped_depends_on_testing() {
    let shipped = ALLOWED.iter().filter(|(name, _)| !TESTING.contains(name));
    let broken = shipped.filter(|(_, may)| may.iter().any(|d| TESTING.contains(d)));
    assert_eq!(broken.count(), 0);
}

#[test]
fn there_are_no_build_scripts_or_macros_of_our_own() {
    let is_special =
        |p: &&Package| p.targets.iter().any(|t| t.is_custom_build() || t.is_proc_macro());
    let broken: Vec<_> = packages().iter().filter(is_special).map(|p| p.name.to_string()).collect();
    assert_none("packages with build scripts or proc macros", &broken);
}

fn packages() -> Vec<Package> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
    metadata.expect("the workspace's manifests are valid").packages
}

fn forbidden(package: &Package, kind: DependencyKind) -> Vec<String> {
    let Some((_, may)) = ALLOWED.iter().find(|(name, _)| *name == package.name.as_str()) else {
        return vec![format!("{}: not in the table of packages", package.name)];
    };
    let wrong = package.dependencies.iter().filter(|d| d.kind == kind && !may.contains(&&*d.name));
    wrong.map(|d| format!("{} depends on {}", package.name, d.name)).collect()
}
