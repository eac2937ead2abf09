//! A stage whose sum has words for steps, and the stage after that is seen.

use crate::form_kernels::position;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::index::for_each_index;
use edgecc_ir::kernel::{Access, AxisId, Kernel, Outside, Role, Stage, Unit};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// A sum of products of two codes, one of them constant, whose steps along an axis make words.
pub(super) struct Site {
    stage: usize,
    /// Among the stage's reads: the one that is constant.
    pub(super) weights: usize,
    dot: ScalarFn,
    /// The reduce axis along which the other codes are consecutive.
    axis: AxisId,
    /// Codes of a word.
    codes: usize,
}

/// Where each code of a constant is among its words.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// The element that is read at each point of the axes.
    place: Affine<AxisId>,
    /// The axes that it moves with, and their extents in words.
    axes: Vec<(AxisId, usize)>,
    axis: AxisId,
    codes: usize,
}

impl Site {
    pub(super) fn of(kernel: &Kernel, number: usize, target: &Target) -> Option<Site> {
        let stage = &kernel.stages[number];
        let widened = stage.factors()?.iter().all(is_widened);
        let weights = (0..2).find(|&n| widened && is_constant(kernel, &stage.reads[n]))?;
        let codes = &stage.reads[1 - weights];
        let [a, b] = [codes, &stage.reads[weights]].map(|r| kernel.operands[r.operand].ty.elem);
        let dot = instruction(a, b).filter(|dot| target.dots.contains(dot))?;
        let count = dot.products()?;
        let mut axes: Vec<AxisId> = kernel.reduce_axes(stage).collect();
        axes.retain(|&axis| {
            let alone = kernel.stages.iter().filter(|s| s.axes.contains(&axis)).count() == 1;
            let whole = kernel.extent(axis).is_multiple_of(count);
            alone && whole && is_consecutive(kernel, codes, axis)
        });
        Some(Site { stage: number, weights, dot, axis: axes.pop()?, codes: count })
    }

    /// Makes the stage's steps words; says how the constant is to be stored for that.
    pub(super) fn rewrite(&self, kernel: &mut Kernel) -> Words {
        let words = self.words(kernel);
        kernel.axes[self.axis].extent /= self.codes;
        let stage = &mut kernel.stages[self.stage];
        let params = [1 - self.weights, self.weights].map(|n| n as u32);
        stage.body = dot_product(self.dot, params);
        let codes = &mut stage.reads[1 - self.weights];
        codes.unit = Unit::Word;
        if let Outside::Pad(code) = codes.outside {
            codes.outside = Outside::Pad(word(code, self.codes));
        }
        if let Some(place) = codes.index.last_mut().and_then(|i| i.affines_mut().first_mut()) {
            *place = place.clone().plus(self.axis, self.codes as i64 - 1);
        }
        let weights = &mut stage.reads[self.weights];
        weights.index = words.axes.iter().map(|&(axis, _)| Affine::var(axis).into()).collect();
        kernel.operands[weights.operand].ty = words.ty();
        words
    }

    fn words(&self, kernel: &Kernel) -> Words {
        let stage = &kernel.stages[self.stage];
        let place = position(kernel, &stage.reads[self.weights]).expect("nothing is looked up");
        let moving = stage.axes.iter().filter(|&&a| a == self.axis || place.coefficient(a) != 0);
        let extent = |axis| kernel.extent(axis) / if axis == self.axis { self.codes } else { 1 };
        let axes = moving.map(|&axis| (axis, extent(axis))).collect();
        Words { place, axes, axis: self.axis, codes: self.codes }
    }
}

impl Words {
    fn ty(&self) -> TensorType {
        let dims: Vec<usize> = self.axes.iter().map(|a| a.1).collect();
        TensorType::new(ElemType::I32, &dims)
    }

    /// The constant's words.
    pub(super) fn of(&self, tensor: &Tensor) -> Tensor {
        let size = tensor.ty.elem.bytes();
        let (ty, mut bytes) = (self.ty(), Vec::new());
        for_each_index(&ty.shape, |index| {
            let step = |axis| if axis == self.axis { self.codes } else { 1 };
            let terms = self.axes.iter().zip(index);
            let first = terms.fold(self.place.constant, |at, (&(axis, _), &i)| {
                at + self.place.coefficient(axis) * (i * step(axis)) as i64
            });
            for code in 0..self.codes as i64 {
                let at = (first + code * self.place.coefficient(self.axis)) as usize * size;
                bytes.extend_from_slice(&tensor.bytes()[at..at + size]);
            }
        });
        Tensor::from_bytes(ty, bytes)
    }
}

/// A code in all places of a word.
pub(super) fn word(code: Scalar, codes: usize) -> Scalar {
    Tensor::from_fn(TensorType::new(code.elem(), &[codes]), |_| code).word(0)
}

/// `(x, w) -> dot(x, w, 0)`.
pub(super) fn dot_product(dot: ScalarFn, [x, w]: [u32; 2]) -> ScalarExpr {
    ScalarExpr::build(2, |b| {
        let zero = b.constant(Scalar::from_i64(ElemType::I32, 0));
        let (x, w) = (b.param(x), b.param(w));
        b.call(dot, &[x, w, zero])
    })
}

/// The function that multiplies these codes.
pub(super) fn instruction(codes: ElemType, weights: ElemType) -> Option<ScalarFn> {
    match (codes, weights) {
        (ElemType::U8, ElemType::I8) => Some(ScalarFn::DotU8),
        (ElemType::I8, ElemType::I8) => Some(ScalarFn::DotI8),
        (ElemType::I16, ElemType::I16) => Some(ScalarFn::DotI16),
        _ => None,
    }
}

/// Whether a factor is `(x) -> i32(x)`.
pub(super) fn is_widened(factor: &ScalarExpr) -> bool {
    matches!(factor.nodes(), [ScalarNode::Param(0), ScalarNode::Cast(ElemType::I32, 0)])
}

/// Whether a read is of a constant that nothing else reads, at places known now.
fn is_constant(kernel: &Kernel, access: &Access) -> bool {
    let reads = |s: &Stage| s.all_reads().filter(|r| r.operand == access.operand).count();
    kernel.operands[access.operand].role == Role::Const
        && access.lookups().next().is_none()
        && access.outside == Outside::Never
        && kernel.stages.iter().map(reads).sum::<usize>() == 1
}

/// Whether the steps of an axis read consecutive elements of the last dimension, which is not padded.
pub(super) fn is_consecutive(kernel: &Kernel, access: &Access, axis: AxisId) -> bool {
    let shape = &kernel.operands[access.operand].ty.shape;
    let Some((last, others)) = access.index.split_last() else { return false };
    let extent = shape[shape.rank() - 1];
    let range = last.interval(extent, |a| Interval::below(kernel.extent(a)));
    let moves = last.affine().is_some_and(|place| place.coefficient(axis) == 1);
    moves && range.within(extent) && others.iter().all(|i| i.step(axis) == Some(0))
}
