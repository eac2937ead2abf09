//! Emits tensor primitives: folds what is constant, leaves out what changes nothing.

use crate::code::Code;
use crate::tensor::check_size;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{Broadcast, Concat, Map, Op, Pad, Reduce, Reshape, Slice, Transpose};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::loc::Loc;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Constants up to this many elements are computed at import even when they grow.
const SMALL: usize = 1 << 16;

/// Folding stops at this many scalar operations per op.
const MAX_FOLD_WORK: usize = 1 << 24;

/// A graph builder with ONNX-shaped conveniences.
pub(crate) struct Emit {
    builder: GraphBuilder,
    /// How much of a value is used, for values of data-dependent size.
    counts: BTreeMap<OpId, OpId>,
}

/// A `map` body under construction over operands of one element type.
pub(crate) struct Body<'a> {
    builder: &'a mut ExprBuilder,
    /// Type of the first operand and of literals.
    pub elem: ElemType,
}

impl Body<'_> {
    /// The expression that a closure builds over parameters of these types.
    pub(crate) fn expr(
        elems: &[ElemType],
        body: impl FnOnce(&mut Body<'_>, &[NodeId]) -> NodeId,
    ) -> ScalarExpr {
        ScalarExpr::build(elems.len() as u32, |builder| {
            let params: Vec<NodeId> = (0..elems.len() as u32).map(|p| builder.param(p)).collect();
            body(&mut Body { builder, elem: elems[0] }, &params)
        })
    }

    /// A literal of the operands' type.
    pub(crate) fn num(&mut self, value: f64) -> NodeId {
        self.builder.constant(Scalar::from_f64(self.elem, value))
    }

    /// A literal.
    pub(crate) fn literal(&mut self, value: Scalar) -> NodeId {
        self.builder.constant(value)
    }

    /// A conversion.
    pub(crate) fn cast(&mut self, to: ElemType, a: NodeId) -> NodeId {
        self.builder.cast(to, a)
    }

    /// A function of one operand.
    pub(crate) fn f1(&mut self, func: ScalarFn, a: NodeId) -> NodeId {
        self.builder.call(func, &[a])
    }

    /// A function of two operands.
    pub(crate) fn f2(&mut self, func: ScalarFn, a: NodeId, b: NodeId) -> NodeId {
        self.builder.call(func, &[a, b])
    }

    /// `a + b`.
    pub(crate) fn sum(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.f2(ScalarFn::Add, a, b)
    }

    /// `a − b`.
    pub(crate) fn sub(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.f2(ScalarFn::Sub, a, b)
    }

    /// `a · b`.
    pub(crate) fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.f2(ScalarFn::Mul, a, b)
    }

    /// `a / b`.
    pub(crate) fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.f2(ScalarFn::Div, a, b)
    }

    /// `if c then a else b`.
    pub(crate) fn select(&mut self, c: NodeId, a: NodeId, b: NodeId) -> NodeId {
        self.builder.call(ScalarFn::Select, &[c, a, b])
    }

    /// `min(hi, max(lo, x))`; NaN stays NaN.
    pub(crate) fn clamp(&mut self, x: NodeId, lo: NodeId, hi: NodeId) -> NodeId {
        let low = self.f2(ScalarFn::Max, lo, x);
        self.f2(ScalarFn::Min, hi, low)
    }
}

impl Emit {
    /// An empty graph.
    pub(crate) fn new(name: &str) -> Emit {
        Emit { builder: GraphBuilder::new(name), counts: BTreeMap::new() }
    }

    /// An empty graph for a body, its ops from where ops come now.
    pub(crate) fn inside(&self, name: &str) -> Emit {
        let mut emit = Emit::new(name);
        let graph = self.builder.graph();
        emit.set_loc(graph.locs[self.builder.loc()].clone());
        emit
    }

    /// The n-th graph input.
    pub(crate) fn graph_input(&self, n: usize) -> OpId {
        let graph = self.builder.graph();
        let is_input =
            |id: &OpId| matches!(&graph.ops[*id].op, Op::Input(i) if i.index as usize == n);
        graph.order.iter().copied().find(is_input).expect("inputs are added before they are used")
    }

    /// The finished graph, dead ops included.
    pub(crate) fn into_graph(self) -> Graph {
        self.builder.finish()
    }

    /// Ops added from now on come from here.
    pub(crate) fn set_loc(&mut self, loc: Loc) {
        self.builder.set_loc(loc);
    }

    /// Adds a graph input. One without elements is known: its value is a constant.
    pub(crate) fn input(&mut self, name: &str, ty: TensorType) -> OpId {
        let input = self.builder.input(name, ty.clone());
        if ty.shape.numel() == 0 { self.constant(Tensor::zeros(ty)) } else { input }
    }

    /// States how much of a value of data-dependent size is used.
    pub(crate) fn state_count(&mut self, value: OpId, count: OpId) {
        self.counts.insert(value, count);
    }

    /// How much of a value is used, when that depends on the data.
    pub(crate) fn count_of(&self, value: OpId) -> Option<OpId> {
        self.counts.get(&value).copied()
    }

    /// Names a result of the graph.
    pub(crate) fn output(&mut self, name: &str, value: OpId) {
        self.builder.output(name, value);
    }

    /// Adds a constant.
    pub(crate) fn constant(&mut self, tensor: Tensor) -> OpId {
        self.builder.constant(tensor)
    }

    /// The type of a value.
    pub(crate) fn ty(&self, x: OpId) -> &TensorType {
        self.builder.graph().ty(x)
    }

    /// The operands of an op that only moves elements, or nothing when it computes.
    pub(crate) fn moved(&self, x: OpId) -> &[OpId] {
        let data = &self.builder.graph().ops[x];
        match &data.op {
            Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Concat(_)
            | Op::Broadcast(_)
            | Op::Pad(_) => &data.args,
            Op::Gather(_) => &data.args[..1],
            _ => &[],
        }
    }

    /// The element type of a value.
    pub(crate) fn elem(&self, x: OpId) -> ElemType {
        self.ty(x).elem
    }

    /// The shape of a value.
    pub(crate) fn shape(&self, x: OpId) -> Shape {
        self.ty(x).shape.clone()
    }

    /// The rank of a value.
    pub(crate) fn rank(&self, x: OpId) -> usize {
        self.ty(x).shape.rank()
    }

    /// Adds an op, or the constant that it computes.
    ///
    /// Folded are ops over constants whose result is small or not larger than the operands, but
    /// never `dequantize`: integer kernels need to see the codes of weights. What has no elements
    /// is a constant, so that nothing after import iterates over nothing.
    pub(crate) fn op(&mut self, op: impl Into<Op>, args: &[OpId]) -> Result<OpId, Diagnostic> {
        let op = op.into();
        let types: Vec<&TensorType> = args.iter().map(|&a| self.ty(a)).collect();
        let ty = op.infer(&types).map_err(|why| Code::ShapeMismatch.error(why))?;
        check_size(&ty)?;
        match self.fold(&op, args, &ty) {
            Some(tensor) => Ok(self.constant(tensor)),
            None => self.builder.add(op, args).map_err(|why| Code::ShapeMismatch.error(why)),
        }
    }

    fn fold(&self, op: &Op, args: &[OpId], ty: &TensorType) -> Option<Tensor> {
        if ty.shape.numel() == 0 {
            return Some(Tensor::zeros(ty.clone()));
        }
        let stored = |a: &OpId| self.builder.graph().as_const(*a).map_or(0, Tensor::numel);
        let limit = match op {
            Op::Dequantize(_) | Op::Input(_) | Op::Const(_) => return None,
            Op::Broadcast(_) => stored(&args[0]),
            _ => args.iter().map(stored).sum::<usize>().max(SMALL),
        };
        if ty.shape.numel() > limit || self.work(op, args, ty) > MAX_FOLD_WORK {
            return None;
        }
        let operands: Option<Vec<Cow<'_, Tensor>>> =
            args.iter().map(|&a| self.const_tensor(a)).collect();
        let operands = operands?;
        let operands: Vec<&Tensor> = operands.iter().map(AsRef::as_ref).collect();
        Some(op.eval(&operands))
    }

    /// Scalar operations of an evaluation, roughly.
    fn work(&self, op: &Op, args: &[OpId], ty: &TensorType) -> usize {
        let numel = |a: &OpId| self.ty(*a).shape.numel();
        let result = ty.shape.numel();
        match op {
            Op::MatMul(_) | Op::Conv(_) => result.saturating_mul(numel(&args[1])),
            Op::Pool(p) => p.kernel.iter().fold(result, |n, &k| n.saturating_mul(k as usize)),
            Op::Repeat(op) => op.work(),
            Op::If(op) => op.work(),
            _ => args.iter().map(numel).fold(result, usize::max),
        }
    }

    /// The value of a constant, seen through a `broadcast` of moderate size.
    pub(crate) fn const_tensor(&self, x: OpId) -> Option<Cow<'_, Tensor>> {
        if let Some(tensor) = self.builder.graph().as_const(x) {
            return Some(Cow::Borrowed(tensor));
        }
        let data = &self.builder.graph().ops[x];
        match &data.op {
            op @ Op::Broadcast(_) if data.ty.shape.numel() <= MAX_FOLD_WORK => {
                let source = self.builder.graph().as_const(data.args[0])?;
                Some(Cow::Owned(op.eval(&[source])))
            }
            _ => None,
        }
    }

    /// The single value of a constant with one element.
    pub(crate) fn const_scalar(&self, x: OpId) -> Option<Scalar> {
        if self.ty(x).shape.numel() != 1 {
            return None;
        }
        self.const_tensor(x).map(|t| t.get(0))
    }

    /// An element-wise computation over operands of one shape.
    pub(crate) fn map(
        &mut self,
        args: &[OpId],
        body: impl FnOnce(&mut Body<'_>, &[NodeId]) -> NodeId,
    ) -> Result<OpId, Diagnostic> {
        let elems: Vec<ElemType> = args.iter().map(|&a| self.elem(a)).collect();
        let body = Body::expr(&elems, body);
        if body.infer(&elems).is_none() {
            let names: Vec<&str> = elems.iter().map(|e| e.name()).collect();
            return Err(Code::UnsupportedType.error(format!(
                "the operator is not defined on operands of type {}",
                names.join(", ")
            )));
        }
        if body.is_identity() {
            return Ok(args[0]);
        }
        self.op(Map { body }, args)
    }

    /// `map` after NumPy broadcasting.
    pub(crate) fn map_broadcast(
        &mut self,
        args: &[OpId],
        body: impl FnOnce(&mut Body<'_>, &[NodeId]) -> NodeId,
    ) -> Result<OpId, Diagnostic> {
        let shape = self.common_shape(args)?;
        let args: Result<Vec<OpId>, Diagnostic> =
            args.iter().map(|&a| self.broadcast(a, &shape)).collect();
        self.map(&args?, body)
    }

    /// A value of another element type.
    pub(crate) fn cast(&mut self, x: OpId, to: ElemType) -> Result<OpId, Diagnostic> {
        if self.elem(x) == to {
            return Ok(x);
        }
        self.map(&[x], |b, p| b.cast(to, p[0]))
    }

    /// NumPy's broadcast of all operands' shapes.
    pub(crate) fn common_shape(&self, args: &[OpId]) -> Result<Shape, Diagnostic> {
        let shapes: Vec<Shape> = args.iter().map(|&a| self.shape(a)).collect();
        broadcast_all(&shapes)
    }

    /// Repeats along leading and extent 1 dimensions (NumPy's rule).
    pub(crate) fn broadcast(&mut self, x: OpId, shape: &Shape) -> Result<OpId, Diagnostic> {
        let rank = self.rank(x);
        if rank > shape.rank() {
            return Err(Code::ShapeMismatch.error(format!(
                "{} does not broadcast to {:?}",
                self.ty(x),
                &**shape
            )));
        }
        let first = (shape.rank() - rank) as u32;
        self.broadcast_at(x, (first..shape.rank() as u32).collect(), shape)
    }

    /// Repeats a vector along all dimensions but `dim`.
    pub(crate) fn spread(
        &mut self,
        x: OpId,
        dim: usize,
        shape: &Shape,
    ) -> Result<OpId, Diagnostic> {
        let dims = if self.rank(x) == 0 { Vec::new() } else { vec![dim as u32] };
        self.broadcast_at(x, dims, shape)
    }

    /// Operand dimension `d` becomes result dimension `dims[d]`.
    pub(crate) fn broadcast_at(
        &mut self,
        x: OpId,
        dims: Vec<u32>,
        shape: &Shape,
    ) -> Result<OpId, Diagnostic> {
        if self.ty(x).shape == *shape {
            return Ok(x);
        }
        self.op(Broadcast { dims, shape: shape.clone() }, &[x])
    }

    /// The same elements under another shape.
    pub(crate) fn reshape(&mut self, x: OpId, dims: &[usize]) -> Result<OpId, Diagnostic> {
        if self.shape(x)[..] == *dims {
            return Ok(x);
        }
        self.op(Reshape { shape: Shape::new(dims) }, &[x])
    }

    /// Result dimension `d` is operand dimension `perm[d]`.
    pub(crate) fn transpose(&mut self, x: OpId, perm: Vec<u32>) -> Result<OpId, Diagnostic> {
        if perm.iter().copied().eq(0..self.rank(x) as u32) {
            return Ok(x);
        }
        self.op(Transpose { perm }, &[x])
    }

    /// Combines all elements along dimensions, which stay with extent 1.
    pub(crate) fn reduce(
        &mut self,
        func: ScalarFn,
        x: OpId,
        dims: &[usize],
    ) -> Result<OpId, Diagnostic> {
        if dims.is_empty() {
            return Ok(x);
        }
        if func.identity(self.elem(x)).is_none() || self.elem(x) == ElemType::Bool {
            return Err(Code::UnsupportedType
                .error(format!("elements of type {} cannot be reduced", self.elem(x))));
        }
        self.op(Reduce { func, dims: dims.iter().map(|&d| d as u32).collect() }, &[x])
    }

    /// `y[i] = x[start + step·i]` for `count` positions of one dimension.
    pub(crate) fn slice(
        &mut self,
        x: OpId,
        dim: usize,
        (start, step): (i64, i64),
        count: usize,
    ) -> Result<OpId, Diagnostic> {
        let mut shape = self.shape(x);
        if (start, step, count) == (0, 1, shape[dim]) {
            return Ok(x);
        }
        shape.dims_mut()[dim] = count;
        let mut starts = vec![0; shape.rank()];
        let mut steps = vec![1; shape.rank()];
        (starts[dim], steps[dim]) = (start, step);
        self.op(Slice { starts, steps, shape }, &[x])
    }

    /// Operands one after the other along a dimension.
    pub(crate) fn concat(&mut self, parts: &[OpId], dim: usize) -> Result<OpId, Diagnostic> {
        let has_elements = |part: &OpId| self.ty(*part).shape.numel() > 0;
        let full: Vec<OpId> = parts.iter().copied().filter(has_elements).collect();
        match full.as_slice() {
            [] => self.op(Concat { dim: dim as u32 }, parts),
            [one] => Ok(*one),
            full => self.op(Concat { dim: dim as u32 }, full),
        }
    }

    /// Surrounds a value with a constant; amounts are per dimension.
    pub(crate) fn pad(
        &mut self,
        x: OpId,
        low: Vec<u32>,
        high: Vec<u32>,
        value: Scalar,
    ) -> Result<OpId, Diagnostic> {
        if low.iter().chain(&high).all(|&p| p == 0) {
            return Ok(x);
        }
        self.op(Pad { low, high, value }, &[x])
    }
}

/// NumPy's broadcast of several shapes.
pub(crate) fn broadcast_all(shapes: &[Shape]) -> Result<Shape, Diagnostic> {
    shapes.iter().try_fold(Shape::default(), |common, shape| {
        broadcast_shapes(&common, shape).ok_or_else(|| {
            let shapes: Vec<String> = shapes.iter().map(|s| format!("{:?}", &**s)).collect();
            Code::ShapeMismatch
                .error(format!("the shapes {} do not broadcast", shapes.join(" and ")))
        })
    })
}

fn broadcast_shapes(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let extent = |s: &Shape, d: usize| (d + s.rank()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|d| match (extent(a, d), extent(b, d)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Emit, broadcast_shapes};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, Shape, TensorType};

    #[test]
    fn shapes_broadcast_from_the_right() {
        let s = Shape::new;
        assert_eq!(broadcast_shapes(&s(&[3, 1]), &s(&[2, 1, 4])), Some(s(&[2, 3, 4])));
        assert_eq!(broadcast_shapes(&s(&[3]), &s(&[4])), None);
        assert_eq!(broadcast_shapes(&s(&[]), &s(&[0])), Some(s(&[0])));
    }

    #[test]
    fn ops_over_constants_fold_and_growing_broadcasts_do_not() {
        let mut e = Emit::new("g");
        let x = e.constant(Tensor::from_f32s(&[2], &[1.0, 2.0]));
        let doubled = e.map(&[x], |b, p| b.sum(p[0], p[0])).expect("types fit");
        assert_eq!(e.builder.graph().as_const(doubled).expect("folded").to_f32s(), [2.0, 4.0]);
        let one = e.constant(Tensor::splat(&[], Scalar::f32(1.0)));
        let wide = e.broadcast(one, &Shape::new(&[8])).expect("a scalar broadcasts");
        assert!(e.builder.graph().as_const(wide).is_none());
    }

    #[test]
    fn ops_that_change_nothing_are_left_out() {
        let mut e = Emit::new("g");
        let x = e.input("x", TensorType::new(ElemType::F32, &[2, 3]));
        assert_eq!(e.reshape(x, &[2, 3]).expect("same"), x);
        assert_eq!(e.transpose(x, vec![0, 1]).expect("same"), x);
        assert_eq!(e.slice(x, 1, (0, 1), 3).expect("same"), x);
        assert_eq!(e.broadcast(x, &Shape::new(&[2, 3])).expect("same"), x);
    }
}
