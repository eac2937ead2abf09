//! A graph with inputs, and what the engines compute for them.

use edgecc::driver::{Compiled, Ir};
use edgecc_ir::graph::{Graph, random};
use edgecc_ir::kernel::ConstId;
use edgecc_ir::rng::Rng;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::text::parse_graph;
use edgecc_ir::{graph, kernel, loops};
use edgecc_rt::hooks::Hooks;
use edgecc_rt::load::Library;
use edgecc_rt::model::Buffers;

/// Share of an output's largest magnitude by which its elements may differ.
const TOLERANCE: f64 = 1e-5;

/// A graph, inputs, and the outputs that its evaluation gives.
pub(crate) struct Case {
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<Tensor>,
    expected: Vec<Tensor>,
}

impl Case {
    /// Parses a graph and fills its elided constants and its inputs with random values.
    pub(crate) fn read(text: &str) -> Case {
        let parsed = parse_graph(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        Case::of(parsed.ir, &parsed.elided)
    }

    /// A graph with random inputs, and with random values in these constants.
    pub(crate) fn of(mut graph: Graph, open: &[ConstId]) -> Case {
        let mut rng = Rng::new(1);
        for &id in open {
            let ty = graph.consts[id].ty.clone();
            graph.consts[id] = random::tensor(&ty, &mut rng);
        }
        let inputs: Vec<Tensor> =
            graph.inputs.iter().map(|port| random::tensor(&port.ty, &mut rng)).collect();
        let expected = graph::eval::eval(&graph, &inputs);
        Case { graph, inputs, expected }
    }

    /// Fails when the outputs at a place are not those of the graph; integers are equal.
    pub(crate) fn assert_agrees(&self, place: &str, found: &[Tensor]) {
        assert_eq!(found.len(), self.expected.len(), "{place}: number of outputs");
        for (output, (expected, found)) in self.expected.iter().zip(found).enumerate() {
            assert_eq!(found.ty, expected.ty, "{place}: type of output {output}");
            let scale = expected.iter().map(|e| e.as_f64().abs()).fold(0.0, f64::max);
            let bound = if expected.ty.elem.is_float() { TOLERANCE * scale } else { 0.0 };
            for (at, (e, f)) in expected.iter().zip(found.iter()).enumerate() {
                let (e, f) = (e.as_f64(), f.as_f64());
                let close = (e - f).abs() <= bound;
                assert!(close, "{place}: element {at} of output {output} is {f} instead of {e}");
            }
        }
    }
}

/// What a level computes, by its own definition.
pub(crate) fn level(ir: Ir<'_>, inputs: &[Tensor]) -> Vec<Tensor> {
    match ir {
        Ir::Graph(graph) => graph::eval::eval(graph, inputs),
        Ir::Kernels(kernels) => kernel::eval::eval(kernels, inputs),
        Ir::Loops(loops) => loops::interp::run(loops, inputs),
    }
}

/// What the object, made for this machine, computes.
pub(crate) fn native(compiled: &Compiled, hooks: &Hooks<'_>, inputs: &[Tensor]) -> Vec<Tensor> {
    let shared = edgecc_backend::link::shared_object(&compiled.code.object);
    let library = Library::from_bytes(&shared.expect("the object links"));
    let library = library.expect("the library loads");
    let model = library.model(&compiled.loops.name).expect("the model is valid");
    let inputs: Vec<&[u8]> = inputs.iter().map(Tensor::bytes).collect();
    let types = compiled.loops.outputs.iter().map(|port| port.ty.clone());
    let mut outputs: Vec<Vec<u8>> = types.clone().map(|ty| vec![0xff; ty.bytes()]).collect();
    let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let align = compiled.code.arena_align as usize;
    let mut workspace = vec![0xff; compiled.code.arena_bytes as usize + align];
    let start = workspace.as_ptr().align_offset(align);
    let workspace = &mut workspace[start..];
    let buffers = Buffers { inputs: &inputs, outputs: &mut places, state: &mut [], workspace };
    model.run_with(hooks, buffers).expect("the model runs");
    types.zip(outputs).map(|(ty, bytes)| Tensor::from_bytes(ty, bytes)).collect()
}
