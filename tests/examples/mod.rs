//! The C programs in `examples/` build without a warning and do what they say.

use crate::support::toolchain::TOOLCHAINS;
use crate::support::{compile_bundled, folder, has_tools, repository};
use std::fs;
use std::path::PathBuf;

/// An example, the names of its models, flags, what it reads and what it prints.
struct Example {
    folder: &'static str,
    models: &'static [&'static str],
    flags: &'static [&'static str],
    reads: Option<&'static str>,
    prints: &'static str,
}

const EXAMPLES: [Example; 2] = [
    Example {
        folder: "c",
        models: &["classifier"],
        flags: &["-std=c11"],
        reads: Some("examples/c/cat.ppm"),
        prints: "cat 0.918\n",
    },
    Example {
        folder: "threads",
        models: &["first", "second"],
        flags: &["-std=c11", "-pthread"],
        reads: None,
        prints: "4 threads agree\n",
    },
];

#[test]
fn examples_build_and_run() {
    if !has_tools("examples_build_and_run") {
        return;
    }
    for (example, toolchain) in EXAMPLES.iter().flat_map(|e| TOOLCHAINS.iter().map(move |t| (e, t)))
    {
        let folder = folder(&format!("example-{}-{}", example.folder, toolchain.arch));
        let object = |name: &&str| -> PathBuf {
            let model = compile_bundled(toolchain.arch, name);
            let object = folder.join(name).with_extension("o");
            fs::write(&object, model.object).expect("the folder is writable");
            fs::write(object.with_extension("h"), model.header).expect("the folder is writable");
            object
        };
        let objects: Vec<PathBuf> = example.models.iter().map(object).collect();
        let source = format!("examples/{}/main.c", example.folder);
        let objects: Vec<&PathBuf> = objects.iter().collect();
        let program = toolchain.link(&source, example.flags, &objects, &folder.join("program"));
        let reads = example.reads.map(repository);
        let line = [Some(program.as_path()), reads.as_deref()];
        let line: Vec<_> = line.into_iter().flatten().collect();
        assert_eq!(toolchain.run(&line), example.prints, "{source} {}", toolchain.arch);
    }
}
