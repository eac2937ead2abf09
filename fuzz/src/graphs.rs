//! Random typed graphs: a few inputs, then ops that fit the values at hand.
//!
//! Three graphs of four are exact: all data are small integers and all ops keep them so, so that
//! any order of evaluation gives the same bits (below 2^24), also through quantisation. The others
//! use transcendental functions and real data.

use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{
    Broadcast, Concat, Conv, Dequantize, Gather, If, Layout, Map, MatMul, Op, Pad, Pick, Pool,
    Quantize, Reduce, Repeat, Reshape, Scatter, Slice, TopK, Transpose, Window,
};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::rng::Rng;
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// No value has more elements than this.
const MAX_ELEMENTS: usize = 4096;

/// A random graph and inputs for it.
#[derive(Debug)]
pub struct Case {
    /// The graph.
    pub graph: Graph,
    /// One tensor per input.
    pub inputs: Vec<Tensor>,
}

struct Generator<'r> {
    rng: &'r mut Rng,
    b: GraphBuilder,
    values: Vec<OpId>,
    exact: bool,
}

/// A graph of up to `ops` ops with fitting inputs.
#[must_use]
pub fn random_graph(rng: &mut Rng, ops: usize) -> Case {
    let exact = rng.below(4) > 0;
    let mut g = Generator { rng, b: GraphBuilder::new("fuzz"), values: Vec::new(), exact };
    let inputs = (0..g.rng.between(1, 2)).map(|n| g.input(n)).collect();
    for _ in 0..ops {
        let recent = g.values.len().min(3);
        let x = g.values[g.values.len() - 1 - g.rng.below(recent)];
        let y = g.extend(x);
        g.values.extend(y);
    }
    for n in 0..g.rng.between(1, 2).min(g.values.len()) {
        g.b.output(&format!("y{n}"), g.values[g.values.len() - 1 - n]);
    }
    Case { graph: g.b.finish(), inputs }
}

fn image_or_matrix(rng: &mut Rng) -> TensorType {
    let rank = rng.pick(&[2, 3, 4, 4, 4]);
    let extent = |d| if d == 0 { rng.between(1, 2) } else { rng.between(1, 9) };
    let dims: Vec<usize> = (0..rank).map(extent).collect();
    TensorType::new(ElemType::F32, &dims)
}

impl Generator<'_> {
    fn input(&mut self, n: usize) -> Tensor {
        let ty = image_or_matrix(self.rng);
        let input = self.data(&ty.shape);
        self.values.push(self.b.input(&format!("x{n}"), ty));
        input
    }

    /// Integers within ±2, or reals within ±2.
    fn data(&mut self, dims: &[usize]) -> Tensor {
        let exact = self.exact;
        let real = |rng: &mut Rng| if exact { rng.real().round() } else { rng.real() };
        let ty = TensorType::new(ElemType::F32, dims);
        Tensor::from_fn(ty, |_| Scalar::from_f64(ElemType::F32, real(self.rng)))
    }

    fn ty(&self, x: OpId) -> TensorType {
        self.b.graph().ty(x).clone()
    }

    /// Adds the op unless it does not fit or its result is too large.
    fn add(&mut self, op: impl Into<Op>, args: &[OpId]) -> Option<OpId> {
        let op = op.into();
        let types: Vec<&TensorType> = args.iter().map(|&a| self.b.graph().ty(a)).collect();
        let ty = op.infer(&types).ok()?;
        let fits = (1..=MAX_ELEMENTS).contains(&ty.shape.numel());
        fits.then(|| self.b.add(op, args).expect("inferred above"))
    }

    /// Adds one op over `x`; `None` when the chosen one does not fit. A scalar gets functions only.
    fn extend(&mut self, x: OpId) -> Option<OpId> {
        let kinds = if self.ty(x).shape.rank() == 0 { 2 } else { 19 };
        match self.rng.below(kinds) {
            0 | 1 => self.unary(x),
            2 | 3 => self.binary(x),
            4 | 5 => self.conv(x),
            6 => self.matmul(x),
            7 => self.pool(x),
            8 => self.reduce(x),
            9 => self.view(x),
            10 => self.broadcast(x),
            11 => self.concat(x),
            12 => self.pad(x),
            13 => self.gather(x),
            14 => self.topk(x),
            15 => self.scatter(x),
            16 => self.repeat(x),
            17 => self.choice(x),
            _ => self.quantize_and_back(x),
        }
    }

    /// A repetition over the slices of `x`, whose state is their maximum or minimum so far, so that
    /// it stays small.
    fn repeat(&mut self, x: OpId) -> Option<OpId> {
        let ty = self.ty(x);
        let slice = TensorType::new(ty.elem, &ty.shape[1..]);
        let first = self.data(&slice.shape);
        let mut inner = Generator {
            rng: &mut *self.rng,
            b: GraphBuilder::new("body"),
            values: Vec::new(),
            exact: self.exact,
        };
        let [state, part] = ["state", "part"].map(|name| inner.b.input(name, slice.clone()));
        let func = inner.rng.pick(&[ScalarFn::Max, ScalarFn::Min]);
        let next = inner.add(Map { body: ScalarExpr::call(func) }, &[state, part])?;
        inner.values = vec![state, part, next];
        let grown = inner.extend(part).unwrap_or(state);
        inner.b.output("next", next);
        inner.b.output("grown", grown);
        let op = Repeat {
            body: inner.b.finish().into(),
            count: ty.shape[0] as u32,
            carried: 1,
            scanned: vec![self.rng.pick(&[1, -1])],
            stacked: vec![self.rng.pick(&[1, -1])],
            conditional: false,
            result: self.rng.below(2) as u32,
        };
        let first = self.b.constant(first);
        let other = Repeat { result: 1 - op.result, ..op.clone() };
        let value = self.add(op, &[first, x]);
        let other = self.add(other, &[first, x]).filter(|_| self.rng.flip());
        self.values.extend(other);
        value
    }

    /// One of two functions of `x`, by its first element. Only where rounding cannot change that.
    fn choice(&mut self, x: OpId) -> Option<OpId> {
        let ty = self.ty(x);
        if !self.exact {
            return None;
        }
        let rank = ty.shape.rank();
        let shape = Shape::new(&vec![1; rank]);
        let first = self.add(Slice { starts: vec![0; rank], steps: vec![1; rank], shape }, &[x])?;
        let first = self.add(Reshape { shape: Shape::new(&[]) }, &[first])?;
        let positive = ScalarExpr::build(1, |b| {
            let (zero, x) = (b.f32(0.0), b.param(0));
            b.call(ScalarFn::Lt, &[zero, x])
        });
        let test = self.add(Map { body: positive }, &[first])?;
        let [then, otherwise] = [(); 2].map(|()| {
            let mut b = GraphBuilder::new("body");
            let x = b.input("x", ty.clone());
            let y = b.add(Map { body: self.activation() }, &[x]).expect("a function of floats");
            b.output("y", y);
            b.finish().into()
        });
        self.add(If { then, otherwise, result: 0 }, &[test, x])
    }

    fn unary(&mut self, x: OpId) -> Option<OpId> {
        let body = self.activation();
        self.add(Map { body }, &[x])
    }

    /// A clamp, or in graphs of reals also the logistic function or the hyperbolic tangent.
    fn activation(&mut self) -> ScalarExpr {
        let kind = self.rng.below(if self.exact { 2 } else { 4 });
        ScalarExpr::build(1, |b| {
            let (zero, one, x) = (b.f32(0.0), b.f32(1.0), b.param(0));
            let low = b.call(ScalarFn::Max, &[zero, x]);
            match kind {
                0 => low,
                1 => b.call(ScalarFn::Min, &[one, low]),
                2 => b.call(ScalarFn::Tanh, &[x]),
                _ => {
                    let minus = b.call(ScalarFn::Neg, &[x]);
                    let exp = b.call(ScalarFn::Exp, &[minus]);
                    let sum = b.call(ScalarFn::Add, &[one, exp]);
                    b.call(ScalarFn::Div, &[one, sum])
                }
            }
        })
    }

    /// An arithmetic function of `x` and another value of its shape, or a constant per channel.
    fn binary(&mut self, x: OpId) -> Option<OpId> {
        let ty = self.ty(x);
        let same = |&v: &OpId| *self.b.graph().ty(v) == ty;
        let same: Vec<OpId> = self.values.iter().copied().filter(same).collect();
        let other =
            if self.rng.flip() { self.rng.pick(&same) } else { self.channel_constant(&ty)? };
        let func = self.rng.pick(&[ScalarFn::Add, ScalarFn::Mul, ScalarFn::Sub, ScalarFn::Max]);
        let args = if self.rng.flip() { [x, other] } else { [other, x] };
        self.add(Map { body: ScalarExpr::call(func) }, &args)
    }

    fn channel_constant(&mut self, ty: &TensorType) -> Option<OpId> {
        let dim = self.rng.below(ty.shape.rank());
        let data = self.data(&[ty.shape[dim]]);
        let c = self.b.constant(data);
        self.add(Broadcast { dims: vec![dim as u32], shape: ty.shape.clone() }, &[c])
    }

    fn layout(&mut self) -> Layout {
        self.rng.pick(&[Layout::ChannelsFirst, Layout::ChannelsFirst, Layout::ChannelsLast])
    }

    /// Strides, pads and dilations with window sizes, for this many spatial dimensions.
    fn window(&mut self, rank: usize) -> (Window, Vec<u32>) {
        let mut pick =
            |options: &[u32]| (0..rank).map(|_| self.rng.pick(options)).collect::<Vec<u32>>();
        let window = Window {
            strides: pick(&[1, 1, 2, 3]),
            pads_begin: pick(&[0, 0, 1, 2]),
            pads_end: pick(&[0, 1, 1]),
            dilations: pick(&[1, 1, 2]),
        };
        (window, pick(&[1, 1, 2, 3, 3, 5]))
    }

    fn conv(&mut self, x: OpId) -> Option<OpId> {
        let layout = self.layout();
        let (_, channels, spatial) = layout.split(&self.ty(x).shape).ok()?;
        let (window, sizes) = self.window(spatial.len());
        let groups = self.rng.pick(&[1, 1, channels]);
        let per_group = if groups == 1 { self.rng.between(1, 20) } else { self.rng.between(1, 2) };
        let mut dims = vec![groups * per_group, channels / groups];
        dims.extend(sizes.iter().map(|&s| s as usize));
        let weights = self.data(&dims);
        let w = self.b.constant(weights);
        let epilogue = if self.rng.flip() { self.activation() } else { ScalarExpr::identity() };
        self.add(Conv { epilogue, ..Conv::plain(window, groups as u32, layout) }, &[x, w])
    }

    fn matmul(&mut self, x: OpId) -> Option<OpId> {
        let ty = self.ty(x);
        let rank = ty.shape.rank();
        if rank < 2 {
            return None;
        }
        let (transpose_a, transpose_b) = (self.rng.below(4) == 0, self.rng.flip());
        let k = ty.shape[if transpose_a { rank - 2 } else { rank - 1 }];
        let n = self.rng.between(1, 40);
        let mut dims = ty.shape[..rank - 2].to_vec();
        dims.extend(if transpose_b { [n, k] } else { [k, n] });
        let weights = self.data(&dims);
        let w = self.b.constant(weights);
        self.add(MatMul { transpose_a, transpose_b, ..MatMul::plain() }, &[x, w])
    }

    /// A pool; sums only where a window may lie wholly in the pads, whose maximum is infinite.
    fn pool(&mut self, x: OpId) -> Option<OpId> {
        let layout = self.layout();
        let (_, _, spatial) = layout.split(&self.ty(x).shape).ok()?;
        let (window, kernel) = self.window(spatial.len());
        let mut func = self.rng.pick(&[ScalarFn::Max, ScalarFn::Add]);
        if window.is_padded() {
            func = ScalarFn::Add;
        }
        self.add(Pool { func, kernel, window, layout }, &[x])
    }

    fn reduce(&mut self, x: OpId) -> Option<OpId> {
        let rank = self.ty(x).shape.rank() as u32;
        let dims = (0..rank).filter(|_| self.rng.flip()).collect();
        let func = self.rng.pick(&[ScalarFn::Max, ScalarFn::Add, ScalarFn::Min]);
        self.add(Reduce { func, dims }, &[x])
    }

    fn view(&mut self, x: OpId) -> Option<OpId> {
        let shape = self.ty(x).shape;
        match self.rng.below(3) {
            0 => {
                let perm = self.permutation(shape.rank());
                self.add(Transpose { perm }, &[x])
            }
            1 => {
                let shape = self.regrouped(&shape);
                self.add(Reshape { shape }, &[x])
            }
            _ => {
                let slice = self.slice(&shape);
                self.add(slice, &[x])
            }
        }
    }

    fn permutation(&mut self, rank: usize) -> Vec<u32> {
        let mut perm: Vec<u32> = (0..rank as u32).collect();
        (1..rank).for_each(|i| perm.swap(i, self.rng.below(i + 1)));
        perm
    }

    /// Moves a factor of one extent to another dimension.
    fn regrouped(&mut self, shape: &Shape) -> Shape {
        let mut dims = shape.to_vec();
        let (from, to) = (self.rng.below(dims.len()), self.rng.below(dims.len()));
        let factor = (2..=dims[from]).find(|f| dims[from].is_multiple_of(*f)).unwrap_or(1);
        dims[from] /= factor;
        dims[to] *= factor;
        Shape::new(&dims)
    }

    fn slice(&mut self, from: &Shape) -> Slice {
        let shape: Shape = from.iter().map(|&d| self.rng.between(1, d)).collect();
        let forward = self.rng.flip();
        let start = |d: usize| if forward { 0 } else { from[d] as i64 - 1 };
        let steps = vec![if forward { 1 } else { -1 }; shape.rank()];
        Slice { starts: (0..shape.rank()).map(start).collect(), steps, shape }
    }

    fn broadcast(&mut self, x: OpId) -> Option<OpId> {
        let mut dims = self.ty(x).shape.to_vec();
        let (rank, at) = (dims.len() as u32, self.rng.below(dims.len() + 1));
        dims.insert(at, self.rng.between(1, 4));
        let map = (0..rank).map(|d| if (d as usize) < at { d } else { d + 1 }).collect();
        let shape = Shape::new(&dims);
        (rank < 4).then(|| self.add(Broadcast { dims: map, shape }, &[x]))?
    }

    fn concat(&mut self, x: OpId) -> Option<OpId> {
        let dim = self.rng.below(self.ty(x).shape.rank()) as u32;
        let other = self.rng.pick(&self.values);
        self.add(Concat { dim }, &[x, other])
    }

    /// Some dimensions are picked by constants of any number of dimensions, partly out of range.
    fn gather(&mut self, x: OpId) -> Option<OpId> {
        let from = self.ty(x).shape;
        let (mut picks, mut dims, mut args) = (Vec::new(), Vec::new(), vec![x]);
        for &extent in from.iter() {
            if self.rng.flip() {
                picks.push(Pick::Dim(dims.len() as u32));
                dims.push(extent);
                continue;
            }
            if dims.is_empty() || self.rng.flip() {
                dims.push(self.rng.between(1, 6));
            }
            let chosen: Vec<u32> = (0..dims.len() as u32).filter(|_| self.rng.flip()).collect();
            let shape = chosen.iter().map(|&d| dims[d as usize]).collect();
            let ty = TensorType { elem: ElemType::I32, shape };
            let index = Tensor::from_fn(ty, |_| {
                Scalar::from_i64(ElemType::I32, self.rng.below(extent + 2) as i64 - 1)
            });
            args.push(self.b.constant(index));
            picks.push(Pick::Index(chosen));
        }
        (dims.len() >= 2).then(|| self.add(Gather { picks, shape: Shape::new(&dims) }, &args))?
    }

    fn pad(&mut self, x: OpId) -> Option<OpId> {
        let rank = self.ty(x).shape.rank();
        let mut amounts = || (0..rank).map(|_| self.rng.pick(&[0, 0, 1, 2])).collect::<Vec<u32>>();
        let (low, high) = (amounts(), amounts());
        let value = Scalar::f32(self.rng.pick(&[0.0, 0.0, 3.0]));
        self.add(Pad { low, high, value }, &[x])
    }

    /// The first elements along a dimension, or their positions; reals could change places.
    fn topk(&mut self, x: OpId) -> Option<OpId> {
        let shape = self.ty(x).shape;
        let axis = self.rng.below(shape.rank());
        let (k, result) = (self.rng.between(1, shape[axis]) as u32, self.rng.below(2) as u32);
        let op = TopK { axis: axis as u32, k, largest: self.rng.flip(), result };
        let found = if self.exact { self.add(op, &[x])? } else { return None };
        let cast = ScalarExpr::build(1, |b| {
            let place = b.param(0);
            b.cast(ElemType::F32, place)
        });
        if result == 0 { Some(found) } else { self.add(Map { body: cast }, &[found]) }
    }

    /// Rows written to, or added at, random positions of the first dimension.
    fn scatter(&mut self, x: OpId) -> Option<OpId> {
        let mut shape = self.ty(x).shape;
        let (rank, extent) = (shape.rank() as u32, shape[0] as i64);
        shape.dims_mut()[0] = self.rng.between(1, 4);
        let places: Vec<i64> =
            (0..shape[0]).map(|_| self.rng.below(extent as usize) as i64).collect();
        let index = self.b.constant(Tensor::from_i64s(&[places.len()], &places));
        let updates = self.data(&shape);
        let updates = self.b.constant(updates);
        let pick = |d| if d == 0 { Pick::Index(vec![0]) } else { Pick::Dim(d) };
        let plain = Scatter::replacing((0..rank).map(pick).collect());
        let sum = ScalarExpr::call(ScalarFn::Add);
        let combine = if self.rng.flip() { sum } else { plain.combine.clone() };
        self.add(Scatter { combine, ..plain }, &[x, updates, index])
    }

    /// Codes of a power-of-two scale, so that the integers of exact graphs stay integers.
    fn quantize_and_back(&mut self, x: OpId) -> Option<OpId> {
        if !self.exact {
            return None;
        }
        let value = self.rng.pick(&[1.0, 2.0]);
        let scale = self.b.constant(Tensor::splat(&[], Scalar::f32(value)));
        let shape = self.ty(x).shape;
        let scale = self.add(Broadcast { dims: vec![], shape }, &[scale])?;
        let kinds = [(ElemType::U8, 128), (ElemType::I8, -3), (ElemType::I8, 0)];
        let (to, zero_point) = self.rng.pick(&kinds);
        let codes = self.add(Quantize::full(to, zero_point), &[x, scale])?;
        self.add(Dequantize { zero_point }, &[codes, scale])
    }
}
