//! Random small graphs for the examples of rules.

use edgecc_ir::graph::build::GraphBuilder;
use edgecc_ir::graph::ops::{Broadcast, Conv, Layout, Map, Op, Quantize, Reshape, Window};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::scalar::ScalarExpr;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// A graph under construction with a source of random numbers.
pub(crate) struct Sample {
    builder: GraphBuilder,
    state: u64,
}

impl Sample {
    /// An empty graph; equal seeds give equal graphs.
    pub(crate) fn new(seed: u64) -> Sample {
        Sample { builder: GraphBuilder::new("sample"), state: seed }
    }

    /// A number in `0..bound` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// An extent of at least 2.
    pub(crate) fn extent(&mut self) -> usize {
        2 + self.below(4)
    }

    /// A tensor of small numbers.
    pub(crate) fn tensor(&mut self, elem: ElemType, dims: &[usize]) -> Tensor {
        Tensor::from_fn(TensorType::new(elem, dims), |_| {
            let number = self.below(33) as i64 - 16;
            match elem.is_float() {
                true => Scalar::from_f64(elem, number as f64 / 8.0),
                false => Scalar::from_i64(elem, number),
            }
        })
    }

    /// An `f32` input.
    pub(crate) fn input(&mut self, dims: &[usize]) -> OpId {
        self.typed_input(ElemType::F32, dims)
    }

    /// An input.
    pub(crate) fn typed_input(&mut self, elem: ElemType, dims: &[usize]) -> OpId {
        let name = format!("x{}", self.builder.graph().inputs.len());
        self.builder.input(&name, TensorType::new(elem, dims))
    }

    /// An `f32` constant.
    pub(crate) fn constant(&mut self, dims: &[usize]) -> OpId {
        self.typed_constant(ElemType::F32, dims)
    }

    /// A constant.
    pub(crate) fn typed_constant(&mut self, elem: ElemType, dims: &[usize]) -> OpId {
        let tensor = self.tensor(elem, dims);
        self.builder.constant(tensor)
    }

    /// Constant scales.
    pub(crate) fn scales(&mut self, dims: &[usize]) -> OpId {
        let ty = TensorType::new(ElemType::F32, dims);
        let tensor = Tensor::from_fn(ty, |_| Scalar::f32(1.0 / (2 + self.below(6)) as f32));
        self.builder.constant(tensor)
    }

    /// The same scale everywhere.
    pub(crate) fn scale(&mut self, dims: &[usize]) -> OpId {
        let value = 1.0 / (2 + self.below(6)) as f32;
        let scalar = self.builder.constant(Tensor::from_f32s(&[], &[value]));
        self.spread(scalar, &[], dims)
    }

    /// A broadcast.
    pub(crate) fn spread(&mut self, x: OpId, at: &[u32], dims: &[usize]) -> OpId {
        self.add(Broadcast { dims: at.to_vec(), shape: Shape::new(dims) }, &[x])
    }

    /// An op.
    pub(crate) fn add(&mut self, op: impl Into<Op>, args: &[OpId]) -> OpId {
        self.builder.add(op, args).expect("examples of rules type-check")
    }

    /// A map by one function.
    pub(crate) fn call(&mut self, func: ScalarFn, args: &[OpId]) -> OpId {
        self.add(Map { body: ScalarExpr::call(func) }, args)
    }

    /// A map by one function whose first operand is a literal.
    pub(crate) fn call_with(&mut self, func: ScalarFn, literal: f32, x: OpId) -> OpId {
        let body = ScalarExpr::build(1, |b| {
            let (c, x) = (b.f32(literal), b.param(0));
            b.call(func, &[c, x])
        });
        self.add(Map { body }, &[x])
    }

    /// A reshape.
    pub(crate) fn reshape(&mut self, x: OpId, dims: &[usize]) -> OpId {
        self.add(Reshape { shape: Shape::new(dims) }, &[x])
    }

    /// A two-dimensional channels-last convolution with random constant weights and one pad.
    pub(crate) fn conv(&mut self, x: OpId, groups: usize) -> OpId {
        let channels = self.dims(x)[3];
        let out = groups * self.extent();
        let weights = self.constant(&[out, channels / groups, 3, 2]);
        let mut window = Window::unit(2);
        window.pads_begin = vec![1, 1];
        let conv = Conv::plain(window, groups as u32, Layout::ChannelsLast);
        self.add(conv, &[x, weights])
    }

    /// A quantisation to `i8` over the full range.
    pub(crate) fn quantize(&mut self, x: OpId, scale: OpId, zero_point: i32) -> OpId {
        self.add(Quantize::full(ElemType::I8, zero_point), &[x, scale])
    }

    /// The extents of a value.
    pub(crate) fn dims(&self, x: OpId) -> Vec<usize> {
        self.builder.graph().ty(x).shape.to_vec()
    }

    /// The finished graph with one result, and values for its inputs.
    pub(crate) fn finish(mut self, result: OpId) -> (Graph, Vec<Tensor>) {
        let ports = self.builder.graph().inputs.clone();
        let inputs = ports.iter().map(|port| self.tensor(port.ty.elem, &port.ty.shape)).collect();
        self.builder.output("y", result);
        (self.builder.finish(), inputs)
    }
}
