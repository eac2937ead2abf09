//! One step of each recurrent operator, as in the ONNX text.

use super::activations::Activation;
use super::weights::Weights;
use crate::emit::{Body, Emit};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::scalar::NodeId;

/// A recurrent operator.
pub(super) struct Cell {
    pub(super) name: &'static str,
    /// Rows of the weights per unit of the state.
    pub(super) gates: usize,
    /// Carried values; the first one is the output.
    pub(super) states: usize,
    /// Whether a gate resets the state before the candidate.
    pub(super) resets: bool,
    /// The activations when the node names none.
    pub(super) activations: &'static [&'static str],
    /// The next states.
    pub(super) next: fn(&mut Emit, &Step<'_>) -> Result<Vec<OpId>, Diagnostic>,
}

/// The attributes that change a step.
pub(super) struct Flags {
    pub(super) hidden: usize,
    /// Bound of what goes into an activation.
    pub(super) clip: Option<f32>,
    /// Whether an LSTM forgets what it does not take in.
    pub(super) couple: bool,
    /// Whether a GRU resets the state's product, not the state.
    pub(super) late_reset: bool,
}

/// The operands of a step.
pub(super) struct Step<'a> {
    pub(super) states: &'a [OpId],
    /// The input's products with the weights, and biases.
    pub(super) input: OpId,
    pub(super) weights: Weights,
    pub(super) bias: Option<OpId>,
    pub(super) peepholes: Option<OpId>,
    pub(super) activations: &'a [Activation],
    pub(super) flags: &'a Flags,
}

pub(super) const LSTM: Cell = Cell {
    name: "lstm",
    gates: 4,
    states: 2,
    resets: false,
    activations: &["Sigmoid", "Tanh", "Tanh"],
    next: lstm,
};

pub(super) const GRU: Cell = Cell {
    name: "gru",
    gates: 3,
    states: 1,
    resets: true,
    activations: &["Sigmoid", "Tanh"],
    next: gru,
};

pub(super) const RNN: Cell =
    Cell { name: "rnn", gates: 1, states: 1, resets: false, activations: &["Tanh"], next: rnn };

impl Step<'_> {
    /// Gate `n` of sums with one column per gate and unit.
    fn gate(&self, emit: &mut Emit, sums: OpId, n: usize) -> Result<OpId, Diagnostic> {
        let hidden = self.flags.hidden;
        emit.slice(sums, 1, ((n * hidden) as i64, 1), hidden)
    }

    /// Row `n` of the peepholes, repeated for the batch.
    fn peephole(&self, emit: &mut Emit, n: usize) -> Result<Option<OpId>, Diagnostic> {
        let Some(peepholes) = self.peepholes else { return Ok(None) };
        let hidden = self.flags.hidden;
        let row = emit.slice(peepholes, 0, ((n * hidden) as i64, 1), hidden)?;
        let shape = emit.shape(self.states[0]);
        emit.broadcast_at(row, vec![1], &shape).map(Some)
    }

    /// Activation `n` of a clipped value.
    fn activate(&self, b: &mut Body<'_>, n: usize, x: NodeId) -> NodeId {
        let x = match self.flags.clip {
            None => x,
            Some(clip) => {
                let (lo, hi) = (b.num(-f64::from(clip)), b.num(f64::from(clip)));
                b.clamp(x, lo, hi)
            }
        };
        self.activations[n].apply(b, x)
    }

    /// `f(sum + peephole · cell)`.
    fn peeping(
        &self,
        emit: &mut Emit,
        sum: OpId,
        cell: OpId,
        peephole: usize,
    ) -> Result<OpId, Diagnostic> {
        match self.peephole(emit, peephole)? {
            None => emit.map(&[sum], |b, p| self.activate(b, 0, p[0])),
            Some(weight) => emit.map(&[sum, weight, cell], |b, p| {
                let seen = b.mul(p[1], p[2]);
                let total = b.sum(p[0], seen);
                self.activate(b, 0, total)
            }),
        }
    }
}

/// Gates in the order input, output, forget, cell.
fn lstm(emit: &mut Emit, step: &Step<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let &[h, c] = step.states else { unreachable!("two states") };
    let product = step.weights.multiply(emit, h)?;
    let sums = emit.map(&[product, step.input], |b, p| b.sum(p[0], p[1]))?;
    let gates = [0, 1, 2, 3].map(|n| step.gate(emit, sums, n));
    let [input, output, forget, candidate] = gates;
    let input = step.peeping(emit, input?, c, 0)?;
    let forget = match step.flags.couple {
        false => step.peeping(emit, forget?, c, 2)?,
        true => emit.map(&[input], |b, p| {
            let one = b.num(1.0);
            b.sub(one, p[0])
        })?,
    };
    let next = emit.map(&[forget, c, input, candidate?], |b, p| {
        let (kept, candidate) = (b.mul(p[0], p[1]), step.activate(b, 1, p[3]));
        let new = b.mul(p[2], candidate);
        b.sum(kept, new)
    })?;
    let output = step.peeping(emit, output?, next, 1)?;
    let h = emit.map(&[output, next], |b, p| {
        let shown = step.activations[2].apply(b, p[1]);
        b.mul(p[0], shown)
    })?;
    Ok(vec![h, next])
}

/// Gates in the order update, reset, candidate.
fn gru(emit: &mut Emit, step: &Step<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let (h, hidden) = (step.states[0], step.flags.hidden);
    let late = step.flags.late_reset;
    let gates = if late { 3 } else { 2 };
    let product = step.weights.some_rows(emit, 0, gates * hidden)?.multiply(emit, h)?;
    let [update, reset] = [0, 1].map(|n| -> Result<OpId, Diagnostic> {
        let (x, y) = (step.gate(emit, step.input, n)?, step.gate(emit, product, n)?);
        emit.map(&[x, y], |b, p| {
            let sum = b.sum(p[0], p[1]);
            step.activate(b, 0, sum)
        })
    });
    let (update, reset) = (update?, reset?);
    let recurrent = match late {
        true => {
            let mut sum = step.gate(emit, product, 2)?;
            if let Some(bias) = step.bias {
                let shape = emit.shape(sum);
                let bias = emit.broadcast_at(bias, vec![1], &shape)?;
                sum = emit.map(&[sum, bias], |b, p| b.sum(p[0], p[1]))?;
            }
            emit.map(&[reset, sum], |b, p| b.mul(p[0], p[1]))?
        }
        false => {
            let kept = emit.map(&[reset, h], |b, p| b.mul(p[0], p[1]))?;
            step.weights.some_rows(emit, 2 * hidden, hidden)?.multiply(emit, kept)?
        }
    };
    let input = step.gate(emit, step.input, 2)?;
    let next = emit.map(&[input, recurrent, update, h], |b, p| {
        let sum = b.sum(p[0], p[1]);
        let (candidate, one) = (step.activate(b, 1, sum), b.num(1.0));
        let rest = b.sub(one, p[2]);
        let (new, old) = (b.mul(rest, candidate), b.mul(p[2], p[3]));
        b.sum(new, old)
    })?;
    Ok(vec![next])
}

fn rnn(emit: &mut Emit, step: &Step<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let product = step.weights.multiply(emit, step.states[0])?;
    let next = emit.map(&[product, step.input], |b, p| {
        let sum = b.sum(p[0], p[1]);
        step.activate(b, 0, sum)
    })?;
    Ok(vec![next])
}
