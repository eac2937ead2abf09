//! A stage whose sum has words for steps, and the stage after that is seen.

use crate::form_kernels::position;
use edgecc_ir::affine::{Affine, Interval};
use edgecc_ir::index::for_each_index;
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, Outside, Role, Stage, Unit};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use std::cmp::Reverse;

/// A sum of products of two codes, one of them constant, whose steps along an axis make words.
pub(super) struct Site {
    stage: usize,
    /// Among the stage's reads: the one that is constant.
    pub(super) weights: usize,
    pub(super) dot: ScalarFn,
    /// The reduce axis along which the other codes are consecutive.
    pub(super) axis: AxisId,
    /// Codes of a word.
    pub(super) codes: usize,
}

/// Columns of weights that make a vector of sums of one word of codes.
const COLUMNS: usize = 8;

/// Where each code of a constant is among its words.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// The element that is read at each point of the axes.
    place: Affine<AxisId>,
    /// The axes that it moves with, and their extents in words.
    axes: Vec<(AxisId, usize)>,
    steps: Steps,
}

/// How the codes along an axis make words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub(super) axis: AxisId,
    /// Codes along the axis; what words have beyond them is zero.
    pub(super) extent: usize,
    pub(super) words: usize,
    /// Codes of a word.
    pub(super) codes: usize,
}

impl Site {
    /// A sum whose codes can be read as words where they are.
    pub(super) fn of(kernel: &Kernel, number: usize, target: &Target) -> Option<Site> {
        Site::along(kernel, number, target, |codes, axis, count| {
            let whole = kernel.extent(axis).is_multiple_of(count);
            (whole || has_columns(kernel, number, codes)) && has_room(kernel, codes, axis, count)
        })
    }

    /// A sum whose codes can be read as words of a copy that has room for them.
    pub(super) fn of_copy(kernel: &Kernel, number: usize, target: &Target) -> Option<Site> {
        Site::along(kernel, number, target, |codes, _, _| {
            kernel.operands[codes.operand].role == Role::Read
                && is_read_once(kernel, codes)
                && has_columns(kernel, number, codes)
        })
    }

    /// The read whose elements become words.
    pub(super) fn read<'k>(&self, kernel: &'k Kernel) -> &'k Access {
        &kernel.stages[self.stage].reads[1 - self.weights]
    }

    /// The reads of the stage, in words.
    pub(super) fn steps(&self, kernel: &Kernel) -> usize {
        let stage = &kernel.stages[self.stage];
        let extent = |&axis: &AxisId| match axis == self.axis {
            true => kernel.extent(axis).div_ceil(self.codes),
            false => kernel.extent(axis),
        };
        stage.axes.iter().map(extent).product()
    }

    /// The sum whose axis `fits` for these codes, with the fewest steps.
    fn along(
        kernel: &Kernel,
        number: usize,
        target: &Target,
        fits: impl Fn(&Access, AxisId, usize) -> bool,
    ) -> Option<Site> {
        let stage = &kernel.stages[number];
        let (weights, codes) = codes_and_weights(kernel, stage)?;
        let [a, b] = [codes, &stage.reads[weights]].map(|r| kernel.operands[r.operand].ty.elem);
        let dot = instruction(a, b).filter(|dot| target.dots.contains(dot))?;
        let count = dot.products()?;
        let axes = kernel.reduce_axes(stage).filter(|&axis| {
            kernel.is_of_one_stage(axis) && is_consecutive(codes, axis) && fits(codes, axis, count)
        });
        let site = |axis| Site { stage: number, weights, dot, axis, codes: count };
        axes.filter(|&axis| kernel.extent(axis) > 1)
            .map(site)
            .max_by_key(|site| Reverse(site.steps(kernel)))
    }

    /// Makes the stage's steps words that a function multiplies; says how the constant is to be stored
    /// for that.
    pub(super) fn rewrite(&self, kernel: &mut Kernel, dot: ScalarFn) -> Words {
        let (stage, steps) = (&kernel.stages[self.stage], self.in_words(kernel));
        let words = Words::of_stage(kernel, stage, self.weights, steps);
        let words = words.expect("nothing is looked up");
        let extent = &mut kernel.axes[self.axis].extent;
        *extent = extent.div_ceil(self.codes);
        let stage = &mut kernel.stages[self.stage];
        let params = [1 - self.weights, self.weights].map(|n| n as u32);
        stage.body = dot_product(dot, params);
        let codes = &mut stage.reads[1 - self.weights];
        read_words(codes, self.axis, self.codes);
        let weights = &mut stage.reads[self.weights];
        weights.index = words.index();
        kernel.operands[weights.operand].ty = words.ty();
        words
    }

    fn in_words(&self, kernel: &Kernel) -> Steps {
        let (axis, codes) = (self.axis, self.codes);
        let extent = kernel.extent(axis);
        Steps { axis, extent, words: extent.div_ceil(codes), codes }
    }
}

impl Words {
    /// The order for a stage's weights; `None` where they are looked up.
    pub(super) fn of_stage(
        kernel: &Kernel,
        stage: &Stage,
        weights: usize,
        steps: Steps,
    ) -> Option<Words> {
        let place = position(kernel, &stage.reads[weights])?;
        let moving = stage.axes.iter().filter(|&&a| a == steps.axis || place.coefficient(a) != 0);
        let extent = |a| if a == steps.axis { steps.words } else { kernel.extent(a) };
        let axes = moving.map(|&a| (a, extent(a))).collect();
        Some(Words { place, axes, steps })
    }

    /// Where the words are read.
    pub(super) fn index(&self) -> Vec<Index> {
        self.axes.iter().map(|&(axis, _)| Affine::var(axis).into()).collect()
    }

    pub(super) fn ty(&self) -> TensorType {
        let dims: Vec<usize> = self.axes.iter().map(|a| a.1).collect();
        TensorType::new(ElemType::I32, &dims)
    }

    /// The constant's words.
    pub(super) fn of(&self, tensor: &Tensor) -> Tensor {
        let Steps { axis, extent, codes, .. } = self.steps;
        let size = ElemType::I32.bytes() / codes;
        let (ty, mut bytes) = (self.ty(), Vec::new());
        for_each_index(&ty.shape, |index| {
            let apart = |a| if a == axis { codes } else { 1 };
            let points = || self.axes.iter().zip(index).map(|(&(a, _), &i)| (a, i * apart(a)));
            let first = self.place.eval(|axis| known(points(), axis) as i64);
            let number = known(points(), axis);
            for code in 0..codes {
                let at = (first + code as i64 * self.place.coefficient(axis)) as usize;
                let is_code = number + code < extent;
                let code = if is_code { tensor.get(at).as_i64() } else { 0 };
                bytes.extend(&code.to_le_bytes()[..size]);
            }
        });
        Tensor::from_bytes(ty, bytes)
    }
}

/// Makes a read of consecutive codes along an axis one of words.
pub(super) fn read_words(read: &mut Access, axis: AxisId, codes: usize) {
    read.unit = Unit::Word;
    if let Outside::Pad(code) = read.outside {
        read.outside = Outside::Pad(word(code, codes));
    }
    if let Some(place) = read.index.last_mut().and_then(|i| i.affines_mut().first_mut()) {
        *place = place.clone().plus(axis, codes as i64 - 1);
    }
}

/// A code in all places of a word.
fn word(code: Scalar, codes: usize) -> Scalar {
    Tensor::from_fn(TensorType::new(code.elem(), &[codes]), |_| code).word(0)
}

/// The point of an axis among those of several.
fn known(mut points: impl Iterator<Item = (AxisId, usize)>, axis: AxisId) -> usize {
    points.find(|point| point.0 == axis).map_or(0, |point| point.1)
}

/// Which read of a sum of products of widened codes is constant, and the other one.
pub(super) fn codes_and_weights<'k>(
    kernel: &Kernel,
    stage: &'k Stage,
) -> Option<(usize, &'k Access)> {
    let widened = stage.factors()?.iter().all(is_widened);
    let weights = (0..2).find(|&n| widened && is_constant(kernel, &stage.reads[n]))?;
    Some((weights, &stage.reads[1 - weights]))
}

/// `(x, w) -> dot(x, w, 0)`.
pub(super) fn dot_product(dot: ScalarFn, [x, w]: [u32; 2]) -> ScalarExpr {
    ScalarExpr::build(2, |b| {
        let zero = b.constant(Scalar::from_i64(ElemType::I32, 0));
        let (x, w) = (b.param(x), b.param(w));
        b.call(dot, &[x, w, zero])
    })
}

/// The function that multiplies these codes, the second ones stored as wide as the first.
pub(super) fn instruction(codes: ElemType, weights: ElemType) -> Option<ScalarFn> {
    match (codes, weights) {
        (ElemType::U8, ElemType::I8) => Some(ScalarFn::DotU8),
        (ElemType::I8, ElemType::I8) => Some(ScalarFn::DotI8),
        (ElemType::I16, ElemType::I8 | ElemType::I16) => Some(ScalarFn::DotI16),
        _ => None,
    }
}

/// Whether a factor is `(x) -> i32(x)`.
pub(super) fn is_widened(factor: &ScalarExpr) -> bool {
    matches!(factor.nodes(), [ScalarNode::Param(0), ScalarNode::Cast(ElemType::I32, 0)])
}

/// Whether a read is of a constant that nothing else reads, at places known now.
fn is_constant(kernel: &Kernel, access: &Access) -> bool {
    kernel.operands[access.operand].role == Role::Const
        && access.outside == Outside::Never
        && is_read_once(kernel, access)
}

/// Whether nothing else reads the operand of an access, and its places are known now.
fn is_read_once(kernel: &Kernel, access: &Access) -> bool {
    access.lookups().next().is_none() && kernel.is_read_once(access.operand)
}

/// Whether the steps of an axis read consecutive elements of the last dimension.
pub(super) fn is_consecutive(access: &Access, axis: AxisId) -> bool {
    let Some((last, others)) = access.index.split_last() else { return false };
    let moves = last.affine().is_some_and(|place| place.coefficient(axis) == 1);
    moves && others.iter().all(|i| i.step(axis) == Some(0))
}

/// Whether whole words of an axis lie in the last dimension.
pub(super) fn has_room(kernel: &Kernel, access: &Access, axis: AxisId, codes: usize) -> bool {
    let last = access.index.len() - 1;
    let extent = kernel.operands[access.operand].ty.shape[last];
    span(kernel, access, last, (axis, codes)).within(extent)
}

/// The places of a dimension that are read when the steps of an axis make whole words.
pub(super) fn span(
    kernel: &Kernel,
    access: &Access,
    dim: usize,
    (axis, codes): (AxisId, usize),
) -> Interval {
    let extent = kernel.operands[access.operand].ty.shape[dim];
    access.index[dim].interval(extent, |a| {
        let points = kernel.extent(a);
        Interval::below(if a == axis { points.next_multiple_of(codes) } else { points })
    })
}

/// Whether sums that lie next to each other, enough for a vector, are of the same codes.
fn has_columns(kernel: &Kernel, number: usize, codes: &Access) -> bool {
    let stage = &kernel.stages[number];
    let Some(written) = position(kernel, &stage.write) else { return false };
    let is_column = |&a: &AxisId| written.coefficient(a) == 1 && codes.axes().all(|used| used != a);
    kernel.parallel_axes(stage).filter(is_column).any(|a| kernel.extent(a) >= COLUMNS)
}
