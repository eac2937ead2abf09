//! What a caller passes: which ports of a program are arguments and which lie in the state.

use edgecc_ir::kernel::Port;
use edgecc_ir::loops::Loops;
use edgecc_ir::state::State;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::ElemType;
use edgecc_rt::abi;
use edgecc_rt::descriptor::StateLayout;

/// The caller's view of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Inputs that are arguments, in call order.
    pub inputs: Vec<Port>,
    /// Outputs that are arguments, in call order.
    pub outputs: Vec<Port>,
    /// What is kept between runs, named after its inputs, by place.
    pub states: Vec<StatePort>,
    /// Bytes of the state.
    pub state_bytes: usize,
    /// Alignment of the state.
    pub state_align: usize,
    /// Where each input of the program comes from.
    pub input_places: Vec<Passed>,
    /// Where each output of the program goes.
    pub output_places: Vec<Passed>,
}

/// One part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePort {
    /// Name of the input, and the type.
    pub port: Port,
    /// Bytes from the start of the state.
    pub offset: usize,
    /// The value before the first run; zeros if absent.
    pub initial: Option<Tensor>,
}

/// How a port of the program is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// As the argument with this number.
    Argument(usize),
    /// In the state, this many bytes from its start.
    State(usize),
}

impl Interface {
    /// The interface of a program with states, which are in the order of their inputs.
    pub(crate) fn of(loops: &Loops, states: &[State]) -> Interface {
        let port = |state: &State| &loops.inputs[state.input as usize];
        let sizes = states.iter().map(|s| (abi_elem(port(s).ty.elem), port(s).ty.bytes()));
        let layout = StateLayout::of(sizes);
        let offset = |of: &dyn Fn(&State) -> u32, at: usize| {
            states.iter().position(|s| of(s) as usize == at).map(|n| layout.offsets[n])
        };
        let (inputs, input_places) = split(&loops.inputs, |at| offset(&|s| s.input, at));
        let (outputs, output_places) = split(&loops.outputs, |at| offset(&|s| s.output, at));
        let state_port = |(state, &offset): (&State, &usize)| StatePort {
            port: port(state).clone(),
            offset,
            initial: state.initial.clone(),
        };
        Interface {
            inputs,
            outputs,
            states: states.iter().zip(&layout.offsets).map(state_port).collect(),
            state_bytes: layout.bytes,
            state_align: layout.align,
            input_places,
            output_places,
        }
    }

    /// The bytes that a state starts with; empty when they are all zero.
    #[must_use]
    pub fn initial_state(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.state_bytes];
        for state in &self.states {
            if let Some(tensor) = &state.initial {
                bytes[state.offset..][..tensor.bytes().len()].copy_from_slice(tensor.bytes());
            }
        }
        if bytes.iter().all(|&byte| byte == 0) { Vec::new() } else { bytes }
    }
}

/// The ABI's code of an element type.
pub(crate) fn abi_elem(elem: ElemType) -> abi::Elem {
    abi::Elem::from_code(elem.onnx_code()).expect("the codes are ONNX's in both")
}

/// The ports without a place in the state, and the place of each port.
fn split(ports: &[Port], offset: impl Fn(usize) -> Option<usize>) -> (Vec<Port>, Vec<Passed>) {
    let mut arguments = Vec::new();
    let place = |(at, port): (usize, &Port)| {
        offset(at).map_or_else(
            || {
                arguments.push(port.clone());
                Passed::Argument(arguments.len() - 1)
            },
            Passed::State,
        )
    };
    let places = ports.iter().enumerate().map(place).collect();
    (arguments, places)
}
