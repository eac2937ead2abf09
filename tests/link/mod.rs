//! What an object promises to the linker and to C and C++ programs.

mod elf;

use crate::support::toolchain::{DRIVER, TOOLCHAINS, WARNINGS};
use crate::support::{ARCHS, compile_bundled, folder, has_tools, repository, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Ways to link a program.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("pie", &["-pie", "-fPIE"]),
    ("no-pie", &["-no-pie", "-fno-pie"]),
    ("static", &["-static"]),
    ("static-pie", &["-static-pie", "-fPIE"]),
];

/// A library that may not need anything, in strict order: no relocations in code, no missing
/// symbols, no executable stack.
const LIBRARY: [&str; 6] =
    ["-shared", "-nostdlib", "-Wl,-z,text", "-Wl,-z,defs", "-Wl,--fatal-warnings", "-o"];

/// The bytes of an input of the bundled model.
const IMAGE: [u8; 4 * 3 * 32 * 32] = [0; 4 * 3 * 32 * 32];

#[test]
fn objects_are_self_contained() {
    for arch in ARCHS {
        let object = elf::parse(&compile_bundled(arch, "net").object);
        let undefined: Vec<_> = object.symbols.iter().filter(|s| s.is_undefined).collect();
        assert!(undefined.is_empty(), "{arch}: {}", undefined[0].name);
        let mut global: Vec<_> =
            object.symbols.iter().filter(|s| s.is_global).map(|s| s.name.as_str()).collect();
        global.sort_unstable();
        assert_eq!(global, ["edgecc_net_info", "edgecc_net_run"], "{arch}");
    }
}

#[test]
fn objects_have_no_writable_memory_and_no_executable_stack() {
    for arch in ARCHS {
        let object = elf::parse(&compile_bundled(arch, "net").object);
        let writable: Vec<_> = object.sections.iter().filter(|s| s.is_writable()).collect();
        assert!(writable.is_empty(), "{arch}: {}", writable[0].name);
        let stack = object.sections.iter().find(|s| s.name == ".note.GNU-stack");
        assert!(stack.is_some_and(|s| !s.is_executable()), "{arch}");
    }
}

#[test]
fn objects_link_in_every_way() {
    if !has_tools("objects_link_in_every_way") {
        return;
    }
    for toolchain in &TOOLCHAINS {
        let folder = folder(&format!("link-{}", toolchain.arch));
        let object = write(&folder, toolchain.arch, "net");
        for (name, flags) in PROGRAMS {
            let program = toolchain.link("tests/c/app.c", flags, &[&object], &folder.join(name));
            assert_eq!(toolchain.run(&[&program]), "ok\n", "{} {name}", toolchain.arch);
        }
        let library = folder.join("net.so");
        run(toolchain.cc, LIBRARY.iter().map(AsRef::as_ref).chain([library.as_path(), &object]));
    }
}

/// The driver makes every bad call, measures the stack and follows the steps.
#[test]
fn entry_points_keep_their_contract() {
    if !has_tools("entry_points_keep_their_contract") {
        return;
    }
    for toolchain in &TOOLCHAINS {
        let folder = folder(&format!("contract-{}", toolchain.arch));
        let object = write(&folder, toolchain.arch, "net");
        fs::write(folder.join("0"), IMAGE).expect("the folder is writable");
        let program =
            toolchain.link("tests/c/driver.c", &DRIVER, &[&object], &folder.join("driver"));
        let program = [program.as_path(), &folder, &folder];
        let facts = toolchain.run(&program);
        assert!(facts.contains("stack_used"), "{}: {facts}", toolchain.arch);
    }
}

#[test]
fn two_models_live_in_one_program() {
    if !has_tools("two_models_live_in_one_program") {
        return;
    }
    for toolchain in &TOOLCHAINS {
        let folder = folder(&format!("pair-{}", toolchain.arch));
        let objects = ["first", "second"].map(|name| write(&folder, toolchain.arch, name));
        let program = toolchain.link(
            "tests/c/pair.c",
            &[],
            &[&objects[0], &objects[1]],
            &folder.join("pair"),
        );
        assert_eq!(toolchain.run(&[&program]), "ok\n", "{}", toolchain.arch);
    }
}

#[test]
fn headers_are_strict_c_and_c_plus_plus() {
    if !has_tools("headers_are_strict_c_and_c_plus_plus") {
        return;
    }
    let folder = folder("headers");
    write(&folder, "x86_64", "net");
    for (compiler, standard, language) in
        [("gcc", "-std=c99", "c"), ("gcc", "-std=c17", "c"), ("g++", "-std=c++17", "c++")]
    {
        let include = format!("-I{}", folder.display());
        let args = ["-fsyntax-only", standard, "-x", language, &include];
        let source = repository("tests/c/app.c");
        run(compiler, WARNINGS.iter().chain(&args).map(Path::new).chain([source.as_path()]));
    }
}

/// Writes `name.o` and `name.h` into a folder.
fn write(folder: &Path, arch: &str, name: &str) -> PathBuf {
    let model = compile_bundled(arch, name);
    let object = folder.join(name).with_extension("o");
    fs::write(&object, model.object).expect("the folder is writable");
    fs::write(object.with_extension("h"), model.header).expect("the folder is writable");
    object
}
