//! Sums of products with codes: the scale of a channel multiplies its sum, that of a block each of its
//! weights.

use super::site::{Form, Site};
use crate::new_operand::{add_read, begin_epilogue};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::{access, access_axes};
use edgecc_ir::kernel::{Access, Axis, AxisId, AxisKind, Kernel, OperandId, Role};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr};
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// Bits of a code where two are in a byte.
const NARROW_BITS: i64 = 4;
/// Bits of the integers in which codes are taken apart.
const BITS: i64 = 32;

/// Lets a stage sum products with a constant in codes; gives the new operand, the scales.
pub(super) fn rewrite(
    kernel: &mut Kernel,
    site: &Site,
    form: Form,
    [codes, scales]: [TensorType; 2],
) -> OperandId {
    let weights = site.operand(kernel);
    kernel.operands[weights].ty = codes;
    let operand = add_read(kernel, scales, Role::Const);
    let inner = form.block.map(|block| split(kernel, site, block));
    let last = site.steps.last().expect("a sum has steps").axis;
    let paired = form.paired.then(|| match form.block {
        Some((axis, _)) if axis == last => inner.expect("blocks have an axis"),
        _ => last,
    });
    let other = paired.map(|axis| pair(kernel, site, axis));
    let index = places(site, form, inner);
    let stage = &mut kernel.stages[site.stage];
    stage.reads[site.read] = access(weights, index);
    stage.reads.extend(other);
    let channels = site.channels.iter().map(|d| d.axis);
    let outer = site.divided(form.block).0;
    let axes: Vec<AxisId> = outer.iter().map(|d| d.axis).chain(channels).collect();
    let read = access_axes(operand, &axes);
    stage.body = decoded(&stage.body, site.read as u32, form);
    match form.block {
        Some(_) => stage.reads.push(read),
        None => begin_epilogue(stage, ScalarFn::Mul, read),
    }
    operand
}

/// Divides an axis into blocks, and gives the axis inside them.
fn split(kernel: &mut Kernel, site: &Site, (axis, size): (AxisId, usize)) -> AxisId {
    kernel.axes[axis].extent /= size;
    let inner = kernel.axes.push(Axis { extent: size, kind: AxisKind::Reduce });
    let stage = &mut kernel.stages[site.stage];
    let at = stage.axes.iter().position(|a| *a == axis).expect("the stage has its steps");
    stage.axes.insert(at + 1, inner);
    let place = Affine::scaled(axis, size as i64).plus(inner, 1);
    stage.reads.iter_mut().for_each(|read| substitute(read, axis, &place));
    inner
}

/// Makes two neighbouring steps of an axis one; gives the read of the other factor at the second.
fn pair(kernel: &mut Kernel, site: &Site, axis: AxisId) -> Access {
    kernel.axes[axis].extent /= 2;
    let read = &mut kernel.stages[site.stage].reads[1 - site.read];
    let mut second = read.clone();
    substitute(read, axis, &Affine::scaled(axis, 2));
    substitute(&mut second, axis, &Affine::scaled(axis, 2).offset(1));
    second
}

fn substitute(read: &mut Access, axis: AxisId, place: &Affine<AxisId>) {
    for affine in read.index.iter_mut().flat_map(|index| index.affines_mut()) {
        *affine = affine.substitute(|a| if a == axis { place.clone() } else { Affine::var(a) });
    }
}

/// Where a point reads the stored codes.
fn places(site: &Site, form: Form, inner: Option<AxisId>) -> Vec<Affine<AxisId>> {
    let last = site.steps.len() - 1;
    let step = |(n, axis): (usize, AxisId)| match form.block.zip(inner) {
        Some(((blocked, size), inner)) if blocked == axis => {
            let size = if form.paired && n == last { size / 2 } else { size };
            Affine::scaled(axis, size as i64).plus(inner, 1)
        }
        _ => Affine::var(axis),
    };
    let steps = site.steps.iter().map(|d| d.axis).enumerate().map(step);
    steps.chain(site.channels.iter().map(|d| Affine::var(d.axis))).collect()
}

/// The body where a parameter is read as codes: of two steps when they are paired, whose other factor
/// is the third parameter; where blocks have scales they are the last one.
fn decoded(body: &ScalarExpr, weights: u32, form: Form) -> ScalarExpr {
    let count = 2 + u32::from(form.paired) + u32::from(form.block.is_some());
    let number = |b: &mut ExprBuilder, code: NodeId| {
        let number = b.cast(ElemType::F32, code);
        if form.block.is_none() {
            return number;
        }
        let scale = b.param(count - 1);
        b.call(ScalarFn::Mul, &[number, scale])
    };
    ScalarExpr::build(count, |b| {
        let code = b.param(weights);
        if !form.paired {
            let number = number(b, code);
            return b.inline(body, |b, p| if p == weights { number } else { b.param(p) });
        }
        let products = halves(b, code).into_iter().zip([1 - weights, 2]).map(|(code, other)| {
            let number = number(b, code);
            b.inline(body, |b, p| if p == weights { number } else { b.param(other) })
        });
        let products: Vec<NodeId> = products.collect();
        b.call(ScalarFn::Add, &products)
    })
}

/// The codes in the low and the high bits of a byte.
fn halves(b: &mut ExprBuilder, byte: NodeId) -> [NodeId; 2] {
    let word = b.cast(ElemType::I32, byte);
    let [high, top] = [NARROW_BITS, BITS - NARROW_BITS]
        .map(|bits| b.constant(Scalar::from_i64(ElemType::I32, bits)));
    let raised = b.call(ScalarFn::Shl, &[word, top]);
    [b.call(ScalarFn::Shr, &[raised, top]), b.call(ScalarFn::Shr, &[word, high])]
}
