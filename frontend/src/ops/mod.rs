//! # The ONNX operators
//!
//! Purpose   each row decomposes one operator, from one opset on, into tensor primitives.
//! In → Out  `ImportCx` (operands, attributes) → the values of the results.
//! Owns      the list of supported operators; `docs/ops.md` is generated from it.
//! Never     optimises: a row emits the plainest primitives that mean the same.
//! To add    a row in the family's `OPS`; an element-wise operator in `elementwise.rs`.
//! Tests     `mod tests` in each file.

mod activation;
mod arg;
mod attention;
mod bits;
mod compress;
mod constant;
mod conv;
mod conv_transpose;
mod det;
mod einsum;
mod elementwise;
mod gather;
mod image;
mod integer;
mod inverse;
mod linear_attention;
mod loss;
mod mask;
mod matmul;
mod movement;
mod norm;
mod pad;
mod pool;
mod pool_indices;
mod positions;
mod quant;
mod recurrent;
mod reduce;
mod region;
mod reshape;
mod resize;
mod roi;
mod sample;
mod scan;
mod scatter;
mod search;
mod sequence;
mod slice;
mod softmax;
mod spectral;
mod taps;
mod window;

use crate::context::ImportCx;
use crate::emit::Body;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::NodeId;
use std::ops::RangeInclusive;

/// How a row is imported.
#[derive(Clone, Copy)]
pub(crate) enum Import {
    /// One operand, element by element.
    Unary(fn(&mut Body<'_>, NodeId) -> NodeId),
    /// Two operands, broadcast, element by element.
    Binary(fn(&mut Body<'_>, NodeId, NodeId) -> NodeId),
    /// Any number of operands, broadcast, combined from the left.
    Fold(fn(&mut Body<'_>, NodeId, NodeId) -> NodeId),
    /// One result.
    One(fn(&mut ImportCx<'_>) -> Result<OpId, Diagnostic>),
    /// Several results, in the operator's order.
    Many(fn(&mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic>),
    /// An operator with graphs inside, which the walk over the nodes imports.
    Region(Region),
}

/// The operators with graphs inside.
#[derive(Clone, Copy)]
pub(crate) enum Region {
    If,
    Loop,
    Scan,
    /// Scan of opset 8, whose operands have a batch dimension.
    BatchedScan,
}

/// One operator from one opset on.
pub(crate) struct OnnxOp {
    /// Operator type.
    pub name: &'static str,
    /// Operator set; empty for the default one.
    pub domain: &'static str,
    /// First opset with this meaning.
    pub since: i64,
    /// Number of operands, trailing optional ones included.
    pub arity: RangeInclusive<usize>,
    /// Its meaning.
    pub import: Import,
    /// What is not supported; empty when everything is.
    pub limits: &'static str,
    /// The first operand may have a size that depends on the data, which the result then has.
    pub keeps_count: bool,
}

const ANY: usize = usize::MAX;

/// A row of the default domain without limits.
const fn row(
    name: &'static str,
    since: i64,
    arity: RangeInclusive<usize>,
    import: Import,
) -> OnnxOp {
    OnnxOp { name, domain: "", since, arity, import, limits: "", keeps_count: false }
}

impl OnnxOp {
    /// States what is not supported.
    const fn limits(self, limits: &'static str) -> OnnxOp {
        OnnxOp { limits, ..self }
    }

    /// States that zeros of the first operand that are not in use stay where they are, or move.
    const fn keeps_count(self) -> OnnxOp {
        OnnxOp { keeps_count: true, ..self }
    }
}

/// All rows, by family.
const FAMILIES: &[&[OnnxOp]] = &[
    activation::OPS,
    arg::OPS,
    attention::OPS,
    bits::OPS,
    compress::OPS,
    constant::OPS,
    conv::OPS,
    conv_transpose::OPS,
    det::OPS,
    einsum::OPS,
    elementwise::OPS,
    gather::OPS,
    mask::OPS,
    image::OPS,
    inverse::OPS,
    linear_attention::OPS,
    loss::OPS,
    matmul::OPS,
    integer::OPS,
    movement::OPS,
    norm::OPS,
    pad::OPS,
    pool::OPS,
    quant::OPS,
    recurrent::OPS,
    reduce::OPS,
    region::OPS,
    reshape::OPS,
    resize::OPS,
    roi::OPS,
    sample::OPS,
    scan::OPS,
    sequence::OPS,
    scatter::OPS,
    search::OPS,
    slice::OPS,
    softmax::OPS,
    spectral::OPS,
    window::OPS,
];

/// One line of the list of supported operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpRow {
    /// Operator type.
    pub name: &'static str,
    /// Operator set; empty for the default one.
    pub domain: &'static str,
    /// First opset with this meaning.
    pub since: i64,
    /// What is not supported; empty when everything is.
    pub limits: &'static str,
}

/// All supported operators by domain, name and opset.
pub fn table() -> impl Iterator<Item = OpRow> {
    let mut rows: Vec<OpRow> = all()
        .map(|op| OpRow { name: op.name, domain: op.domain, since: op.since, limits: op.limits })
        .collect();
    rows.sort_by_key(|r| (r.domain, r.name, r.since));
    rows.into_iter()
}

/// The row for an operator in an opset: the newest that is not newer than the opset.
pub(crate) fn find(domain: &str, name: &str, opset: i64) -> Option<&'static OnnxOp> {
    all()
        .filter(|op| op.name == name && op.domain == domain && op.since <= opset)
        .max_by_key(|op| op.since)
}

/// The first opset in which an operator is supported.
pub(crate) fn first_opset(domain: &str, name: &str) -> Option<i64> {
    all().filter(|op| op.name == name && op.domain == domain).map(|op| op.since).min()
}

fn all() -> impl Iterator<Item = &'static OnnxOp> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// Runs a row on a node whose operand count fits.
pub(crate) fn import(op: &OnnxOp, cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let result = match op.import {
        Import::Unary(body) => {
            let x = cx.input(0)?;
            vec![cx.emit.map(&[x], |b, p| body(b, p[0]))?]
        }
        Import::Binary(body) => vec![combine(cx, body)?],
        Import::Fold(body) => {
            cx.ignore(&["consumed_inputs"]);
            vec![combine(cx, body)?]
        }
        Import::One(import) => vec![import(cx)?],
        Import::Many(import) => import(cx)?,
        Import::Region(_) => unreachable!("the walk imports operators with graphs inside"),
    };
    cx.check_all_read()?;
    Ok(result)
}

fn combine(
    cx: &mut ImportCx<'_>,
    body: fn(&mut Body<'_>, NodeId, NodeId) -> NodeId,
) -> Result<OpId, Diagnostic> {
    let inputs = cx.inputs()?;
    cx.emit.map_broadcast(&inputs, |b, p| {
        let first = p[0];
        p[1..].iter().fold(first, |acc, &x| body(b, acc, x))
    })
}

#[cfg(test)]
mod tests {
    use super::{all, find};

    #[test]
    fn rows_are_distinct() {
        let mut keys: Vec<_> = all().map(|op| (op.domain, op.name, op.since)).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn the_newest_row_of_an_opset_wins() {
        assert_eq!(find("", "Clip", 7).map(|op| op.since), Some(6));
        assert_eq!(find("", "Clip", 21).map(|op| op.since), Some(11));
        assert!(find("", "GreaterOrEqual", 11).is_none());
    }
}
