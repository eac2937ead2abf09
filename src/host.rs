//! A model compiled for this machine, loaded and run in this process.

use crate::code::Code;
use crate::driver::Compiled;
use crate::failure::Failure;
use edgecc_backend::Artifact;
use edgecc_backend::interface::{Interface, Passed};
use edgecc_ir::kernel::Port;
use edgecc_ir::loops::Loops;
use edgecc_ir::tensor::Tensor;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::{Library, LoadedModel};
use edgecc_rt::model::Buffers as Memory;

/// A compiled model in this process.
#[derive(Debug)]
pub struct Host {
    library: Library,
    name: String,
    interface: Interface,
    outputs: Vec<Port>,
}

/// The buffers of a run, reusable.
#[derive(Debug)]
pub struct Buffers {
    inputs: Vec<Aligned>,
    outputs: Vec<Aligned>,
    state: Aligned,
    workspace: Aligned,
}

impl Host {
    /// Links and loads a compilation for this machine.
    ///
    /// # Errors
    /// When the system cannot load it or the processor lacks a feature.
    pub fn load(compiled: &Compiled) -> Result<Host, Failure> {
        Host::load_code(&compiled.loops, &compiled.code)
    }

    /// Links and loads a program and its code, which may use matrix tiles where the system gives
    /// them to this process.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_code(loops: &Loops, code: &Artifact) -> Result<Host, Failure> {
        edgecc_rt::cpu::enable_tiles();
        let shared = edgecc_backend::link::shared_object(&code.object)?;
        let library = Library::from_bytes(&shared).map_err(|e| failed(&e))?;
        let host = Host {
            library,
            name: loops.name.clone(),
            interface: code.interface.clone(),
            outputs: loops.outputs.clone(),
        };
        host.library.model(&host.name).map_err(|e| failed(&e))?;
        Ok(host)
    }

    /// Buffers that hold these inputs of the program, some of which may be states.
    ///
    /// # Errors
    /// As `load`.
    pub fn buffers(&self, inputs: &[Tensor]) -> Result<Buffers, Failure> {
        let model = self.model()?;
        let mut arguments = Vec::new();
        let mut state = vec![0; self.interface.state_bytes];
        for (tensor, place) in inputs.iter().zip(&self.interface.input_places) {
            match *place {
                Passed::Argument(_) => arguments.push(Aligned::new(tensor.bytes())),
                Passed::State(at) => {
                    state[at..][..tensor.bytes().len()].copy_from_slice(tensor.bytes());
                }
            }
        }
        let outputs = self.interface.outputs.iter();
        Ok(Buffers {
            inputs: arguments,
            outputs: outputs.map(|p| Aligned::zeros(p.ty.bytes())).collect(),
            state: Aligned::new(&state),
            workspace: Aligned::zeros(model.info().arena_bytes() as usize),
        })
    }

    /// The model, checked against this processor, which takes longer than a small model's run.
    ///
    /// # Errors
    /// As `load`.
    pub fn model(&self) -> Result<LoadedModel<'_>, Failure> {
        self.library.model(&self.name).map_err(|e| failed(&e))
    }

    /// One run on prepared buffers.
    ///
    /// # Errors
    /// When the buffers are not those of this model.
    pub fn run_with(
        &self,
        model: &LoadedModel<'_>,
        hooks: &Hooks<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), Failure> {
        let inputs: Vec<&[u8]> = buffers.inputs.iter().map(Aligned::bytes).collect();
        let mut outputs: Vec<&mut [u8]> =
            buffers.outputs.iter_mut().map(Aligned::bytes_mut).collect();
        let memory = Memory {
            inputs: &inputs,
            outputs: &mut outputs,
            state: buffers.state.bytes_mut(),
            workspace: buffers.workspace.bytes_mut(),
        };
        model.run_with(hooks, memory).map_err(|e| failed(&e))
    }

    /// The program's outputs for its inputs, some of which may be states.
    ///
    /// # Errors
    /// When the inputs are not those of this model.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Failure> {
        self.run_on(&Hooks::NONE, inputs)
    }

    /// As `run`, with services.
    ///
    /// # Errors
    /// As `run`.
    pub fn run_on(&self, hooks: &Hooks<'_>, inputs: &[Tensor]) -> Result<Vec<Tensor>, Failure> {
        let mut buffers = self.buffers(inputs)?;
        self.run_with(&self.model()?, hooks, &mut buffers)?;
        let tensor = |(port, place): (&Port, &Passed)| {
            let bytes = match *place {
                Passed::Argument(at) => buffers.outputs[at].bytes(),
                Passed::State(at) => &buffers.state.bytes()[at..][..port.ty.bytes()],
            };
            Tensor::from_bytes(port.ty.clone(), bytes.to_vec())
        };
        Ok(self.outputs.iter().zip(&self.interface.output_places).map(tensor).collect())
    }
}

fn failed(why: &dyn std::fmt::Display) -> Failure {
    Code::Run.error(format!("cannot run the compiled model: {why}")).into()
}

/// Bytes that start at a multiple of 64, as much as any model asks for.
#[derive(Debug)]
struct Aligned {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    const ALIGN: usize = 64;

    fn new(bytes: &[u8]) -> Aligned {
        let mut aligned = Aligned::zeros(bytes.len());
        aligned.bytes_mut().copy_from_slice(bytes);
        aligned
    }

    fn zeros(len: usize) -> Aligned {
        let storage = vec![0; len + Aligned::ALIGN];
        let start = storage.as_ptr().align_offset(Aligned::ALIGN);
        Aligned { storage, start, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}
