//! Runs loop functions for the tests: one function becomes a model, its parameters the ports.

use crate::{Artifact, EmitOptions, emit, link};
use cranelift_entity::PrimaryMap;
use edgecc_ir::kernel::{Buffer, Home, Port};
use edgecc_ir::loc::{Loc, LocTable};
use edgecc_ir::loops::{LoopFn, Loops, ParamAccess};
use edgecc_ir::program::{Call, Program, Step};
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::tensor::Tensor;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::Library;
use edgecc_rt::model::{Buffers, Model};

/// The architectures that code is made for.
pub(crate) const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

/// A model `m` that calls `func` once: its read parameters are inputs, its written ones outputs.
pub(crate) fn program(func: LoopFn) -> Loops {
    let mut loops = Loops {
        name: "m".to_owned(),
        funcs: PrimaryMap::new(),
        buffers: PrimaryMap::new(),
        consts: PrimaryMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        program: Program::default(),
        plan: None,
        macs: 0,
        locs: LocTable::new(),
    };
    let mut args = Vec::new();
    for param in func.params.values() {
        let (ports, home): (_, fn(u32) -> Home) = match param.access {
            ParamAccess::Read => (&mut loops.inputs, Home::Input),
            ParamAccess::Write | ParamAccess::ReadWrite => (&mut loops.outputs, Home::Output),
        };
        let home = home(ports.len() as u32);
        ports.push(Port { name: format!("t{}", ports.len()), ty: param.ty.clone() });
        args.push(loops.buffers.push(Buffer { ty: param.ty.clone(), home }).into());
    }
    let loc = loops.locs.push(Loc::Unknown);
    let func = loops.funcs.push(func);
    loops.program.steps.push(Step::Call(Call { callee: func, args, loc }));
    loops
}

/// Compiles for an architecture's default machine.
pub(crate) fn compile(loops: &Loops, arch: Arch) -> Artifact {
    let options = EmitOptions { producer: "edgecc test".to_owned(), states: Vec::new() };
    emit(loops, &Target::default_for(arch), &options).expect("the program is legal")
}

/// Compiles for all architectures and runs on this one; returns the outputs.
pub(crate) fn run(loops: &Loops, inputs: &[Tensor]) -> Option<Vec<Tensor>> {
    run_with(loops, inputs, &Hooks::NONE)
}

/// As `run`, with services.
pub(crate) fn run_with(loops: &Loops, inputs: &[Tensor], hooks: &Hooks<'_>) -> Option<Vec<Tensor>> {
    let objects = ARCHES.map(|arch| (arch, compile(loops, arch)));
    let host = edgecc_rt::abi::Arch::host()?.name();
    let (_, artifact) = objects.into_iter().find(|(arch, _)| arch.name() == host)?;
    let library = link::shared_object(&artifact.object).expect("the object is linkable");
    let library = Library::from_bytes(&library).expect("the library is loadable");
    let model = library.model(&loops.name).expect("the model is valid");
    Some(call(&model, loops, &artifact, inputs, hooks))
}

/// Compiles for a machine and runs if this one has its features.
pub(crate) fn run_for(loops: &Loops, inputs: &[Tensor], target: &Target) -> Option<Vec<Tensor>> {
    let options = EmitOptions { producer: "edgecc test".to_owned(), states: Vec::new() };
    let artifact = emit(loops, target, &options).expect("the program is legal");
    if edgecc_rt::abi::Arch::host()?.name() != target.arch.name() {
        return None;
    }
    let library = link::shared_object(&artifact.object).expect("the object is linkable");
    let library = Library::from_bytes(&library).expect("the library is loadable");
    let model = library.model(&loops.name).ok()?;
    Some(call(&model, loops, &artifact, inputs, &Hooks::NONE))
}

fn call(
    model: &Model<'_>,
    loops: &Loops,
    artifact: &Artifact,
    inputs: &[Tensor],
    hooks: &Hooks<'_>,
) -> Vec<Tensor> {
    let inputs: Vec<&[u8]> = inputs.iter().map(Tensor::bytes).collect();
    let mut outputs: Vec<Vec<u8>> =
        loops.outputs.iter().map(|port| vec![0xee; port.ty.bytes()]).collect();
    let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let mut workspace = vec![0u64; artifact.arena_bytes as usize / 8 + 16];
    let workspace = aligned(&mut workspace, artifact.arena_align as usize);
    let buffers = Buffers { inputs: &inputs, outputs: &mut places, state: &mut [], workspace };
    model.run_with(hooks, buffers).expect("the model runs");
    let tensor = |(port, bytes): (&Port, Vec<u8>)| Tensor::from_bytes(port.ty.clone(), bytes);
    loops.outputs.iter().zip(outputs).map(tensor).collect()
}

fn aligned(words: &mut [u64], align: usize) -> &mut [u8] {
    let bytes = edgecc_rt::buffer::as_bytes_mut(words);
    let skip = bytes.as_ptr().align_offset(align);
    &mut bytes[skip..]
}
