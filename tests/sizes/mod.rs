//! One object for several sizes of a model.

use crate::support::toolchain::TOOLCHAINS;
use crate::support::{folder, has_tools, repository, run};
use edgecc::{Artifact, Options, TargetSpec, compile_file};
use edgecc_rt::buffer::{Workspace, as_bytes, as_bytes_mut};
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::Library;
use edgecc_rt::model::{Buffers, Model};
use std::fs;

const SIZES: [usize; 3] = [4, 16, 8];

#[test]
fn each_size_computes_as_if_alone() {
    let together = compiled(std::env::consts::ARCH, &SIZES);
    let library = load(&together);
    for size in SIZES {
        let alone = compiled(std::env::consts::ARCH, &[size]);
        let own = load(&alone);
        let (name, only) = (format!("net_samples{size}"), "net");
        let one = level(&library.model(&name).expect("a size"), size);
        assert_eq!(one, level(&own.model(only).expect("the only size"), size), "{size}");
    }
}

#[test]
fn sizes_share_weights_and_code() {
    let together = compiled("aarch64", &SIZES);
    let alone = SIZES.map(|size| compiled("aarch64", &[size]).report);
    assert_eq!(together.report.weights_bytes, alone[0].weights_bytes);
    assert!(together.report.code_bytes < alone.iter().map(|r| r.code_bytes).sum());
    assert!(
        together.report.object_bytes * 10 < alone.iter().map(|r| r.object_bytes).sum::<u64>() * 9
    );
    let arenas = together.report.sizes.iter().map(|s| s.arena_bytes);
    assert_eq!(arenas.max(), Some(together.report.arena_bytes));
}

#[test]
fn a_caller_chooses_a_size_in_c() {
    if !has_tools("a_caller_chooses_a_size_in_c") {
        return;
    }
    let mut printed = Vec::new();
    for toolchain in &TOOLCHAINS {
        let folder = folder(&format!("sizes-{}", toolchain.arch));
        let object = folder.join("net.o");
        let model = compiled(toolchain.arch, &SIZES);
        fs::write(&object, model.object).expect("the folder is writable");
        fs::write(folder.join("net.h"), model.header).expect("the folder is writable");
        let program = toolchain.link("tests/c/sizes.c", &[], &[&object], &folder.join("sizes"));
        let text = toolchain.run(&[&program]);
        let counts: Vec<usize> = text.lines().map(|l| l.split_whitespace().count()).collect();
        assert_eq!(counts, SIZES, "{}", toolchain.arch);
        printed.push(text.split_whitespace().map(|w| w.parse().expect("a number")).collect());
    }
    let [x, y]: [Vec<f32>; 2] = printed.try_into().expect("two toolchains");
    assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-5), "{x:?} {y:?}");
}

/// A package whose own code is safe includes the modules of one size and of several.
#[test]
fn generated_modules_need_no_unsafe_code() {
    if !has_tools("generated_modules_need_no_unsafe_code") {
        return;
    }
    let folder = folder("modules");
    let manifest = format!(
        "[package]\nname = \"modules\"\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n\
         [dependencies]\nedgecc-rt = {{ path = {:?} }}\n\n[workspace]\n",
        repository("runtime-shim")
    );
    let lib = "//! Models.\n#![forbid(unsafe_code)]\n#![deny(warnings)]\n\n\
               pub mod one {\n    include!(\"one.rs\");\n}\n\n\
               pub mod several {\n    include!(\"several.rs\");\n}\n";
    let one = compiled("x86_64", &[4]).rust;
    let several = compiled("x86_64", &SIZES).rust;
    let files = [("Cargo.toml", manifest.as_str()), ("lib.rs", lib)];
    for (name, text) in files.into_iter().chain([("one.rs", &*one), ("several.rs", &*several)]) {
        fs::write(folder.join(name), text).expect("the folder is writable");
    }
    let manifest = folder.join("Cargo.toml").display().to_string();
    run(env!("CARGO"), ["check", "--quiet", "--offline", "--manifest-path", &manifest]);
}

fn compiled(arch: &str, sizes: &[usize]) -> Artifact {
    let mut options = Options {
        name: Some("net".to_owned()),
        target: TargetSpec::of(arch),
        ..Options::default()
    };
    match sizes {
        [size] => drop(options.dims.insert("samples".to_owned(), *size)),
        sizes => drop(options.sizes.insert("samples".to_owned(), sizes.to_vec())),
    }
    options.consts.insert("rate".to_owned(), "8000".parse().expect("a number"));
    options.states.insert("h".to_owned(), "h_next".to_owned());
    compile_file(repository("tests/data/follower.onnx"), &options).expect("the model compiles")
}

fn load(model: &Artifact) -> Library {
    let library = edgecc_backend::link::shared_object(&model.object).expect("our own object");
    Library::from_bytes(&library).expect("a shared library")
}

/// The bits of the outputs for some input, and those of the next state.
fn level(model: &Model<'_>, size: usize) -> Vec<u32> {
    let audio: Vec<f32> = (0..size).map(|n| (n as f32).sin()).collect();
    let (mut level, mut state) = (vec![0.0_f32; size], [0.0_f32; 6]);
    let mut workspace = Workspace::<4096>::new();
    model.reset(as_bytes_mut(&mut state)).expect("the sizes fit");
    let buffers = Buffers {
        inputs: &[as_bytes(&audio)],
        outputs: &mut [as_bytes_mut(&mut level)],
        state: as_bytes_mut(&mut state),
        workspace: &mut workspace,
    };
    model.run_with(&Hooks::NONE, buffers).expect("the buffers fit");
    level.iter().chain(&state).map(|value| value.to_bits()).collect()
}
