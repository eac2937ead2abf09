//! Models with states: chunk after chunk, in Rust and in C.

use crate::support::toolchain::{DRIVER, TOOLCHAINS};
use crate::support::{folder, has_tools, repository};
use edgecc::{Artifact, Options, TargetSpec, compile_file};
use edgecc_rt::buffer::{Workspace, as_bytes, as_bytes_mut};
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::Library;
use edgecc_rt::model::{Buffers, Model};
use std::fs;
use std::path::Path;

const CHUNKS: usize = 3;

const SAMPLES: usize = 5;

const HIDDEN: usize = 6;

/// What a chunk gives: its levels and the last element of the next state.
type Heard = Vec<f32>;

#[test]
fn a_state_carries_from_run_to_run() {
    let model = compiled(std::env::consts::ARCH);
    let library = edgecc_backend::link::shared_object(&model.object).expect("our own object");
    let library = Library::from_bytes(&library).expect("a shared library");
    let loaded = library.model(&model.name).expect("this machine's own code");
    let info = loaded.info();
    assert_eq!((info.input_count(), info.output_count(), info.state_count()), (1, 1, 1));
    assert_eq!(info.states().next().expect("one state").name(), "h");
    close(&follow(&loaded, false), &expected(false));
    close(&follow(&loaded, true), &expected(true));
}

#[test]
fn streams_run_in_c() {
    if !has_tools("streams_run_in_c") {
        return;
    }
    for toolchain in &TOOLCHAINS {
        let folder = folder(&format!("stream-{}", toolchain.arch));
        let object = folder.join("net.o");
        let model = compiled(toolchain.arch);
        fs::write(&object, model.object).expect("the folder is writable");
        fs::write(folder.join("net.h"), model.header).expect("the folder is writable");
        let program = toolchain.link("tests/c/stream.c", &[], &[&object], &folder.join("stream"));
        close(&heard(&toolchain.run(&[&program])), &expected(false));
        close(&heard(&toolchain.run(&[&program, Path::new("again")])), &expected(true));

        let audio: Vec<f32> = (0..SAMPLES).map(|n| n as f32).collect();
        fs::write(folder.join("0"), as_bytes(&audio)).expect("the folder is writable");
        let driver =
            toolchain.link("tests/c/driver.c", &DRIVER, &[&object], &folder.join("driver"));
        toolchain.run(&[&driver, &folder, &folder]);
    }
}

fn compiled(arch: &str) -> Artifact {
    let mut options = Options {
        name: Some("net".to_owned()),
        target: TargetSpec::of(arch),
        ..Options::default()
    };
    options.dims.insert("samples".to_owned(), SAMPLES);
    options.consts.insert("rate".to_owned(), "8000".parse().expect("a number"));
    options.states.insert("h".to_owned(), "h_next".to_owned());
    compile_file(repository("tests/data/follower.onnx"), &options).expect("the model compiles")
}

/// Runs all chunks, from the first state each time if `again`.
fn follow(model: &Model<'_>, again: bool) -> Vec<Heard> {
    let mut workspace = Workspace::<4096>::new();
    let mut state = [7.0_f32; HIDDEN];
    let mut heard = Vec::new();
    for chunk in 0..CHUNKS {
        if again || chunk == 0 {
            model.reset(as_bytes_mut(&mut state)).expect("the sizes fit");
        }
        let audio = audio(chunk);
        let mut level = [0.0_f32; SAMPLES];
        let buffers = Buffers {
            inputs: &[as_bytes(&audio)],
            outputs: &mut [as_bytes_mut(&mut level)],
            state: as_bytes_mut(&mut state),
            workspace: &mut workspace,
        };
        model.run_with(&Hooks::NONE, buffers).expect("the buffers fit");
        heard.push([&level[..], &state[HIDDEN - 1..]].concat());
    }
    heard
}

fn audio(chunk: usize) -> [f32; SAMPLES] {
    std::array::from_fn(|n| (chunk * SAMPLES + n) as f32 / 16.0)
}

/// The model by hand, see `tests/python/follower.py`.
fn expected(again: bool) -> Vec<Heard> {
    let mix = |row: usize, column: usize| ((row * HIDDEN + column) as f32).cos() / 3.0;
    let mut state = [0.5_f32; HIDDEN];
    let mut heard = Vec::new();
    for chunk in 0..CHUNKS {
        if again {
            state = [0.5; HIDDEN];
        }
        let scaled = audio(chunk).map(|v| v * 2.0);
        let mean = scaled.iter().sum::<f32>() / SAMPLES as f32;
        let mixed = |c: usize| (0..HIDDEN).map(|r| state[r] * mix(r, c)).sum::<f32>();
        let next: [f32; HIDDEN] = std::array::from_fn(|c| (mixed(c) + mean).tanh());
        let change: f32 = next.iter().zip(&state).map(|(n, h)| n - h).sum();
        state = next;
        let level = scaled.map(|v| v + change / HIDDEN as f32);
        heard.push([&level[..], &state[HIDDEN - 1..]].concat());
    }
    heard
}

/// The lines that `tests/c/stream.c` prints.
fn heard(text: &str) -> Vec<Heard> {
    let number = |word: &str| word.parse().expect("a number");
    text.lines().map(|line| line.split_whitespace().map(number).collect()).collect()
}

fn close(found: &[Heard], expected: &[Heard]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}
