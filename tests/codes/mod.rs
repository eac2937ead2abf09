//! Arithmetic on codes is one on every processor: the bundled model on codes of both signs, and
//! activations between such codes, give the same bits on every machine of the table, in one part and in
//! several. Machines that this one is not are emulated, where there is an emulator.

mod activations;

use crate::support::emulator::Emulator;
use crate::support::toolchain::{DRIVER, TOOLCHAINS, Toolchain};
use crate::support::{bundled, folder, has_tools, repository, run, runs_here};
use edgecc::driver::{Compiled, compile_graph};
use edgecc::host::Host;
use edgecc::{Division, Options, TargetSpec, compile_file};
use edgecc_frontend::{ImportOptions, import};
use edgecc_ir::graph::ops::is_code;
use edgecc_ir::graph::{Graph, eval};
use edgecc_ir::rng::Rng;
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;
use edgecc_rt::pool::Pool;
use std::num::NonZero;
use std::path::Path;
use std::{fs, thread};

/// One machine for every way to multiply codes: a CPU and features beside its own.
const MACHINES: &[(Arch, &str, &[&str])] = &[
    (Arch::X86_64, "x86-64-v2", &[]),
    (Arch::X86_64, "x86-64-v3", &[]),
    (Arch::X86_64, "x86-64-v3", &["+avxvnni"]),
    (Arch::X86_64, "x86-64-v4", &[]),
    (Arch::X86_64, "x86-64-v4", &["+avx512vnni"]),
    (Arch::X86_64, "x86-64-v4", &["+avx512vnni", "+amx-tile", "+amx-int8"]),
    (Arch::X86_64, "znver4", &[]),
    (Arch::Aarch64, "generic", &[]),
    (Arch::Aarch64, "generic", &["+dotprod"]),
    (Arch::Aarch64, "generic", &["+dotprod", "+i8mm"]),
];

/// Types of the codes between layers.
const VALUES: [(&str, ElemType); 2] = [("u8", ElemType::U8), ("i8", ElemType::I8)];

/// Random images, and how many of them are evaluated too.
const IMAGES: usize = 1000;
const EVALUATED: usize = 1;

#[test]
fn codes_are_the_same_on_every_machine() {
    let outside = has_tools("codes_are_the_same_on_every_machine, for AArch64");
    for (values, elem) in VALUES {
        let folder = folder(&format!("codes-{values}"));
        check(&graph_on_codes(values, &folder), &folder, outside);
        check(&activations::graph(elem), &folder, outside);
    }
}

fn check(graph: &Graph, folder: &Path, outside: bool) {
    let images = images();
    let here = machines().filter(runs_here);
    let there = machines().filter(|t| outside && t.arch == Arch::Aarch64 && !runs_here(t));
    let found: Vec<(String, Vec<u8>)> = thread::scope(|scope| {
        let images = &images[..];
        let here: Vec<_> =
            here.map(|target| scope.spawn(move || on_host(graph, &target, images))).collect();
        let there: Vec<_> =
            there.map(|t| scope.spawn(move || on_arm(graph, &t, images, folder))).collect();
        here.into_iter().chain(there).map(|thread| thread.join().expect("no panic")).collect()
    });
    let expected: Vec<u8> = images[..EVALUATED].iter().flat_map(|i| evaluated(graph, i)).collect();
    let place = folder.display();
    for target in machines().filter(|t| t.arch == Arch::X86_64 && !runs_here(t)) {
        if let Some(emulator) = Emulator::named("codes_are_the_same_on_every_machine, for AMX") {
            on_bare_machine(&emulator, graph, &target, &images, &found[0].1, folder);
        }
    }
    for (machine, codes) in &found {
        assert!(codes.starts_with(&expected), "{place} on {machine}: not as evaluated");
        assert!(*codes == found[0].1, "{place}: {machine} differs from {}", found[0].0);
    }
}

#[test]
fn objects_need_matrix_tiles_only_where_sums_use_them() {
    let folder = folder("codes-tiles");
    graph_on_codes("u8", &folder);
    let needs_tiles = |model: &Path| {
        let cpu = Some("sapphirerapids".to_owned());
        let target = TargetSpec { cpu, ..TargetSpec::of(Arch::X86_64.name()) };
        let options = Options { target, ..Options::default() };
        let report = compile_file(model, &options).expect("a model").report;
        report.features.iter().any(|feature| feature == "amx-int8")
    };
    assert!(needs_tiles(&folder.join("codes.onnx")));
    assert!(!needs_tiles(&bundled()));
}

/// The bundled model on codes, up to the last value that is one.
fn graph_on_codes(values: &str, folder: &Path) -> Graph {
    let (model, sample) = (bundled(), repository("models/sample.npz"));
    let to = folder.join("codes.onnx");
    let paths = [model.as_path(), "--data".as_ref(), &sample, "-o".as_ref(), &to];
    let words = ["quantize", "--ranges", "min-max", "--values", values].map(Path::new);
    run(env!("CARGO_BIN_EXE_edgecc"), words.into_iter().chain(paths));
    let bytes = fs::read(to).expect("just written");
    let mut graph = import(&bytes, &ImportOptions::named("net")).expect("a model").graph;
    let last = graph.order.iter().rev().find(|&&id| is_code(graph.ty(id).elem));
    graph.outputs[0].value = *last.expect("a value on codes");
    graph
}

fn images() -> Vec<Vec<f32>> {
    let mut rng = Rng::new(1);
    let mut image = || (0..3 * 32 * 32).map(|_| rng.below(2001) as f32 / 1000.0 - 1.0).collect();
    (0..IMAGES).map(|_| image()).collect()
}

fn tensor(graph: &Graph, image: &[f32]) -> Tensor {
    Tensor::from_fn(graph.inputs[0].ty.clone(), |n| Scalar::f32(image[n]))
}

fn evaluated(graph: &Graph, image: &[f32]) -> Vec<u8> {
    eval::eval(graph, &[tensor(graph, image)])[0].bytes().to_vec()
}

fn machines() -> impl Iterator<Item = Target> {
    MACHINES.iter().map(|(arch, cpu, features)| {
        let (cpu, features) = (Some((*cpu).to_owned()), features.iter().map(|&f| f.to_owned()));
        let spec = TargetSpec { cpu, features: features.collect(), ..TargetSpec::of(arch.name()) };
        edgecc::target::resolve(&spec).expect("a machine of the table")
    })
}

fn compiled(graph: &Graph, target: &Target) -> Compiled {
    let division = Division { parts: 3, grain: 1 };
    let options = Options { division, ..Options::default() };
    let (graph, target) = (graph.clone(), target.clone());
    let compiled = compile_graph(graph, Vec::new(), target, &options, &mut |_, _| {});
    compiled.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn named(target: &Target) -> String {
    format!("{} with {:?}", target.cpu, target.features)
}

/// The codes of all images in this process, which are the same on one thread and on two.
fn on_host(graph: &Graph, target: &Target, images: &[Vec<f32>]) -> (String, Vec<u8>) {
    let host = Host::load(&compiled(graph, target)).expect("this machine runs it");
    let pool = Pool::new(NonZero::new(2).expect("not zero")).expect("the system gives threads");
    let codes = images.iter().flat_map(|image| {
        let inputs = [tensor(graph, image)];
        let alone = host.run(&inputs).expect("the model runs")[0].bytes().to_vec();
        let shared = host.run_on(&pool.hooks(), &inputs).expect("the model runs");
        assert!(alone == shared[0].bytes(), "{}: threads change codes", named(target));
        alone
    });
    (named(target), codes.collect())
}

/// The codes of all images in an emulated process.
fn on_arm(graph: &Graph, target: &Target, images: &[Vec<f32>], folder: &Path) -> (String, Vec<u8>) {
    let [_, arm]: &[Toolchain; 2] = &TOOLCHAINS;
    let words: Vec<&str> = target.features.iter().map(AsRef::as_ref).collect();
    let at = |name: &str| folder.join(format!("{}.{name}", words.join("-")));
    let [object, records, results] = ["o", "records", "results"].map(at);
    fs::write(&object, &*compiled(graph, target).code.object).expect("writable");
    let bytes: Vec<u8> = images.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(&records, bytes).expect("writable");
    let program = arm.link("tests/c/batch.c", &DRIVER, &[&object], &at("program"));
    arm.run(&[&program, &records, &results]);
    (named(target), fs::read(results).expect("just written"))
}

/// Compares the codes of all images on an emulated machine with those of another one.
fn on_bare_machine(
    emulator: &Emulator,
    graph: &Graph,
    target: &Target,
    images: &[Vec<f32>],
    codes: &[u8],
    folder: &Path,
) {
    let folder = folder.join(&target.cpu);
    fs::create_dir_all(&folder).expect("writable");
    let object = folder.join("net.o");
    fs::write(&object, &*compiled(graph, target).code.object).expect("writable");
    let records: Vec<u8> = images.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(folder.join("records"), records).expect("writable");
    fs::write(folder.join("results"), codes).expect("writable");
    let flags = ["-DMODEL=net", "-Iruntime-shim/include", "-Itests/c"];
    emulator.run("batch.c", &flags, &object, &folder);
}
