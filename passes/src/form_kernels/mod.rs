//! Graph → Kernels: one kernel per op; views disappear into access maps.
//!
//! Needs: a verified graph without empty tensors. Gives: kernels interned by structure, in the
//! canonical form of `collapse`, without schedules. Neighbours that `group` joins are one kernel. A
//! reshape of a whole buffer is a call binding, a view that no access map can express is copied
//! once. Bodies of repetitions and choices become blocks of the program.

mod blocks;
mod calls;
mod collapse;
mod compact;
mod detach;
mod group;
mod in_blocks;
mod lift;
mod live;
mod merge;
mod narrow;
mod piece;
mod region;
mod settle;
#[cfg(test)]
mod testing;
mod views;
mod write_through;

use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
pub(crate) use detach::detach;
use edgecc_ir::affine::Affine;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::kernel::build::{KernelBuilder, access_axes};
use edgecc_ir::kernel::{AxisId, Buffer, BufferId, ConstId, Home, Kernel, KernelId, Kernels, Port};
use edgecc_ir::loc::LocId;
use edgecc_ir::program::{Place, Program, Step};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::TensorType;
use indexmap::IndexMap;
use piece::Piece;
pub(crate) use piece::position;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use views::View;

/// Turns each op into a call of an interned kernel, or into a view.
#[must_use]
pub fn form_kernels(graph: &Graph) -> Kernels {
    let mut out = Out::new(graph);
    let mut former = Former::outermost(&mut out, graph);
    former.run(&graph.order);
    for index in 0..graph.outputs.len() {
        former.output(index);
    }
    former.join(&BTreeSet::new());
    out.finish()
}

/// What is made.
struct Out {
    kernels: Kernels,
    /// The block under construction.
    items: Vec<Item>,
    interned: IndexMap<Kernel, KernelId>,
}

/// A part of a block.
enum Item {
    /// A kernel that may still be joined to others.
    Piece(Box<Piece>),
    Step(Step<KernelId>),
}

/// The steps of a finished block.
fn steps(items: Vec<Item>) -> Vec<Step<KernelId>> {
    let step = |item| match item {
        Item::Step(step) => step,
        Item::Piece(_) => unreachable!("a finished block has calls in place of pieces"),
    };
    items.into_iter().map(step).collect()
}

/// An op with bodies, its result left open, and its operands.
type RegionKey = (Op, SmallVec<[OpId; 4]>);

/// The state of one graph: the model's or a body.
struct Former<'o, 'g> {
    out: &'o mut Out,
    graph: &'g Graph,
    views: SecondaryMap<OpId, Option<View>>,
    /// In a body, the view of each parameter that is needed.
    params: Option<Vec<Option<View>>>,
    /// The results of ops with bodies.
    regions: IndexMap<RegionKey, Vec<Option<View>>>,
    /// The results of each routine and its operands; ops that are its results share one call.
    routines: IndexMap<(Kernel, Vec<OpId>), Vec<View>>,
    /// The pools of the graph start here in the pools of the kernels.
    first_const: usize,
    first_loc: usize,
    /// The first buffer that was made for this graph.
    first_local: usize,
}

impl Out {
    fn new(graph: &Graph) -> Out {
        let port = |o: &edgecc_ir::graph::Output| Port {
            name: o.name.clone(),
            ty: graph.ty(o.value).clone(),
        };
        let kernels = Kernels {
            name: graph.name.clone(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: graph.consts.clone(),
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.iter().map(port).collect(),
            program: Program::default(),
            locs: graph.locs.clone(),
        };
        Out { kernels, items: Vec::new(), interned: IndexMap::new() }
    }

    fn finish(mut self) -> Kernels {
        self.kernels.program.steps = steps(self.items);
        compact::drop_unused_buffers(&mut self.kernels);
        self.kernels
    }
}

impl<'o, 'g> Former<'o, 'g> {
    fn outermost(out: &'o mut Out, graph: &'g Graph) -> Former<'o, 'g> {
        Former {
            out,
            graph,
            views: SecondaryMap::new(),
            params: None,
            regions: IndexMap::new(),
            routines: IndexMap::new(),
            first_const: 0,
            first_loc: 0,
            first_local: 0,
        }
    }

    /// The state of a body, whose pools are appended to those of the kernels.
    fn inside(out: &'o mut Out, graph: &'g Graph, params: Vec<Option<View>>) -> Former<'o, 'g> {
        let first_const = out.kernels.consts.len();
        let first_loc = out.kernels.locs.len();
        let first_local = out.kernels.buffers.len();
        graph.consts.values().for_each(|tensor| {
            out.kernels.consts.push(tensor.clone());
        });
        let moved = |id: LocId| LocId::new(first_loc + id.index());
        for loc in graph.locs.values() {
            out.kernels.locs.push(loc.moved(moved));
        }
        let params = Some(params);
        Former { params, first_const, first_loc, first_local, ..Former::outermost(out, graph) }
    }

    /// Runs ops of the graph in this order.
    fn run(&mut self, ops: &[OpId]) {
        for &op in ops {
            let view = self.op(op);
            self.views[op] = Some(view);
        }
    }

    fn push(&mut self, step: Step<KernelId>) {
        self.out.items.push(Item::Step(step));
    }

    fn view(&self, op: OpId) -> &View {
        self.views[op].as_ref().expect("G2: operands come first")
    }

    fn buffer(&mut self, ty: &TensorType, home: Home) -> BufferId {
        self.out.kernels.buffers.push(Buffer { ty: ty.clone(), home })
    }

    fn op(&mut self, id: OpId) -> View {
        let data = &self.graph.ops[id];
        match &data.op {
            Op::Input(input) => match &self.params {
                None => self.whole(&data.ty, Home::Input(input.index)),
                Some(params) => {
                    params[input.index as usize].clone().expect("a parameter that is read")
                }
            },
            Op::Const(constant) => {
                let id = ConstId::new(self.first_const + constant.id.index());
                self.whole(&data.ty, Home::Const(id))
            }
            Op::Reshape(_) => self.reshape(data.args[0], &data.ty),
            Op::Repeat(_) | Op::If(_) => self.region(id),
            op => {
                let types: Vec<&TensorType> = data.args.iter().map(|&a| self.graph.ty(a)).collect();
                let kernel = op.kernel(&types);
                if kernel.routine.is_some() {
                    return self.routine(kernel, &data.args, op.result(), data.loc);
                }
                match views::absorbed(&kernel)
                    .and_then(|read| self.view(data.args[0]).seen_by(read, &kernel))
                {
                    Some(view) => view,
                    None => self.call(&kernel, &data.args, &data.ty, data.loc),
                }
            }
        }
    }

    /// A new buffer.
    fn whole(&mut self, ty: &TensorType, home: Home) -> View {
        View::whole(self.buffer(ty, home).into(), ty)
    }

    fn reshape(&mut self, arg: OpId, ty: &TensorType) -> View {
        if let Some(view) = self.view(arg).reshaped(ty) {
            return view;
        }
        self.materialize(arg);
        self.view(arg).reshaped(ty).expect("a whole buffer takes any shape")
    }

    /// Copies a view into a buffer of its own and uses that from now on.
    fn materialize(&mut self, op: OpId) {
        let view = self.whole(self.graph.ty(op), Home::Arena);
        self.copy_into(op, view.place.clone());
        self.views[op] = Some(view);
    }

    /// Copies a value to a place.
    fn copy_into(&mut self, op: OpId, place: Place) {
        let ty = self.graph.ty(op);
        let mut b = KernelBuilder::new("copy");
        let axes = b.parallel(&ty.shape);
        let read = access_axes(b.read(ty), &axes);
        let write = access_axes(b.write(ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        self.call_into(&b.finish(), &[op], place, self.graph.ops[op].loc);
    }

    /// Whether the view is a whole buffer from its first element on.
    fn is_all_of_its_buffer(&self, view: &View) -> bool {
        let buffer = &self.out.kernels.buffers[view.place.buffer];
        let elements = buffer.ty.shape.numel();
        view.is_whole() && view.place.is_start() && view.ty.shape.numel() == elements
    }

    /// Makes an output's value live in the caller's buffer, by a copy where it cannot be computed
    /// there.
    fn output(&mut self, index: usize) {
        let op = self.graph.outputs[index].value;
        let ty = self.graph.ty(op).clone();
        let (view, home) = (self.view(op), Home::Output(index as u32));
        let buffer = view.place.buffer;
        let is_arena = self.out.kernels.buffers[buffer].home == Home::Arena;
        if is_arena && self.is_all_of_its_buffer(view) {
            self.out.kernels.buffers[buffer].home = home;
        } else {
            let buffer = self.buffer(&ty, home);
            if ty.shape.numel() > 0 {
                self.copy_into(op, buffer.into());
            }
        }
    }
}

/// The n-th dimension of a result, as an axis.
fn dim(d: usize) -> AxisId {
    AxisId::new(d)
}

/// One axis per dimension.
fn dims(rank: usize) -> Vec<Affine<AxisId>> {
    (0..rank).map(|d| Affine::var(dim(d))).collect()
}

#[cfg(test)]
mod tests {
    use super::form_kernels;
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::ops::{Gather, Map, Pad, Reshape, Slice, Transpose};
    use edgecc_ir::kernel::Home;
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::Scalar;
    use edgecc_ir::types::{ElemType, Shape, TensorType};

    fn build(f: impl FnOnce(&mut GraphBuilder)) -> Graph {
        let mut b = GraphBuilder::new("m");
        f(&mut b);
        b.finish()
    }

    fn f32(dims: &[usize]) -> TensorType {
        TensorType::new(ElemType::F32, dims)
    }

    #[test]
    fn views_become_one_copy_into_the_output() {
        let graph = build(|b| {
            let x = b.input("x", f32(&[4, 6]));
            let t = b.add(Transpose { perm: vec![1, 0] }, &[x]).unwrap();
            let s = Slice { starts: vec![5, 0], steps: vec![-1, 2], shape: Shape::new(&[3, 2]) };
            let s = b.add(s, &[t]).unwrap();
            let p = b.add(Pad { low: vec![1, 0], high: vec![0, 0], value: Scalar::f32(7.0) }, &[s]);
            b.output("y", p.unwrap());
        });
        let kernels = form_kernels(&graph);
        assert_eq!(
            kernels.program.steps.len(),
            2,
            "the pad's bounds are those of the slice, which is copied"
        );
        let last = &kernels.program.calls()[1].0.args[1];
        assert_eq!(kernels.buffers[last.buffer].home, Home::Output(0));
    }

    #[test]
    fn a_view_of_a_prefix_is_not_the_whole_buffer() {
        let graph = build(|b| {
            let x = b.input("x", f32(&[4, 6]));
            let s = Slice { starts: vec![0, 0], steps: vec![1, 1], shape: Shape::new(&[2, 6]) };
            let s = b.add(s, &[x]).unwrap();
            let r = b.add(Reshape { shape: Shape::new(&[12]) }, &[s]).unwrap();
            b.output("y", r);
        });
        let kernels = form_kernels(&graph);
        assert_eq!(edgecc_ir::kernel::verify::verify(&kernels), Ok(()));
        assert_eq!(kernels.program.steps.len(), 1);
    }

    #[test]
    fn gathers_run_where_their_elements_are_used() {
        let graph = build(|b| {
            let table = b.input("table", f32(&[9, 8]));
            let tokens = b.input("tokens", TensorType::new(ElemType::I64, &[5]));
            let along = Gather::along(0, &Shape::new(&[9, 8]), &Shape::new(&[5]));
            let rows = b.add(along, &[table, tokens]).unwrap();
            let bias = b.input("bias", f32(&[5, 8]));
            let sum = b.add(Map { body: ScalarExpr::call(ScalarFn::Add) }, &[rows, bias]).unwrap();
            b.output("y", sum);
        });
        let kernels = form_kernels(&graph);
        assert_eq!(edgecc_ir::kernel::verify::verify(&kernels), Ok(()));
        assert_eq!(kernels.program.steps.len(), 1);
    }

    #[test]
    fn a_reshape_of_a_buffer_costs_nothing() {
        let graph = build(|b| {
            let x = b.input("x", f32(&[4, 6]));
            let r = b.add(Reshape { shape: Shape::new(&[24]) }, &[x]).unwrap();
            b.output("y", r);
        });
        assert_eq!(
            form_kernels(&graph).program.steps.len(),
            1,
            "only the copy to the output is left"
        );
    }
}
