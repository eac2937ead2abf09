//! What there is to know about a compiled model, as plain data for reports and `model.json`.

use crate::header::names;
use crate::interface::Interface;
use crate::{Artifact, EmitOptions, FunctionInfo};
use edgecc_ir::kernel::Port;
use edgecc_ir::loops::{FuncId, Loops};
use edgecc_ir::program::Call;
use edgecc_ir::target::Target;
use edgecc_ir::types::TensorType;

/// A compiled model's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The model's name.
    pub name: String,
    /// The compiler's name and version.
    pub producer: String,
    /// Architecture, as `--target` takes it.
    pub arch: &'static str,
    /// CPU, as `--cpu` takes it.
    pub cpu: String,
    /// CPU features that the code uses.
    pub features: Vec<String>,
    /// Inputs in the caller's order, without states.
    pub inputs: Vec<TensorMetadata>,
    /// Outputs in the caller's order, without states.
    pub outputs: Vec<TensorMetadata>,
    /// What the caller keeps between runs.
    pub states: Vec<TensorMetadata>,
    /// Bytes of that.
    pub state_bytes: usize,
    /// Bytes of machine code.
    pub text_bytes: u64,
    /// Bytes of read-only data.
    pub rodata_bytes: u64,
    /// Bytes of constant tensors.
    pub weights_bytes: u64,
    /// Bytes of workspace.
    pub arena_bytes: u64,
    /// Alignment of the workspace.
    pub arena_align: u32,
    /// Bound of the stack.
    pub stack_bytes: u32,
    /// Multiply-adds of one run.
    pub macs: u64,
    /// Functions of the object.
    pub functions: Vec<FunctionInfo>,
    /// The calls of the program; a call's position is its step number in profiles.
    pub steps: Vec<StepMetadata>,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Name in the model.
    pub name: String,
    /// Name in generated code.
    pub identifier: String,
    /// Element type and shape.
    pub ty: TensorType,
}

/// A call of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepMetadata {
    /// Symbol of the function that runs.
    pub function: String,
    /// The model's items that it comes from.
    pub sources: Vec<String>,
}

/// The metadata of an artifact of `emit`.
#[must_use]
pub fn of(loops: &Loops, target: &Target, options: &EmitOptions, artifact: &Artifact) -> Metadata {
    let Interface { inputs, outputs, states, state_bytes, .. } = &artifact.interface;
    Metadata {
        name: loops.name.clone(),
        producer: options.producer.clone(),
        arch: target.arch.name(),
        cpu: target.cpu.clone(),
        features: used_features(loops, target),
        inputs: inputs.iter().map(tensor).collect(),
        outputs: outputs.iter().map(tensor).collect(),
        states: states.iter().map(|state| tensor(&state.port)).collect(),
        state_bytes: *state_bytes,
        text_bytes: artifact.text_bytes,
        rodata_bytes: artifact.rodata_bytes,
        weights_bytes: artifact.weights_bytes,
        arena_bytes: artifact.arena_bytes,
        arena_align: artifact.arena_align,
        stack_bytes: artifact.stack_bytes,
        macs: loops.macs,
        functions: artifact.functions.clone(),
        steps: loops
            .program
            .calls()
            .into_iter()
            .map(|(call, _)| step_metadata(loops, artifact, call))
            .collect(),
    }
}

/// The target's features without those of matrix tiles, where no function has sums in them: a
/// process has to ask for the tiles.
pub(crate) fn used_features(loops: &Loops, target: &Target) -> Vec<String> {
    let in_tiles = loops.funcs.values().any(|func| func.matrix_tiles().is_some());
    let is_used = |name: &&String| in_tiles || !name.starts_with("amx-");
    target.features.iter().filter(is_used).cloned().collect()
}

fn tensor(port: &Port) -> TensorMetadata {
    TensorMetadata {
        name: port.name.clone(),
        identifier: names::identifier(&port.name),
        ty: port.ty.clone(),
    }
}

/// `artifact.functions` lists the loop functions in their order.
fn step_metadata(loops: &Loops, artifact: &Artifact, call: &Call<FuncId>) -> StepMetadata {
    let sources = loops.locs[call.loc].sources(&loops.locs);
    StepMetadata {
        function: artifact.functions[call.callee.as_u32() as usize].name.clone(),
        sources: sources.iter().map(ToString::to_string).collect(),
    }
}
