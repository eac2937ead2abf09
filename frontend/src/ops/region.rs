//! Rows of the operators with graphs inside; `import` has their meaning.

use super::Import::Region as Inside;
use super::{ANY, OnnxOp, Region, row};

const CARRIED: &str = "carried values of constant shape, or a constant trip count of at most 256";

pub(super) const OPS: &[OnnxOp] = &[
    row("If", 1, 1..=1, Inside(Region::If))
        .limits("one shape in both branches, or a constant condition"),
    row("Loop", 1, 2..=ANY, Inside(Region::Loop)).limits(CARRIED),
    row("Scan", 8, 1..=ANY, Inside(Region::BatchedScan)).limits("no sequence lengths"),
    row("Scan", 9, 1..=ANY, Inside(Region::Scan)),
];
