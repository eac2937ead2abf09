//! A constant factor of a stage's sum, and the codes of its numbers.

use super::recover::recover;
use crate::form_kernels::position;
use edgecc_ir::affine::Interval;
use edgecc_ir::kernel::{Access, AxisId, Kernel, OperandId, Outside, Role, Unit};
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, MAX_RANK, TensorType};
use std::ops::RangeInclusive;

/// Fewer numbers with one scale save little memory for their time.
const FEWEST: usize = 8;

/// Codes of which two fit a byte.
const NARROW: RangeInclusive<i32> = -8..=7;

/// A factor of a sum that is read once, from a constant of `f32`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) stage: usize,
    /// Among the stage's two reads.
    pub(super) read: usize,
    /// The parallel axes that it follows.
    pub(super) channels: Vec<Dim>,
    /// The reduce axes that it follows.
    pub(super) steps: Vec<Dim>,
    /// The element at the origin of all axes.
    base: i64,
    /// Whether the steps belong to this stage alone, so that they can be divided.
    divides: bool,
    /// Whether two neighbouring steps of the last axis can be one.
    pairs: bool,
}

/// An axis and how far the factor's place moves for one step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Dim {
    pub(super) axis: AxisId,
    pub(super) extent: usize,
    stride: i64,
}

/// How a constant is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// The axis along which so many numbers share a scale, each place of the other axes having its
    /// own; `None` when all steps share the scale of their channel.
    pub(super) block: Option<(AxisId, usize)>,
    /// Whether a byte holds the codes of two neighbouring steps of the last axis, the first in its low
    /// bits.
    pub(super) paired: bool,
}

/// A constant in codes: its steps, then its channels.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) form: Form,
    pub(super) codes: Tensor,
    /// The outer steps of blocks, then channels.
    pub(super) scales: Tensor,
}

impl Site {
    /// Of a stage whose sum starts at zero, so that a common factor of its terms can leave it.
    pub(super) fn of(kernel: &Kernel, number: usize) -> Option<Site> {
        let stage = &kernel.stages[number];
        let factors = stage.factors()?;
        let starts_at_zero = stage.reduce.as_ref().is_some_and(|r| r.init == Scalar::f32(0.0));
        let fits = |&n: &usize| factors[n].is_identity() && is_weights(kernel, &stage.reads[n]);
        let read = (0..factors.len()).find(fits).filter(|_| starts_at_zero)?;
        let place = position(kernel, &stage.reads[read])?;
        let dim = |axis| {
            let stride = place.coefficient(axis);
            (stride != 0).then_some(Dim { axis, extent: kernel.extent(axis), stride })
        };
        let channels: Vec<Dim> = kernel.parallel_axes(stage).filter_map(dim).collect();
        let steps: Vec<Dim> = kernel.reduce_axes(stage).filter_map(dim).collect();
        let divides = steps.iter().all(|d| kernel.is_of_one_stage(d.axis));
        let last =
            kernel.reduce_axes(stage).last().filter(|a| steps.last().is_some_and(|d| d.axis == *a));
        let pairs = last.is_some_and(|axis| stays_inside(kernel, &stage.reads[1 - read], axis));
        let site =
            Site { stage: number, read, channels, steps, base: place.constant, divides, pairs };
        let fits =
            points(&site.steps) >= FEWEST && site.steps.len() + site.channels.len() <= MAX_RANK;
        fits.then_some(site)
    }

    /// The operand of the constant.
    pub(super) fn operand(&self, kernel: &Kernel) -> OperandId {
        kernel.stages[self.stage].reads[self.read].operand
    }

    /// A constant in codes, if it has some whose scales belong to as many numbers as can be.
    pub(super) fn coded(&self, numbers: &Tensor) -> Option<Coded> {
        let values = numbers.to_f32s();
        self.blocks().into_iter().find_map(|block| {
            let (codes, scales) = self.shared(&values, block)?;
            let paired = self.pairs(block) && codes.iter().all(|code| NARROW.contains(code));
            let form = Form { block, paired };
            Some(Coded { form, codes: self.stored(&codes, paired), scales })
        })
    }

    /// The axes in whose blocks numbers may share a scale, whole channels and larger blocks first.
    fn blocks(&self) -> Vec<Option<(AxisId, usize)>> {
        let steps = if self.divides { self.steps.as_slice() } else { &[] };
        let blocks = steps.iter().flat_map(|d| sizes(d.extent).map(|size| Some((d.axis, size))));
        [None].into_iter().chain(blocks).collect()
    }

    /// Whether a byte can hold two codes where these blocks have scales.
    fn pairs(&self, block: Option<(AxisId, usize)>) -> bool {
        let Some(last) = self.steps.last() else { return false };
        let size = block.filter(|block| block.0 == last.axis).map_or(last.extent, |block| block.1);
        self.pairs && self.divides && size.is_multiple_of(2)
    }

    /// The codes in the order in which they are stored, and the scales of blocks.
    fn shared(&self, values: &[f32], block: Option<(AxisId, usize)>) -> Option<(Vec<i32>, Tensor)> {
        let (outer, inner) = self.divided(block);
        let inside = offsets(&inner, &[0]);
        let numbers = |first: i64| -> Vec<f32> {
            inside.iter().map(|step| values[(first + step) as usize]).collect()
        };
        // Most constants are no codes, which the first numbers show.
        recover(&numbers(self.base))?;
        let (mut codes, mut scales) = (vec![None; values.len()], Vec::new());
        for first in offsets(&self.channels, &offsets(&outer, &[self.base])) {
            let (scale, found) = recover(&numbers(first))?;
            scales.push(scale);
            let mut places = inside.iter().map(|step| (first + step) as usize).zip(found);
            if !places.all(|(at, code)| codes[at].replace(code).is_none()) {
                return None;
            }
        }
        let order = offsets(&self.channels, &offsets(&self.steps, &[self.base]));
        let codes = order.iter().map(|&at| codes[at as usize]).collect::<Option<Vec<i32>>>()?;
        let dims: Vec<usize> = outer.iter().chain(&self.channels).map(|d| d.extent).collect();
        Some((codes, Tensor::from_f32s(&dims, &scales)))
    }

    /// The steps between blocks and those inside them.
    pub(super) fn divided(&self, block: Option<(AxisId, usize)>) -> (Vec<Dim>, Vec<Dim>) {
        let Some((axis, size)) = block else { return (Vec::new(), self.steps.clone()) };
        let whole = self.steps.iter().find(|d| d.axis == axis).expect("a block of steps");
        let outside = |d: &Dim| match d.axis == axis {
            true => Dim { extent: d.extent / size, stride: d.stride * size as i64, ..*d },
            false => *d,
        };
        (self.steps.iter().map(outside).collect(), vec![Dim { extent: size, ..*whole }])
    }

    /// Codes as a constant, one or two to a byte.
    fn stored(&self, codes: &[i32], paired: bool) -> Tensor {
        let mut dims: Vec<usize> =
            self.steps.iter().chain(&self.channels).map(|d| d.extent).collect();
        let byte = |code: i32| code as i8 as u8;
        if !paired {
            let bytes = codes.iter().map(|&code| byte(code)).collect();
            return Tensor::from_bytes(TensorType::new(ElemType::I8, &dims), bytes);
        }
        dims[self.steps.len() - 1] /= 2;
        let row = points(&self.channels);
        let pair = |low: &i32, high: &i32| byte(*low) & 15 | byte(*high) << 4;
        let rows = codes.chunks_exact(2 * row).map(|two| two.split_at(row));
        let bytes = rows.flat_map(|(low, high)| low.iter().zip(high).map(|(l, h)| pair(l, h)));
        Tensor::from_bytes(TensorType::new(ElemType::I8, &dims), bytes.collect())
    }
}

/// Whether a read is of a constant in `f32` that nothing else reads, at places known now.
fn is_weights(kernel: &Kernel, access: &Access) -> bool {
    let operand = &kernel.operands[access.operand];
    operand.role == Role::Const
        && operand.ty.elem == ElemType::F32
        && access.outside == Outside::Never
        && access.unit == Unit::Element
        && kernel.is_read_once(access.operand)
}

/// Whether a read never leaves its operand through a dimension that moves with an axis, so that
/// neighbouring steps leave it together.
fn stays_inside(kernel: &Kernel, access: &Access, axis: AxisId) -> bool {
    let shape = &kernel.operands[access.operand].ty.shape;
    let mut dims = access.index.iter().zip(shape.iter());
    dims.all(|(place, &extent)| {
        let range = place.interval(extent, |a| Interval::below(kernel.extent(a)));
        !place.follows(axis) || range.within(extent)
    })
}

/// The sizes of blocks that divide so many numbers, the largest first.
fn sizes(extent: usize) -> impl Iterator<Item = usize> {
    (FEWEST..=extent).rev().filter(move |&size| extent.is_multiple_of(size))
}

fn points(dims: &[Dim]) -> usize {
    dims.iter().map(|d| d.extent).product()
}

/// The places of all points of some axes from each of several places on, row-major.
fn offsets(dims: &[Dim], from: &[i64]) -> Vec<i64> {
    dims.iter().fold(from.to_vec(), |all, dim| {
        let along = |from: i64| (0..dim.extent as i64).map(move |n| from + n * dim.stride);
        all.into_iter().flat_map(along).collect()
    })
}
