//! Bodies inside ops: constants move into them, all graph passes run on them, and a body that runs
//! exactly once becomes part of the graph around it.

use super::PASSES;
use super::canonicalize::{canonical, reshape};
use super::operands::is_constant;
use super::rebuild::{Rebuild, rebuild};
use crate::manager::{Pass, PassCx, run_passes};
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::body::Body;
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{If, Op, Repeat};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::types::Shape;
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "bodies", doc: "optimises bodies and inlines those that run once", run };

fn run(graph: &mut Graph, cx: &PassCx<'_>) {
    let mut bodies = Bodies { cx, known: IndexMap::new() };
    rebuild(graph, |new, data, args| match &data.op {
        Op::If(op) => bodies.choice(new, op, args),
        Op::Repeat(op) if op.count == 1 && !op.conditional => once(new, op, args),
        Op::Repeat(op) => bodies.repeat(new, op, args),
        other => new.emit(other.clone(), args),
    });
}

/// Optimised bodies, by the body and its constant operands.
struct Bodies<'c> {
    cx: &'c PassCx<'c>,
    known: IndexMap<(Body, Vec<Option<OpId>>), Body>,
}

impl Bodies<'_> {
    fn choice(&mut self, new: &mut Rebuild, op: &If, args: &[OpId]) -> OpId {
        let (test, args) = args.split_first().expect("G4: a condition");
        if let Some(test) = new.graph().as_const(*test) {
            let body = if test.get(0).is_true() { &op.then } else { &op.otherwise };
            return inline(new, body.graph(), args, op.result as usize);
        }
        let constants = constants(new, args, 0);
        let bodies = [&op.then, &op.otherwise].map(|body| self.optimised(new, body, &constants));
        let used: BTreeSet<usize> =
            bodies.iter().flat_map(|body| params_of(body.graph())).collect();
        let [then, otherwise] = bodies.map(|body| without(&body, &used));
        let args = [*test].into_iter().chain(used.into_iter().map(|n| args[n]));
        new.emit(If { then, otherwise, result: op.result }, &args.collect::<Vec<OpId>>())
    }

    fn repeat(&mut self, new: &mut Rebuild, op: &Repeat, args: &[OpId]) -> OpId {
        let (carried, same) = (op.carried as usize, op.carried as usize + op.scanned.len());
        let body = self.optimised(new, &op.body, &constants(new, args, same));
        let mut used = params_of(body.graph());
        used.extend(0..carried);
        let steps = op.scanned.iter().enumerate();
        let steps = steps.filter(|(n, _)| used.contains(&(carried + n))).map(|(_, &step)| step);
        let (scanned, body) = (steps.collect(), without(&body, &used));
        let args: Vec<OpId> = used.into_iter().map(|n| args[n]).collect();
        new.emit(Repeat { body, scanned, ..op.clone() }, &args)
    }

    /// The body with its constant operands inside it, after all passes; its parameters stay.
    fn optimised(&mut self, new: &Rebuild, body: &Body, constants: &[Option<OpId>]) -> Body {
        let key = (body.clone(), constants.to_vec());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut graph = with_constants(new, body.graph(), constants);
        run_passes(&mut graph, PASSES, self.cx, |_, _, _| {});
        self.known.entry(key).or_insert(graph.into()).clone()
    }
}

/// The operands from `first` on that are constant.
fn constants(new: &Rebuild, args: &[OpId], first: usize) -> Vec<Option<OpId>> {
    let constant = |(n, &arg): (usize, &OpId)| (n >= first && is_constant(new, arg)).then_some(arg);
    args.iter().enumerate().map(constant).collect()
}

fn with_constants(new: &Rebuild, graph: &Graph, constants: &[Option<OpId>]) -> Graph {
    copied(
        graph,
        |_| true,
        |b, n, input| match constants[n] {
            Some(constant) => sunk(b, new, constant),
            None => input,
        },
    )
}

/// A constant expression of the graph around a body, inside the body.
fn sunk(b: &mut GraphBuilder, new: &Rebuild, id: OpId) -> OpId {
    if let Some(tensor) = new.graph().as_const(id) {
        return b.constant(tensor.clone());
    }
    let data = &new.graph().ops[id];
    let args: Vec<OpId> = data.args.iter().map(|&a| sunk(b, new, a)).collect();
    b.add(data.op.clone(), &args).expect("G4: the op type-checked outside")
}

/// The body with the parameters in `used` alone; it reads no others.
fn without(body: &Body, used: &BTreeSet<usize>) -> Body {
    match used.len() == body.params().len() {
        true => body.clone(),
        false => copied(body.graph(), |n| used.contains(&n), |_, _, input| input).into(),
    }
}

/// The positions of the parameters that a body reads.
fn params_of(graph: &Graph) -> BTreeSet<usize> {
    let param = |&id: &OpId| match &graph.ops[id].op {
        Op::Input(input) => Some(input.index as usize),
        _ => None,
    };
    graph.order.iter().filter_map(param).collect()
}

/// The same graph with the inputs that `keep` names; `param` gives the value of an input that is
/// read.
fn copied(
    graph: &Graph,
    keep: impl Fn(usize) -> bool,
    mut param: impl FnMut(&mut GraphBuilder, usize, OpId) -> OpId,
) -> Graph {
    let mut b = GraphBuilder::with_pools(&graph.name, graph.consts.clone(), graph.locs.clone());
    let ports = graph.inputs.iter().enumerate();
    let inputs: Vec<Option<OpId>> =
        ports.map(|(n, port)| keep(n).then(|| b.input(&port.name, port.ty.clone()))).collect();
    let mut moved: SecondaryMap<OpId, Option<OpId>> = SecondaryMap::new();
    for &id in &graph.order {
        let data = &graph.ops[id];
        b.set_loc_id(data.loc);
        let args = data.args.iter().map(|&a| moved[a].expect("G2: operands come first"));
        let args: Vec<OpId> = args.collect();
        moved[id] = Some(match &data.op {
            Op::Input(input) => {
                let n = input.index as usize;
                param(&mut b, n, inputs[n].expect("an input that is read is kept"))
            }
            op => b.add(op.clone(), &args).expect("G4: the op type-checked before"),
        });
    }
    for output in &graph.outputs {
        b.output(&output.name, moved[output.value].expect("G2: outputs are in the order"));
    }
    b.finish()
}

/// A result of a body as a part of the graph around it.
fn inline(new: &mut Rebuild, graph: &Graph, args: &[OpId], result: usize) -> OpId {
    let mut moved: SecondaryMap<OpId, Option<OpId>> = SecondaryMap::new();
    for &id in &graph.order {
        let data = &graph.ops[id];
        let operands = data.args.iter().map(|&a| moved[a].expect("G2: operands come first"));
        let operands: Vec<OpId> = operands.collect();
        moved[id] = Some(match &data.op {
            Op::Input(input) => args[input.index as usize],
            Op::Const(constant) => new.constant(graph.consts[constant.id].clone()),
            op => canonical(new, op, &operands),
        });
    }
    moved[graph.outputs[result].value].expect("G2: outputs are in the order")
}

/// A repetition of one iteration: its slices are all there is.
fn once(new: &mut Rebuild, op: &Repeat, args: &[OpId]) -> OpId {
    let (carried, result) = (op.carried as usize, op.result as usize);
    let mut args = args.to_vec();
    for arg in &mut args[carried..carried + op.scanned.len()] {
        let slice = Shape::new(&new.ty(*arg).shape[1..]);
        *arg = reshape(new, &slice, *arg);
    }
    let value = inline(new, op.body.graph(), &args, result);
    if result < carried {
        return value;
    }
    let dims = [&[1], &new.ty(value).shape[..]].concat();
    reshape(new, &Shape::new(&dims), value)
}

#[cfg(test)]
mod tests {
    use super::PASS;
    use crate::manager::{PassCx, PassOptions};
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Map, Op, Repeat};
    use edgecc_ir::graph::verify::verify;
    use edgecc_ir::graph::{Graph, OpId};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    /// Sums of `count` slices, each times a constant.
    fn weighted_sums(count: usize) -> Graph {
        let slice = TensorType::new(ElemType::F32, &[2]);
        let mut b = GraphBuilder::new("body");
        let [sum, x, w, _unused] =
            ["sum", "x", "w", "unused"].map(|name| b.input(name, slice.clone()));
        let product = b.add(Map { body: ScalarExpr::call(ScalarFn::Mul) }, &[x, w]).expect("a map");
        let next =
            b.add(Map { body: ScalarExpr::call(ScalarFn::Add) }, &[sum, product]).expect("a map");
        b.output("sum", next);
        b.output("sums", next);
        let body = b.finish();

        let mut b = GraphBuilder::new("m");
        let x = b.input("x", TensorType::new(ElemType::F32, &[count, 2]));
        let other = b.input("other", slice);
        let start = b.constant(Tensor::from_f32s(&[2], &[0.5, 0.25]));
        let w = b.constant(Tensor::from_f32s(&[2], &[3.0, 5.0]));
        for result in 0..2 {
            let op = Repeat {
                body: body.clone().into(),
                count: count as u32,
                carried: 1,
                scanned: vec![1],
                stacked: vec![1],
                conditional: false,
                result,
            };
            let y = b.add(op, &[start, x, w, other]).expect("a repetition");
            b.output("y", y);
        }
        b.finish()
    }

    /// The optimised graph, which gives what it gave before.
    fn optimised(mut graph: Graph) -> Graph {
        let (target, options) = (Target::default_for(Arch::X86_64), PassOptions::default());
        let inputs: Vec<Tensor> = graph
            .inputs
            .iter()
            .map(|port| {
                Tensor::from_fn(port.ty.clone(), |n| edgecc_ir::tensor::Scalar::f32(n as f32))
            })
            .collect();
        let before = eval(&graph, &inputs);
        (PASS.run)(&mut graph, &PassCx::new(&target, &options));
        assert_eq!(verify(&graph), Ok(()));
        assert_eq!(eval(&graph, &inputs), before);
        graph
    }

    fn is_repeat(graph: &Graph, id: &OpId) -> bool {
        matches!(graph.ops[*id].op, Op::Repeat(_))
    }

    #[test]
    fn constants_move_in_and_unused_parameters_go() {
        let graph = optimised(weighted_sums(3));
        let ops: Vec<&OpId> = graph.order.iter().filter(|id| is_repeat(&graph, id)).collect();
        assert_eq!(ops.len(), 2);
        assert!(ops.iter().all(|id| graph.ops[**id].args.len() == 2), "the start and the slices");
    }

    #[test]
    fn what_runs_once_is_not_repeated() {
        let graph = optimised(weighted_sums(1));
        assert!(!graph.order.iter().any(|id| is_repeat(&graph, id)));
    }
}
