//! A model behind the C ABI, run from Rust through the loader and from C through the header.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgecc_rt::abi::{Arch, Elem};
use edgecc_rt::buffer::{Workspace, as_bytes, as_bytes_mut};
use edgecc_rt::descriptor::{ModelInfo, Quant, TensorInfo, encode};
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::{Library, LoadError};
use edgecc_rt::model::Buffers;
use edgecc_rt::pool::Pool;
use edgecc_rt::status::Status;

use crate::compiler::{compile, folder};

fn info() -> ModelInfo {
    let tensor = |name: &str, quant| TensorInfo {
        name: name.to_owned(),
        elem: Elem::F32,
        dims: vec![1, 2],
        quant,
    };
    ModelInfo {
        name: "double".to_owned(),
        producer: "edgecc test".to_owned(),
        arch: Arch::host().expect("tests run on a target"),
        features: 0,
        arena_bytes: 64,
        arena_align: 64,
        stack_bytes: 0,
        macs: 2,
        weights_bytes: 0,
        inputs: vec![tensor("x", None)],
        outputs: vec![tensor("y", Some(Quant { scale: 0.5, zero_point: 3 }))],
        states: Vec::new(),
        initial_state: Vec::new(),
    }
}

/// The descriptor as the elements of a C array of words.
fn words() -> String {
    let bytes = encode(&info()).expect("the description is valid");
    bytes.chunks_exact(8).fold(String::new(), |mut text, chunk| {
        let word = u64::from_le_bytes(chunk.try_into().expect("8 bytes"));
        writeln!(text, "UINT64_C({word:#x}),").expect("a string");
        text
    })
}

/// Builds C sources of this folder together; `None` without a compiler.
fn build(name: &str, flags: &[&str], sources: &[&str]) -> Option<PathBuf> {
    let (here, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c"), folder(name));
    fs::write(folder.join("descriptor.inc"), words()).expect("the folder is writable");
    let output = folder.join(name);
    let mut args: Vec<_> = flags.iter().map(Into::into).collect();
    args.extend(["-I".into(), folder.into_os_string(), "-o".into(), output.clone().into()]);
    args.extend(sources.iter().map(|source| here.join(source).into_os_string()));
    compile("cc", &args).then_some(output)
}

fn check(library: &Library, hooks: &Hooks<'_>) {
    let model = library.model("double").expect("the library has this model");
    assert_eq!(model.info().name(), "double");
    let (x, mut y, mut workspace) = ([1.0_f32, 2.5], [0.0_f32; 2], Workspace::<64>::new());
    let ran = model.run_with(
        hooks,
        Buffers {
            inputs: &[as_bytes(&x)],
            outputs: &mut [as_bytes_mut(&mut y)],
            state: &mut [],
            workspace: &mut workspace,
        },
    );
    assert_eq!(ran, Ok(()));
    assert_eq!(y, [2.0, 5.0]);
}

#[test]
fn a_shared_library_runs() {
    let Some(path) = build("model.so", &["-shared", "-fPIC"], &["model.c"]) else { return };
    let library = Library::open(&path).expect("it was just built");
    check(&library, &Hooks::NONE);
    let pool = Pool::new(NonZero::new(2).expect("not zero")).expect("threads can be started");
    check(&library, &pool.hooks());
    let other = library.model("other").err();
    assert!(matches!(other, Some(LoadError::Symbol(name)) if name == "edgecc_other_info"));
}

#[test]
fn libraries_from_memory_are_distinct() {
    let Some(path) = build("memory.so", &["-shared", "-fPIC"], &["model.c"]) else { return };
    let bytes = fs::read(path).expect("it was just built");
    let libraries = [0; 3].map(|_| Library::from_bytes(&bytes).expect("the bytes are a library"));
    libraries.iter().for_each(|library| check(library, &Hooks::NONE));
    let names = libraries.each_ref().map(|library| {
        library.model("double").expect("the library has this model").info().name().as_ptr()
    });
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
}

#[test]
fn a_c_program_runs() {
    let Some(path) = build("app", &["-std=c11"], &["app.c", "model.c"]) else { return };
    let ran = Command::new(path).output().expect("it was just built");
    let text = String::from_utf8(ran.stdout).expect("it prints ASCII");
    let mut expected = String::from("double by edgecc test\nx: 4 bytes an element\n");
    expected += "y: 0.5 * (q - 3)\n1\nthe workspace is too small\nok\n2 5\n";
    Status::ALL.iter().for_each(|s| writeln!(expected, "{s}").expect("a string"));
    expected += "unknown status\n";
    assert_eq!(text, expected);
}
