//! Graph → Kernels: one kernel per op; views disappear into access maps.
//!
//! Needs: a verified graph without empty tensors. Gives: kernels interned by structure, in the
//! canonical form of `collapse`, without schedules. Neighbours that `group` joins are one kernel. A
//! reshape of a whole buffer is a call binding, a view that no access map can express is copied once.

mod collapse;
mod compact;
mod group;
mod lift;
mod settle;
mod views;

use crate::recognise;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use edgecc_ir::affine::Affine;
use edgecc_ir::graph::ops::Op;
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::kernel::build::{KernelBuilder, access_axes};
use edgecc_ir::kernel::{
    Access, AxisId, Buffer, BufferId, Home, Index, Kernel, KernelId, Kernels, Operand, OperandId,
    Port, Role, Stage,
};
use edgecc_ir::loc::{Loc, LocId};
use edgecc_ir::program::{Call, Program, Step};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::types::TensorType;
use group::Piece;
use indexmap::IndexMap;
use smallvec::SmallVec;
use views::View;

/// Turns each op into a call of an interned kernel, or into a view.
#[must_use]
pub fn form_kernels(graph: &Graph) -> Kernels {
    let mut former = Former::new(graph);
    for &op in &graph.order {
        let view = former.op(op);
        former.views[op] = Some(view);
    }
    for index in 0..graph.outputs.len() {
        former.output(index);
    }
    former.finish()
}

struct Former<'g> {
    graph: &'g Graph,
    out: Kernels,
    views: SecondaryMap<OpId, Option<View>>,
    pieces: Vec<Piece>,
    interned: IndexMap<Kernel, KernelId>,
    /// The results of each routine and its operands; ops that are its results share one call.
    routines: IndexMap<(Kernel, Vec<OpId>), Vec<View>>,
}

impl<'g> Former<'g> {
    fn new(graph: &'g Graph) -> Former<'g> {
        let port = |o: &edgecc_ir::graph::Output| Port {
            name: o.name.clone(),
            ty: graph.ty(o.value).clone(),
        };
        let out = Kernels {
            name: graph.name.clone(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: graph.consts.clone(),
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.iter().map(port).collect(),
            program: Program::default(),
            locs: graph.locs.clone(),
        };
        Former {
            graph,
            out,
            views: SecondaryMap::new(),
            pieces: Vec::new(),
            interned: IndexMap::new(),
            routines: IndexMap::new(),
        }
    }

    fn view(&self, op: OpId) -> &View {
        self.views[op].as_ref().expect("G2: operands come first")
    }

    fn buffer(&mut self, ty: &TensorType, home: Home) -> BufferId {
        self.out.buffers.push(Buffer { ty: ty.clone(), home })
    }

    fn op(&mut self, id: OpId) -> View {
        let data = &self.graph.ops[id];
        match &data.op {
            Op::Input(input) => {
                View::whole(self.buffer(&data.ty, Home::Input(input.index)), &data.ty)
            }
            Op::Const(constant) => {
                View::whole(self.buffer(&data.ty, Home::Const(constant.id)), &data.ty)
            }
            Op::Reshape(_) => self.reshape(data.args[0], &data.ty),
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

    fn reshape(&mut self, arg: OpId, ty: &TensorType) -> View {
        if let Some(view) = self.view(arg).reshaped(ty) {
            return view;
        }
        self.materialize(arg);
        self.view(arg).reshaped(ty).expect("a whole buffer takes any shape")
    }

    /// Copies a view into a buffer of its own and uses that from now on.
    fn materialize(&mut self, op: OpId) {
        let ty = self.graph.ty(op).clone();
        let view = self.copy(op, Home::Arena, &ty);
        self.views[op] = Some(view);
    }

    fn copy(&mut self, op: OpId, home: Home, ty: &TensorType) -> View {
        let mut b = KernelBuilder::new("copy");
        let axes = b.parallel(&ty.shape);
        let read = access_axes(b.read(ty), &axes);
        let write = access_axes(b.write(ty), &axes);
        b.map_stage(axes, vec![read], ScalarExpr::identity(), write);
        let view = self.call(&b.finish(), &[op], ty, self.graph.ops[op].loc);
        self.out.buffers[view.buffer].home = home;
        view
    }

    fn call(&mut self, kernel: &Kernel, args: &[OpId], ty: &TensorType, loc: LocId) -> View {
        let reads: Vec<&Access> = kernel.stages.iter().flat_map(Stage::all_reads).collect();
        for read in reads {
            let arg = args[read.operand.index()];
            if self.view(arg).compose(read, kernel).is_none() {
                self.materialize(arg);
            }
            for lookup in read.lookups() {
                let arg = args[lookup.operand.index()];
                if self.view(arg).look_up(lookup, kernel).is_none() {
                    self.materialize(arg);
                }
            }
        }
        let views: Vec<&View> = args.iter().map(|&a| self.view(a)).collect();
        let mut args: SmallVec<[BufferId; 6]> = views.iter().map(|v| v.buffer).collect();
        let mut kernel = self.bind(kernel, &views);
        let result = self.buffer(ty, Home::Arena);
        args.push(result);
        collapse::drop_unit_axes(&mut kernel);
        self.pieces.push(Piece { kernel, args, locs: vec![loc] });
        View::whole(result, ty)
    }

    /// One result of a routine, which is called for the first of its results; it reads whole buffers.
    fn routine(&mut self, kernel: Kernel, args: &[OpId], result: usize, loc: LocId) -> View {
        let key = (kernel, args.to_vec());
        if let Some(results) = self.routines.get(&key) {
            return results[result].clone();
        }
        for &arg in args {
            if !self.view(arg).is_whole() {
                self.materialize(arg);
            }
        }
        let views: Vec<&View> = args.iter().map(|&a| self.view(a)).collect();
        let bound = self.bind(&key.0, &views);
        let mut buffers: SmallVec<[BufferId; 6]> = views.iter().map(|v| v.buffer).collect();
        let written = bound.operands.values().filter(|o| o.role == Role::Write);
        let types: Vec<TensorType> = written.map(|o| o.ty.clone()).collect();
        let results = types.iter().map(|ty| View::whole(self.buffer(ty, Home::Arena), ty));
        let results: Vec<View> = results.collect();
        buffers.extend(results.iter().map(|view| view.buffer));
        self.pieces.push(Piece { kernel: bound, args: buffers, locs: vec![loc] });
        let view = results[result].clone();
        self.routines.insert(key, results);
        view
    }

    /// Replaces each operand by the buffer that its view reads.
    fn bind(&self, kernel: &Kernel, views: &[&View]) -> Kernel {
        const COPIED: &str = "views that do not compose were copied";
        let through = |access: &Access| {
            let seen = views[access.operand.index()].compose(access, kernel).expect(COPIED);
            let index = seen.index.into_iter().map(|index| match index {
                Index::Affine(affine) => Index::Affine(affine),
                Index::Lookup(l) => {
                    Index::Lookup(views[l.operand.index()].look_up(&l, kernel).expect(COPIED))
                }
            });
            Access { index: index.collect(), ..seen }
        };
        let mut bound = kernel.clone();
        for stage in &mut bound.stages {
            stage.reads = stage.reads.iter().map(through).collect();
            stage.epilogue_reads = stage.epilogue_reads.iter().map(through).collect();
        }
        for (at, view) in views.iter().enumerate() {
            let constant = matches!(self.out.buffers[view.buffer].home, Home::Const(_));
            let role = if constant { Role::Const } else { Role::Read };
            bound.operands[OperandId::new(at)] = Operand { ty: view.ty.clone(), role };
        }
        bound
    }

    /// Joins pieces to rows and makes them calls of interned kernels.
    fn finish(mut self) -> Kernels {
        let pieces = std::mem::take(&mut self.pieces);
        let homes = &self.out.buffers;
        for piece in group::join_rows(pieces, |buffer| homes[buffer].home == Home::Arena) {
            let mut kernel = piece.kernel;
            if kernel.routine.is_none() {
                kernel = collapse::canonical(kernel);
            }
            if let Some(name) = recognise::name_of(&kernel) {
                kernel.name = name;
            }
            let kernel = self.intern(kernel);
            let loc = match piece.locs.as_slice() {
                [only] => *only,
                several => self.out.locs.push(Loc::Fused(several.to_vec())),
            };
            let args = piece.args.into_iter().map(Into::into).collect();
            self.out.program.steps.push(Step::Call(Call { callee: kernel, args, loc }));
        }
        compact::drop_unused_buffers(&mut self.out);
        self.out
    }

    fn intern(&mut self, kernel: Kernel) -> KernelId {
        if let Some(&known) = self.interned.get(&kernel) {
            return known;
        }
        let id = self.out.kernels.push(kernel.clone());
        self.interned.insert(kernel, id);
        id
    }

    /// Makes an output's value live in the caller's buffer, by a copy where it cannot be computed
    /// there.
    fn output(&mut self, index: usize) {
        let op = self.graph.outputs[index].value;
        let ty = self.graph.ty(op).clone();
        let (view, home) = (self.view(op), Home::Output(index as u32));
        let buffer = &self.out.buffers[view.buffer];
        if view.is_whole() && buffer.home == Home::Arena {
            let buffer = view.buffer;
            self.out.buffers[buffer].home = home;
        } else if ty.shape.numel() == 0 {
            self.buffer(&ty, home);
        } else {
            self.copy(op, home, &ty);
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
