//! LSTM, GRU and RNN.
//!
//! The products of all inputs with the input weights are one matrix product before the repetition;
//! the body multiplies the state alone. Where sequences end early, a mask keeps the state and
//! clears the output.

mod activations;
mod cells;
mod weights;

use super::Import::Many;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use crate::prune::prune;
use activations::Activation;
use cells::{Cell, GRU, LSTM, RNN, Step};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Repeat;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};
use weights::Weights;

pub(super) const OPS: &[OnnxOp] = &[
    row("GRU", 7, 3..=6, Many(|cx| import(cx, &GRU))),
    row("LSTM", 7, 3..=8, Many(|cx| import(cx, &LSTM))),
    row("RNN", 7, 3..=6, Many(|cx| import(cx, &RNN))),
    OnnxOp {
        domain: "com.microsoft",
        ..row("DynamicQuantizeLSTM", 1, 3..=12, Many(import_quantized))
    },
];

/// Extents of the operands.
#[derive(Clone, Copy)]
struct Extents {
    steps: usize,
    batch: usize,
    directions: usize,
    hidden: usize,
}

/// What all directions share.
struct Network<'c> {
    cell: &'c Cell,
    extents: Extents,
    /// Rows of all steps, one after the other.
    input: OpId,
    /// Whether an element belongs to a sequence: steps by batch.
    mask: Option<OpId>,
    flags: cells::Flags,
    activations: Vec<Activation>,
    elem: ElemType,
}

/// The operands of one direction.
struct Direction {
    backward: bool,
    input_weights: Weights,
    recurrent_weights: Weights,
    /// Of the input gates and of the recurrent gates.
    biases: Option<[OpId; 2]>,
    peepholes: Option<OpId>,
    states: Vec<OpId>,
    activations: Vec<Activation>,
}

fn import(cx: &mut ImportCx<'_>, cell: &Cell) -> Result<Vec<OpId>, Diagnostic> {
    let (w, r) = (cx.input(1)?, cx.input(2)?);
    run(cx, cell, w, r, &|emit, d| Ok([Weights::rows(emit, w, d)?, Weights::rows(emit, r, d)?]))
}

/// ONNX Runtime's LSTM with constant 8-bit weights, whose columns are gates; the input, and the
/// state in each step, is quantised to the range that it has.
fn import_quantized(cx: &mut ImportCx<'_>) -> Result<Vec<OpId>, Diagnostic> {
    let (w, r) = (cx.input(1)?, cx.input(2)?);
    let params = [(8, 9), (10, 11)].map(|(scale, zero)| (cx.input(scale), cx.input(zero)));
    let [(w_scale, w_zero), (r_scale, r_zero)] = params;
    let (w_params, r_params) = ((w_scale?, w_zero?), (r_scale?, r_zero?));
    let (turned_w, turned_r) =
        (cx.emit.transpose(w, vec![0, 2, 1])?, cx.emit.transpose(r, vec![0, 2, 1])?);
    run(cx, &LSTM, turned_w, turned_r, &|emit, d| {
        Ok([Weights::quantized(emit, w, w_params, d)?, Weights::quantized(emit, r, r_params, d)?])
    })
}

/// The input's and the state's weights of a direction.
type WeightsOf<'a> = dyn Fn(&mut Emit, usize) -> Result<[Weights; 2], Diagnostic> + 'a;

/// `w` and `r` are the weights with one row per gate, for their extents.
fn run(
    cx: &mut ImportCx<'_>,
    cell: &Cell,
    w: OpId,
    r: OpId,
    weights: &WeightsOf<'_>,
) -> Result<Vec<OpId>, Diagnostic> {
    let batch_first = cx.flag("layout", false)?;
    let mut x = cx.input(0)?;
    check_rank(cx, &[x, w, r])?;
    if batch_first {
        x = cx.emit.transpose(x, vec![1, 0, 2])?;
    }
    let hidden = cx.emit.shape(r)[2];
    cx.int("hidden_size")?;
    let backward: &[bool] = match cx.string("direction", "forward")?.to_ascii_lowercase().as_str() {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        _ => return Err(invalid("direction", "is not a direction")),
    };
    let (shape, rows) = (cx.emit.shape(x), cell.gates * hidden);
    let extents = Extents { steps: shape[0], batch: shape[1], directions: backward.len(), hidden };
    if extents.steps == 0 || extents.batch == 0 {
        return Err(Code::ShapeMismatch.error("a sequence without elements"));
    }
    check_shape(cx, w, &[backward.len(), rows, shape[2]], "input weights")?;
    check_shape(cx, r, &[backward.len(), rows, hidden], "recurrent weights")?;
    let flags = cells::Flags {
        hidden,
        clip: if cx.has_attr("clip") { Some(cx.float("clip", 0.0)?) } else { None },
        couple: cx.flag("input_forget", false)?,
        late_reset: cx.flag("linear_before_reset", false)?,
    };
    let activations = activations::read(cx, cell.activations, backward.len())?;
    let elem = cx.emit.elem(x);
    let mask = mask(cx, extents)?;
    let flat = cx.emit.reshape(x, &[shape[0] * shape[1], shape[2]])?;
    let network = Network { cell, extents, input: flat, mask, flags, activations, elem };
    let mut results: Vec<Vec<OpId>> = vec![Vec::new(); 1 + cell.states];
    for (d, &backward) in backward.iter().enumerate() {
        let weights = weights(cx.emit, d)?;
        let direction = direction(cx, &network, (d, backward), weights, batch_first)?;
        let values = one_direction(cx.emit, &network, &direction)?;
        results.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
    }
    let results = results.into_iter().enumerate();
    results.map(|(n, parts)| join(cx.emit, &parts, n == 0, batch_first)).collect()
}

/// The results of all directions as one: directions come after the steps, and after the batch
/// where that comes first.
fn join(
    emit: &mut Emit,
    parts: &[OpId],
    is_sequence: bool,
    batch_first: bool,
) -> Result<OpId, Diagnostic> {
    let dim = usize::from(is_sequence);
    let mut wide = Vec::new();
    for &part in parts {
        let mut dims = emit.shape(part).to_vec();
        dims.insert(dim, 1);
        wide.push(emit.reshape(part, &dims)?);
    }
    let all = emit.concat(&wide, dim)?;
    match (batch_first, is_sequence) {
        (false, _) => Ok(all),
        (true, true) => emit.transpose(all, vec![2, 0, 1, 3]),
        (true, false) => emit.transpose(all, vec![1, 0, 2]),
    }
}

fn check_rank(cx: &ImportCx<'_>, operands: &[OpId]) -> Result<(), Diagnostic> {
    match operands.iter().find(|&&x| cx.emit.rank(x) != 3) {
        None => Ok(()),
        Some(&x) => {
            Err(Code::ShapeMismatch.error(format!("expected rank 3, found {}", cx.emit.ty(x))))
        }
    }
}

fn check_shape(cx: &ImportCx<'_>, x: OpId, dims: &[usize], what: &str) -> Result<(), Diagnostic> {
    if cx.emit.shape(x)[..] == *dims {
        return Ok(());
    }
    Err(Code::ShapeMismatch.error(format!("the {what} are {}, not {dims:?}", cx.emit.ty(x))))
}

/// Which steps of each sequence there are; `None` when all of them are.
fn mask(cx: &mut ImportCx<'_>, extents: Extents) -> Result<Option<OpId>, Diagnostic> {
    let Some(lengths) = cx.optional(4) else { return Ok(None) };
    let Extents { steps, batch, .. } = extents;
    check_shape(cx, lengths, &[batch], "sequence lengths")?;
    if let Some(known) = cx.emit.const_tensor(lengths)
        && known.iter().all(|length| length.as_i64() >= steps as i64)
    {
        return Ok(None);
    }
    let lengths = cx.emit.cast(lengths, ElemType::I64)?;
    let numbers: Vec<i64> = (0..steps as i64).collect();
    let numbers = cx.emit.constant(Tensor::from_i64s(&[steps], &numbers));
    let shape = Shape::new(&[steps, batch]);
    let numbers = cx.emit.broadcast_at(numbers, vec![0], &shape)?;
    let lengths = cx.emit.broadcast_at(lengths, vec![1], &shape)?;
    cx.emit.map(&[numbers, lengths], |b, p| b.f2(ScalarFn::Lt, p[0], p[1])).map(Some)
}

fn direction(
    cx: &mut ImportCx<'_>,
    network: &Network<'_>,
    (d, backward): (usize, bool),
    [input_weights, recurrent_weights]: [Weights; 2],
    batch_first: bool,
) -> Result<Direction, Diagnostic> {
    let Extents { batch, directions, hidden, .. } = network.extents;
    let (cell, rows) = (network.cell, network.cell.gates * hidden);
    let biases = match cx.optional(3) {
        None => None,
        Some(b) => {
            check_shape(cx, b, &[directions, 2 * rows], "biases")?;
            let all = part(cx.emit, b, d)?;
            let first = cx.emit.slice(all, 0, (0, 1), rows)?;
            Some([first, cx.emit.slice(all, 0, (rows as i64, 1), rows)?])
        }
    };
    let mut states = Vec::new();
    for n in 0..cell.states {
        states.push(match cx.optional(5 + n) {
            None => {
                let zero = cx.emit.constant(Tensor::splat(&[], Scalar::from_i64(network.elem, 0)));
                cx.emit.broadcast(zero, &Shape::new(&[batch, hidden]))?
            }
            Some(mut first) => {
                check_rank(cx, &[first])?;
                if batch_first {
                    first = cx.emit.transpose(first, vec![1, 0, 2])?;
                }
                check_shape(cx, first, &[directions, batch, hidden], "initial states")?;
                part(cx.emit, first, d)?
            }
        });
    }
    let peepholes = match cx.optional(7).filter(|_| cell.states == 2) {
        None => None,
        Some(p) => {
            check_shape(cx, p, &[directions, 3 * hidden], "peepholes")?;
            Some(part(cx.emit, p, d)?)
        }
    };
    let count = cell.activations.len();
    let activations = network.activations[d * count..(d + 1) * count].to_vec();
    Ok(Direction {
        backward,
        input_weights,
        recurrent_weights,
        biases,
        peepholes,
        states,
        activations,
    })
}

/// Position `d` of the first dimension, without that dimension.
fn part(emit: &mut Emit, x: OpId, d: usize) -> Result<OpId, Diagnostic> {
    let part = emit.slice(x, 0, (d as i64, 1), 1)?;
    let dims = emit.shape(part)[1..].to_vec();
    emit.reshape(part, &dims)
}

/// The outputs of all steps, then the last states.
fn one_direction(
    emit: &mut Emit,
    network: &Network<'_>,
    direction: &Direction,
) -> Result<Vec<OpId>, Diagnostic> {
    let Network { cell, extents, mask, .. } = network;
    let rows = cell.gates * extents.hidden;
    let (input_bias, step_bias) = split_biases(emit, network, direction)?;
    let product = direction.input_weights.multiply(emit, network.input)?;
    let shape = emit.shape(product);
    let input = match input_bias {
        None => product,
        Some(bias) => {
            let bias = emit.broadcast_at(bias, vec![1], &shape)?;
            emit.map(&[product, bias], |b, p| b.sum(p[0], p[1]))?
        }
    };
    let input = emit.reshape(input, &[extents.steps, extents.batch, rows])?;

    let mut inner = emit.inside(cell.name);
    let mut args = [&direction.states[..], &[input], mask.as_slice()].concat();
    let state = TensorType::new(network.elem, &[extents.batch, extents.hidden]);
    let states: Vec<OpId> =
        (0..cell.states).map(|n| inner.input(&format!("state{n}"), state.clone())).collect();
    let x = inner.input("x", TensorType::new(network.elem, &[extents.batch, rows]));
    let mask = mask.map(|_| inner.input("mask", TensorType::new(ElemType::Bool, &[extents.batch])));
    let mut bring = |inner: &mut Emit, x: OpId| bring(emit, inner, &mut args, x);
    let step = Step {
        states: &states,
        input: x,
        weights: direction.recurrent_weights.brought(&mut inner, &mut bring),
        bias: step_bias.map(|bias| bring(&mut inner, bias)),
        peepholes: direction.peepholes.map(|p| bring(&mut inner, p)),
        activations: &direction.activations,
        flags: &network.flags,
    };
    let next = (cell.next)(&mut inner, &step)?;
    let results = masked(&mut inner, mask, &states, next)?;
    results.iter().for_each(|&value| inner.output("r", value));
    let way = if direction.backward { -1 } else { 1 };
    let op = Repeat {
        body: prune(inner.into_graph()).into(),
        count: extents.steps as u32,
        carried: cell.states as u32,
        scanned: vec![way; 1 + usize::from(mask.is_some())],
        stacked: vec![way],
        conditional: false,
        result: 0,
    };
    let order = [cell.states].into_iter().chain(0..cell.states);
    order.map(|n| emit.op(Repeat { result: n as u32, ..op.clone() }, &args)).collect()
}

/// The bias of the input's products, and the one that a step adds to the state's.
fn split_biases(
    emit: &mut Emit,
    network: &Network<'_>,
    direction: &Direction,
) -> Result<(Option<OpId>, Option<OpId>), Diagnostic> {
    let Some([input, recurrent]) = direction.biases else { return Ok((None, None)) };
    let hidden = network.flags.hidden;
    if !(network.cell.resets && network.flags.late_reset) {
        return Ok((Some(emit.map(&[input, recurrent], |b, p| b.sum(p[0], p[1]))?), None));
    }
    let gates = emit.slice(recurrent, 0, (0, 1), 2 * hidden)?;
    let zeros = emit.pad(gates, vec![0], vec![hidden as u32], Scalar::from_i64(network.elem, 0))?;
    let late = emit.slice(recurrent, 0, (2 * hidden as i64, 1), hidden)?;
    Ok((Some(emit.map(&[input, zeros], |b, p| b.sum(p[0], p[1]))?), Some(late)))
}

/// A value of the graph around a body, in the body: a constant, or one more parameter.
fn bring(outside: &Emit, inner: &mut Emit, args: &mut Vec<OpId>, x: OpId) -> OpId {
    match outside.const_tensor(x) {
        Some(tensor) => inner.constant(tensor.into_owned()),
        None => {
            args.push(x);
            inner.input("same", outside.ty(x).clone())
        }
    }
}

/// The next states, then the output; where a sequence has ended, the old states and 0.
fn masked(
    emit: &mut Emit,
    mask: Option<OpId>,
    states: &[OpId],
    mut next: Vec<OpId>,
) -> Result<Vec<OpId>, Diagnostic> {
    let mut output = next[0];
    if let Some(mask) = mask {
        let mask = emit.broadcast_at(mask, vec![0], &emit.shape(states[0]))?;
        output = emit.map(&[output, mask], |b, p| {
            let zero = b.num(0.0);
            b.select(p[1], p[0], zero)
        })?;
        for (new, &old) in next.iter_mut().zip(states) {
            *new = emit.map(&[*new, old, mask], |b, p| b.select(p[2], p[0], p[1]))?;
        }
    }
    next.push(output);
    Ok(next)
}
