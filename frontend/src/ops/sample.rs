//! Elements at coordinates that are known at run time: `GridSample`, `RoiAlign`.
//!
//! Coordinates become positions and weights by element-wise arithmetic; each neighbour is one
//! gather, and the result is their weighted sum.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, unsupported};
use crate::emit::{Body, Emit};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Gather, Pick};
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::{ElemType, Shape};

pub(super) const OPS: &[OnnxOp] = &[row("GridSample", 16, 2..=2, One(grid_sample))];

/// Slope of the cubic filter.
const SLOPE: f64 = -0.75;

/// What is sampled between positions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What is sampled outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// A sampled dimension.
#[derive(Clone, Copy)]
struct Dim {
    extent: f64,
    padding: Padding,
    /// The ends of the grid are the centres of the outermost elements, not their borders.
    align_corners: bool,
}

/// One neighbour of every point along one dimension: its position, and its weight.
#[derive(Clone, Copy)]
pub(super) struct Neighbour {
    pub position: OpId,
    pub weight: OpId,
}

/// The neighbours along one dimension.
pub(super) struct Axis {
    pub neighbours: Vec<Neighbour>,
    /// The dimensions of the result that positions and weights have.
    pub dims: Vec<u32>,
}

fn grid_sample(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let (x, grid) = (cx.input(0)?, cx.input(1)?);
    let mode = match cx.string("mode", "linear")?.as_str() {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return Err(unsupported("mode", other)),
    };
    let padding = match cx.string("padding_mode", "zeros")?.as_str() {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return Err(unsupported("padding_mode", other)),
    };
    let align_corners = cx.flag("align_corners", false)?;
    let (shape, grid_shape) = (cx.emit.shape(x), cx.emit.shape(grid));
    let rank = shape.rank();
    if rank < 3 || grid_shape.rank() != rank || grid_shape[rank - 1] != rank - 2 {
        return Err(Code::ShapeMismatch.error("the grid does not fit the data"));
    }
    let points: Vec<u32> = (0..rank as u32).filter(|&d| d != 1).collect();
    let mut axes = Vec::new();
    for (d, &extent) in shape[2..].iter().enumerate() {
        let dim = Dim { extent: extent as f64, padding, align_corners };
        let at = column(cx.emit, grid, rank - 3 - d)?;
        axes.push(Axis { neighbours: neighbours(cx.emit, at, dim, mode)?, dims: points.clone() });
    }
    let result = shape[..2].iter().chain(&grid_shape[1..rank - 1]).copied().collect();
    let data = Data { x, picks: vec![Pick::Dim(0), Pick::Dim(1)], indices: Vec::new() };
    weighted(cx.emit, &data, &axes, &result, ScalarFn::Add)
}

/// One coordinate of every point.
fn column(emit: &mut Emit, grid: OpId, at: usize) -> Result<OpId, Diagnostic> {
    let shape = emit.shape(grid);
    let last = shape.rank() - 1;
    let column = emit.slice(grid, last, (at as i64, 1), 1)?;
    emit.reshape(column, &shape[..last])
}

fn neighbours(
    emit: &mut Emit,
    coordinate: OpId,
    dim: Dim,
    mode: Mode,
) -> Result<Vec<Neighbour>, Diagnostic> {
    let x = emit.map(&[coordinate], |b, p| {
        let x = dim.denormalised(b, p[0]);
        let x = if mode == Mode::Nearest { b.f1(ScalarFn::Round, x) } else { x };
        dim.inside(b, x)
    })?;
    let taps = match mode {
        Mode::Nearest => 0..=0,
        Mode::Linear => 0..=1,
        Mode::Cubic => -1..=2,
    };
    taps.map(|tap: i64| {
        let position = emit.map(&[x], |b, p| {
            let place = neighbour(b, p[0], tap);
            let place = dim.folded(b, place);
            b.cast(ElemType::I32, place)
        })?;
        let weight = emit.map(&[x], |b, p| {
            let base = b.f1(ScalarFn::Floor, p[0]);
            let distance = b.sub(p[0], base);
            let weight = weight(b, mode, distance, tap);
            dim.counted(b, p[0], tap, weight)
        })?;
        Ok(Neighbour { position, weight })
    })
    .collect()
}

/// The `tap`-th position after the one before `x`.
fn neighbour(b: &mut Body<'_>, x: NodeId, tap: i64) -> NodeId {
    let base = b.f1(ScalarFn::Floor, x);
    let tap = b.num(tap as f64);
    b.sum(base, tap)
}

/// The weight of the `tap`-th neighbour of a point at this distance from the 0-th.
fn weight(b: &mut Body<'_>, mode: Mode, distance: NodeId, tap: i64) -> NodeId {
    let place = b.num(tap as f64);
    let away = b.sub(place, distance);
    let away = b.f1(ScalarFn::Abs, away);
    match (mode, tap) {
        (Mode::Nearest, _) => b.num(1.0),
        (Mode::Linear, _) => {
            let one = b.num(1.0);
            b.sub(one, away)
        }
        (Mode::Cubic, 0 | 1) => horner(b, away, &[1.0, 0.0, -(SLOPE + 3.0), SLOPE + 2.0]),
        (Mode::Cubic, _) => horner(b, away, &[-4.0 * SLOPE, 8.0 * SLOPE, -5.0 * SLOPE, SLOPE]),
    }
}

/// `Σ coefficients[n]·xⁿ`.
fn horner(b: &mut Body<'_>, x: NodeId, coefficients: &[f64]) -> NodeId {
    let mut sum = b.num(0.0);
    for &c in coefficients.iter().rev() {
        let (scaled, c) = (b.mul(sum, x), b.num(c));
        sum = b.sum(scaled, c);
    }
    sum
}

impl Dim {
    /// The position of a coordinate in -1 to 1.
    fn denormalised(self, b: &mut Body<'_>, coordinate: NodeId) -> NodeId {
        let (one, half) = (b.num(1.0), b.num(0.5));
        let raised = b.sum(coordinate, one);
        if self.align_corners {
            let last = b.num(self.extent - 1.0);
            let halved = b.mul(raised, half);
            return b.mul(halved, last);
        }
        let extent = b.num(self.extent);
        let scaled = b.mul(raised, extent);
        let shifted = b.sub(scaled, one);
        b.mul(shifted, half)
    }

    /// The coordinate that is sampled for `x`.
    fn inside(self, b: &mut Body<'_>, x: NodeId) -> NodeId {
        match self.padding {
            Padding::Zeros => x,
            Padding::Border => {
                let (first, last) = (b.num(0.0), b.num(self.extent - 1.0));
                b.clamp(x, first, last)
            }
            Padding::Reflection => self.reflected(b, x),
        }
    }

    /// The element at a position that may lie outside; what is left outside is clamped.
    fn folded(self, b: &mut Body<'_>, position: NodeId) -> NodeId {
        match self.padding {
            Padding::Zeros | Padding::Border => {
                let (below, above) = (b.num(-1.0), b.num(self.extent));
                b.clamp(position, below, above)
            }
            Padding::Reflection => self.reflected(b, position),
        }
    }

    /// `x` mirrored at both ends until it lies between them.
    fn reflected(self, b: &mut Body<'_>, x: NodeId) -> NodeId {
        let margin = if self.align_corners { 0.0 } else { 0.5 };
        let (start, range) = (b.num(-margin), self.extent - 1.0 + 2.0 * margin);
        if range == 0.0 {
            return start;
        }
        let distance = b.sub(x, start);
        let distance = b.f1(ScalarFn::Abs, distance);
        let period = b.num(2.0 * range);
        let turns = b.div(distance, period);
        let turns = b.f1(ScalarFn::Floor, turns);
        let whole = b.mul(turns, period);
        let there = b.sub(distance, whole);
        let back = b.sub(period, there);
        let shorter = b.f2(ScalarFn::Min, there, back);
        b.sum(start, shorter)
    }

    /// The weight, or zero where the `tap`-th neighbour of `x` lies outside zeros.
    fn counted(self, b: &mut Body<'_>, x: NodeId, tap: i64, weight: NodeId) -> NodeId {
        if self.padding != Padding::Zeros {
            return weight;
        }
        let position = neighbour(b, x, tap);
        let (zero, last) = (b.num(0.0), b.num(self.extent - 1.0));
        let after = b.f2(ScalarFn::Le, zero, position);
        let before = b.f2(ScalarFn::Le, position, last);
        let weight = b.select(before, weight, zero);
        b.select(after, weight, zero)
    }
}

/// What is sampled, and what picks the positions along its first dimensions.
pub(super) struct Data {
    pub x: OpId,
    pub picks: Vec<Pick>,
    pub indices: Vec<OpId>,
}

/// `x[positions] · Π weight`, joined over all combinations of one neighbour per dimension.
pub(super) fn weighted(
    emit: &mut Emit,
    data: &Data,
    axes: &[Axis],
    result: &Shape,
    join: ScalarFn,
) -> Result<OpId, Diagnostic> {
    let index = axes.iter().map(|axis| Pick::Index(axis.dims.clone()));
    let picks: Vec<Pick> = data.picks.iter().cloned().chain(index).collect();
    let elem = emit.elem(data.x);
    let mut operands = Vec::new();
    for chosen in combinations(axes) {
        let positions = chosen.iter().map(|n| n.position);
        let args: Vec<OpId> =
            [data.x].into_iter().chain(data.indices.iter().copied()).chain(positions).collect();
        operands.push(emit.op(Gather { picks: picks.clone(), shape: result.clone() }, &args)?);
        for (neighbour, axis) in chosen.iter().zip(axes) {
            let weight = emit.cast(neighbour.weight, elem)?;
            operands.push(emit.broadcast_at(weight, axis.dims.clone(), result)?);
        }
    }
    emit.map(&operands, |b, p| {
        let terms: Vec<NodeId> = p
            .chunks_exact(1 + axes.len())
            .map(|term| term[1..].iter().fold(term[0], |product, &w| b.mul(product, w)))
            .collect();
        terms.into_iter().reduce(|all, term| b.f2(join, all, term)).expect("one neighbour")
    })
}

/// Every choice of one neighbour per dimension, the last dimension fastest.
fn combinations(axes: &[Axis]) -> Vec<Vec<Neighbour>> {
    axes.iter().fold(vec![Vec::new()], |chosen, axis| {
        let extend = |prefix: &Vec<Neighbour>, &next| [prefix.as_slice(), &[next]].concat();
        let all = |prefix| axis.neighbours.iter().map(move |n| extend(prefix, n));
        chosen.iter().flat_map(all).collect()
    })
}
