//! A model compiled for this machine, run on examples.

use crate::code::Code;
use crate::driver::{self, Compiled, Source};
use crate::failure::Failure;
use crate::host::Host;
use crate::options::{Options, TargetSpec};
use edgecc_frontend::quantize::{is_shift, is_switch};
use edgecc_ir::kernel::Port;
use edgecc_ir::tensor::{Scalar, Tensor};
use std::collections::BTreeMap;

/// Named tensors: the inputs of one run, or its outputs.
pub type Arrays = BTreeMap<String, Tensor>;

/// A program for this machine.
pub(super) struct Program {
    host: Host,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Inputs that the model keeps from run to run: the output that replaces each, and its value
    /// before the first run.
    states: BTreeMap<String, (String, Tensor)>,
}

/// Runs of a program one after the other, with what it keeps in between.
pub(super) struct Session<'a> {
    program: &'a Program,
    /// Inputs that are not part of examples.
    kept: Arrays,
}

impl Program {
    /// Compiles a model for exactly this machine.
    pub(super) fn new(bytes: &[u8], options: &Options) -> Result<Program, Failure> {
        let source = Source { bytes, stem: "model", folder: None };
        let options = Options { target: TargetSpec::native(), ..options.clone() };
        let compiled = driver::compile(&source, &options, &mut |_, _| {})?;
        Ok(Program {
            host: Host::load(&compiled)?,
            inputs: compiled.loops.inputs.clone(),
            outputs: compiled.loops.outputs.clone(),
            states: states(&compiled, &options),
        })
    }

    /// The outputs.
    pub(super) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    pub(super) fn session(&self) -> Session<'_> {
        self.session_with(&Arrays::new())
    }

    /// Runs in which some inputs are always the same.
    pub(super) fn session_with(&self, given: &Arrays) -> Session<'_> {
        let first = self.states.iter().map(|(name, (_, value))| (name.clone(), value.clone()));
        let mut kept = given.clone();
        kept.extend(first);
        Session { program: self, kept }
    }
}

impl Session<'_> {
    /// The program's outputs.
    pub(super) fn outputs(&self) -> &[Port] {
        &self.program.outputs
    }

    /// The outputs for an example; switches of layers are on or off as `switch` says, and nothing is
    /// added to the results of layers unless it is given.
    pub(super) fn run(
        &mut self,
        example: &Arrays,
        switch: impl Fn(&str) -> bool,
    ) -> Result<Vec<Tensor>, Failure> {
        let inputs: Result<Vec<Tensor>, Failure> =
            self.program.inputs.iter().map(|port| self.input(port, example, &switch)).collect();
        let outputs = self.program.host.run(&inputs?)?;
        for (name, (output, _)) in &self.program.states {
            let at = self.program.outputs.iter().position(|port| port.name == *output);
            self.kept.extend(at.map(|at| (name.clone(), outputs[at].clone())));
        }
        Ok(outputs)
    }

    fn input(
        &self,
        port: &Port,
        example: &Arrays,
        switch: impl Fn(&str) -> bool,
    ) -> Result<Tensor, Failure> {
        match example.get(&port.name).or_else(|| self.kept.get(&port.name)) {
            Some(tensor) if tensor.ty == port.ty => Ok(tensor.clone()),
            Some(tensor)
                if tensor.numel() == port.ty.shape.numel() && tensor.ty.elem == port.ty.elem =>
            {
                Ok(tensor.clone().reshaped(&port.ty.shape))
            }
            Some(tensor) => Err(misfit(format!(
                "the input {:?} is {}, an example has {}",
                port.name, port.ty, tensor.ty
            ))),
            None if is_switch(&port.name) => {
                Ok(Tensor::splat(&port.ty.shape, Scalar::bool(switch(&port.name))))
            }
            None if is_shift(&port.name) => Ok(Tensor::zeros(port.ty.clone())),
            None => Err(misfit(format!("no array for the input {:?}: {}", port.name, port.ty))),
        }
    }
}

fn misfit(message: String) -> Failure {
    Code::BadArrays.error(message).into()
}

fn states(compiled: &Compiled, options: &Options) -> BTreeMap<String, (String, Tensor)> {
    let first = |input: &str| {
        let state = compiled.code.interface.states.iter().find(|s| s.port.name == input)?;
        let zeros = || Tensor::zeros(state.port.ty.clone());
        Some(state.initial.clone().unwrap_or_else(zeros))
    };
    let row = |(input, output): (&String, &String)| {
        Some((input.clone(), (output.clone(), first(input)?)))
    };
    options.states.iter().filter_map(row).collect()
}

/// The elements of an `f32` tensor.
pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    let bytes = tensor.bytes().chunks_exact(4);
    bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
