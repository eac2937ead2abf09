//! Loop and Scan: repetitions of a body.

use super::Walk;
use super::frame::{Bound, Inner};
use super::region::Results;
use crate::code::Code;
use crate::context::normalise_axis;
use crate::grid::Value;
use crate::model::{GraphDef, Node};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::Repeat;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, Shape, TensorType};

/// Iterations of a loop that only its condition ends.
const UNBOUNDED: u32 = i32::MAX as u32;

/// The most iterations of a loop whose body is repeated in the graph, which it has to be when the
/// shapes of its values change.
const MAX_UNROLL: usize = 256;

/// The operands of a Loop.
struct Loop {
    /// Trip count, where it is given.
    trips: Option<OpId>,
    /// Its value, where it is known.
    count: Option<i64>,
    /// The condition at the start, where it is given.
    go: Option<OpId>,
    /// The condition's value, where it is known.
    known_go: Option<bool>,
    /// The first carried values.
    carried: Vec<Value>,
}

impl<'a> Walk<'a> {
    pub(super) fn counted_loop(
        &mut self,
        node: &'a Node,
        opset: i64,
        inputs: &[Option<Value>],
    ) -> Results {
        let mut cx = self.attributes(node, opset, inputs);
        cx.ignore(&["body"]);
        cx.check_all_read()?;
        let (trips, go) = (cx.optional(0), cx.optional(1));
        let carried = inputs.iter().skip(2).copied().collect::<Option<Vec<Value>>>();
        let carried =
            carried.ok_or_else(|| Code::MissingInput.error("a carried value is left out"));
        let emit = &self.frame.emit;
        let count = trips.map_or(Some(i64::MAX), |m| Some(emit.const_scalar(m)?.as_i64()));
        let known_go = go.map_or(Some(true), |go| Some(emit.const_scalar(go)?.is_true()));
        let body = node.graph("body")?;
        let all = Loop { trips, count, go, known_go, carried: carried? };
        if body.inputs.len() != all.carried.len() + 2 || body.outputs.len() <= all.carried.len() {
            return Err(Code::InvalidModel.error("the body does not fit the node's operands"));
        }
        let short = all.count.filter(|&n| n <= MAX_UNROLL as i64 && all.known_go.is_some());
        let before = self.problems.len();
        let repeated = self.repeated_loop(body, &all);
        match (repeated, short) {
            (Ok(Some(results)), _) => Ok(Some(results)),
            (failed, None) => failed,
            (_, Some(count)) => {
                self.problems.truncate(before);
                let count = if all.known_go == Some(true) { count.max(0) as usize } else { 0 };
                self.unrolled_loop(body, &all, count)
            }
        }
    }

    /// The loop as a repetition: the condition, the carried values and, where the number of
    /// iterations is not known, their counter are carried.
    fn repeated_loop(&mut self, body: &'a GraphDef, all: &Loop) -> Results {
        let empty = all.known_go == Some(false) || all.count.is_some_and(|n| n < 1);
        if empty || all.count.is_some_and(|n| n > i64::from(UNBOUNDED) && all.trips.is_some()) {
            return Err(
                Code::TooLarge.error("the loop has no iterations, or more than fit 31 bits")
            );
        }
        let scalar = |elem| TensorType::new(elem, &[]);
        let names: Vec<&'a str> = body.inputs.iter().map(|input| input.name.as_str()).collect();
        let mut params = vec![("", Bound::Any(scalar(ElemType::Bool)))];
        let carried = names[2..].iter().zip(&all.carried);
        params.extend(carried.map(|(&name, &value)| (name, Bound::Like(value))));
        params.push((names[0], Bound::Any(scalar(ElemType::I64))));
        params.push((names[1], Bound::Constant(Tensor::splat(&[], Scalar::bool(true)))));
        let Some(mut inner) = self.body(body, "loop", params) else { return Ok(None) };
        let again = inner.frame.emit.reshape(inner.results[0].op, &[])?;
        let endless = inner.frame.emit.const_scalar(again).is_some_and(Scalar::is_true);
        self.check_carried(&inner, &all.carried, 1)?;
        let known = all.known_go == Some(true) && endless;
        match all.count.filter(|_| known && all.trips.is_some()) {
            Some(count) => self.counted(inner, all, count as u32, again),
            None => self.conditional(inner, all, again),
        }
    }

    /// A loop of a known number of iterations.
    fn counted(&mut self, inner: Inner<'a>, all: &Loop, count: u32, again: OpId) -> Results {
        let numbers: Vec<i64> = (0..i64::from(count)).collect();
        let numbers = self.frame.emit.constant(Tensor::from_i64s(&[numbers.len()], &numbers));
        let go = self.frame.emit.constant(Tensor::splat(&[], Scalar::bool(true)));
        let results: Vec<OpId> =
            [again].into_iter().chain(inner.results[1..].iter().map(|r| r.op)).collect();
        let carried = all.carried.len() + 1;
        let formats: Vec<_> = inner.results[1..].iter().map(|r| r.format).collect();
        let starts = [go].into_iter().chain(all.carried.iter().map(|v| v.op)).chain([numbers]);
        let args: Vec<OpId> = starts.chain(inner.frame.captured.iter().copied()).collect();
        let op = Repeat {
            body: inner.frame.into_graph(&results).into(),
            count,
            carried: carried as u32,
            scanned: vec![1],
            stacked: vec![1; results.len() - carried],
            conditional: false,
            result: 0,
        };
        self.repeat_results(&op, &args, 1, &formats)
    }

    /// A loop that its condition or a trip count known at run time ends.
    fn conditional(&mut self, mut inner: Inner<'a>, all: &Loop, again: OpId) -> Results {
        let carried = all.carried.len();
        if inner.results.len() > 1 + carried {
            return Err(Code::UnsupportedOutput
                .error("a loop of unknown length has results that grow with it")
                .help("make the trip count and the condition constant"));
        }
        let counter = inner.frame.emit.graph_input(1 + carried);
        let next = inner.frame.emit.map(&[counter], |b, p| {
            let one = b.num(1.0);
            b.sum(p[0], one)
        })?;
        let limit = match (all.trips, all.count) {
            (None, _) => None,
            (Some(_), Some(n)) => Some(inner.frame.emit.constant(Tensor::from_i64s(&[], &[n]))),
            (Some(trips), None) => {
                let trips = self.frame.emit.reshape(trips, &[])?;
                let value = Value { op: trips, format: None };
                Some(inner.frame.capture("trips", value, &self.frame.emit).op)
            }
        };
        let again = below(&mut inner.frame.emit, again, next, limit)?;
        let zero = self.frame.emit.constant(Tensor::from_i64s(&[], &[0]));
        let go = match all.go {
            Some(go) => self.frame.emit.reshape(go, &[])?,
            None => self.frame.emit.constant(Tensor::splat(&[], Scalar::bool(true))),
        };
        let trips = all.trips.map(|trips| self.frame.emit.reshape(trips, &[])).transpose()?;
        let go = below(&mut self.frame.emit, go, zero, trips)?;
        let results = [again].into_iter().chain(inner.results[1..].iter().map(|r| r.op));
        let results: Vec<OpId> = results.chain([next]).collect();
        let formats: Vec<_> = inner.results[1..].iter().map(|r| r.format).collect();
        let starts = [go].into_iter().chain(all.carried.iter().map(|v| v.op)).chain([zero]);
        let args: Vec<OpId> = starts.chain(inner.frame.captured.iter().copied()).collect();
        let op = Repeat {
            body: inner.frame.into_graph(&results).into(),
            count: all.count.map_or(UNBOUNDED, |n| n.min(i64::from(UNBOUNDED)) as u32),
            carried: 2 + carried as u32,
            scanned: Vec::new(),
            stacked: Vec::new(),
            conditional: true,
            result: 0,
        };
        self.repeat_results(&op, &args, 1, &formats)
    }

    /// The results of a repetition from `first` on, one per format.
    fn repeat_results(
        &mut self,
        op: &Repeat,
        args: &[OpId],
        first: usize,
        formats: &[Option<&'static crate::format::Format>],
    ) -> Results {
        let results = formats.iter().enumerate().map(|(n, &format)| {
            let result = (first + n) as u32;
            self.result(Repeat { result, ..op.clone() }, args, format)
        });
        results.collect::<Result<Vec<Value>, Diagnostic>>().map(Some)
    }

    /// The carried values keep their types; they are results from `first` on.
    fn check_carried(
        &self,
        inner: &Inner<'_>,
        carried: &[Value],
        first: usize,
    ) -> Result<(), Diagnostic> {
        for (n, (start, next)) in carried.iter().zip(&inner.results[first..]).enumerate() {
            let (start, next) = (self.frame.emit.ty(start.op), inner.frame.emit.ty(next.op));
            if start != next {
                return Err(Code::DynamicShape.error(format!(
                    "carried value {n} is {start} before an iteration and {next} after it"
                )));
            }
        }
        Ok(())
    }

    /// The loop as its iterations one after the other.
    fn unrolled_loop(&mut self, body: &'a GraphDef, all: &Loop, count: usize) -> Results {
        let mut values = all.carried.clone();
        let mut stacks: Vec<Vec<Value>> =
            vec![Vec::new(); body.outputs.len() - 1 - all.carried.len()];
        let names = body.inputs.iter().map(|input| input.name.as_str());
        for iteration in 0..count {
            let number = Tensor::from_i64s(&[], &[iteration as i64]);
            let number = Value { op: self.frame.emit.constant(number), format: None };
            let go = self.frame.emit.constant(Tensor::splat(&[], Scalar::bool(true)));
            let bound = [number, Value { op: go, format: None }].into_iter().chain(values);
            let params = names.clone().zip(bound).collect();
            let Some(mut results) = self.inline(body, params) else { return Ok(None) };
            let again = self.frame.emit.const_scalar(results[0].op);
            let stacked = results.split_off(1 + all.carried.len());
            stacks.iter_mut().zip(stacked).for_each(|(stack, value)| stack.push(value));
            values = results.split_off(1);
            match again {
                Some(go) if go.is_true() => {}
                Some(_) => break,
                None => {
                    return Err(Code::DynamicShape.error(
                        "the shapes of a loop's values change, and its condition is not constant",
                    ));
                }
            }
        }
        for stack in stacks {
            values.push(self.stacked(&stack)?);
        }
        Ok(Some(values))
    }

    fn stacked(&mut self, slices: &[Value]) -> Result<Value, Diagnostic> {
        let Some(first) = slices.first() else {
            return Err(Code::DynamicShape.error("a loop without iterations has stacked results"));
        };
        let whole = |value: &Value| {
            let dims = [&[1], &self.frame.emit.shape(value.op)[..]].concat();
            self.frame.emit.reshape(value.op, &dims)
        };
        let slices = slices.iter().map(whole).collect::<Result<Vec<OpId>, Diagnostic>>()?;
        Ok(Value { op: self.frame.emit.concat(&slices, 0)?, format: first.format })
    }

    pub(super) fn scan(&mut self, node: &'a Node, opset: i64, inputs: &[Option<Value>]) -> Results {
        let body = node.graph("body")?;
        let mut cx = self.attributes(node, opset, inputs);
        cx.ignore(&["body"]);
        let sliced = cx.int("num_scan_inputs")?.unwrap_or(0) as usize;
        let axes = [cx.ints("scan_input_axes")?, cx.ints("scan_output_axes")?];
        let steps = [cx.ints("scan_input_directions")?, cx.ints("scan_output_directions")?];
        cx.check_all_read()?;
        let values = inputs.iter().copied().collect::<Option<Vec<Value>>>();
        let values = values.ok_or_else(|| Code::MissingInput.error("an operand is left out"))?;
        let (carried, outputs) = (values.len().checked_sub(sliced), body.outputs.len());
        let carried = carried.filter(|&n| n <= outputs && sliced > 0);
        let carried = carried.ok_or_else(|| bad_list("num_scan_inputs"))?;
        let [axes, out_axes] = axes.map(Option::unwrap_or_default);
        let [steps, out_steps] = steps.map(Option::unwrap_or_default);
        let scan = Scan {
            carried,
            steps: directions(&steps, sliced)?,
            out_steps: directions(&out_steps, outputs - carried)?,
        };
        let mut front = values;
        for (n, value) in front[carried..].iter_mut().enumerate() {
            let axis = normalise_axis(axes.get(n).copied().unwrap_or(0), self.rank(value))?;
            value.op = self.frame.emit.transpose(value.op, to_front(self.rank(value), axis))?;
        }
        let Some(mut results) = self.scan_front(body, &scan, &front)? else { return Ok(None) };
        for (n, value) in results[carried..].iter_mut().enumerate() {
            let rank = self.rank(value);
            let axis = normalise_axis(out_axes.get(n).copied().unwrap_or(0), rank)?;
            let mut back = to_front(rank, axis);
            to_front(rank, axis).iter().enumerate().for_each(|(d, &p)| back[p as usize] = d as u32);
            value.op = self.frame.emit.transpose(value.op, back)?;
        }
        Ok(Some(results))
    }

    fn rank(&self, value: &Value) -> usize {
        self.frame.emit.rank(value.op)
    }

    /// A scan along dimension 0 of all its operands.
    fn scan_front(&mut self, body: &'a GraphDef, scan: &Scan, values: &[Value]) -> Results {
        let emit = &self.frame.emit;
        if body.inputs.len() != values.len() {
            return Err(Code::InvalidModel.error("the body does not fit the node's operands"));
        }
        let lengths = values[scan.carried..].iter().map(|v| emit.shape(v.op).first().copied());
        let mut lengths: Vec<Option<usize>> = lengths.collect();
        lengths.dedup();
        let &[Some(count @ 1..)] = lengths.as_slice() else {
            return Err(Code::ShapeMismatch
                .error("the scanned operands have no length in common, or one of 0"));
        };
        let names = body.inputs.iter().map(|input| input.name.as_str());
        let bound = values.iter().enumerate().map(|(n, &value)| match n < scan.carried {
            true => Bound::Like(value),
            false => Bound::Any(slice_type(emit.ty(value.op))),
        });
        let params = names.zip(bound.collect::<Vec<_>>()).collect();
        let Some(inner) = self.body(body, "scan", params) else { return Ok(None) };
        self.check_carried(&inner, &values[..scan.carried], 0)?;
        let formats: Vec<_> = inner.results.iter().map(|r| r.format).collect();
        let args = values.iter().map(|v| v.op).chain(inner.frame.captured.iter().copied());
        let args: Vec<OpId> = args.collect();
        let results: Vec<OpId> = inner.results.iter().map(|r| r.op).collect();
        let op = Repeat {
            body: inner.frame.into_graph(&results).into(),
            count: count as u32,
            carried: scan.carried as u32,
            scanned: scan.steps.clone(),
            stacked: scan.out_steps.clone(),
            conditional: false,
            result: 0,
        };
        self.repeat_results(&op, &args, 0, &formats)
    }

    /// Opset 8: all operands have a batch dimension first, which is scanned row by row.
    pub(super) fn batched_scan(
        &mut self,
        node: &'a Node,
        opset: i64,
        inputs: &[Option<Value>],
    ) -> Results {
        let body = node.graph("body")?;
        let mut cx = self.attributes(node, opset, inputs);
        cx.ignore(&["body"]);
        let sliced = cx.int("num_scan_inputs")?.unwrap_or(0) as usize;
        let steps = cx.ints("directions")?.unwrap_or_default();
        cx.check_all_read()?;
        if cx.optional(0).is_some() {
            return Err(Code::UnsupportedAttribute.error("sequence lengths are not supported"));
        }
        let values = inputs.iter().skip(1).copied().collect::<Option<Vec<Value>>>();
        let values = values.ok_or_else(|| Code::MissingInput.error("an operand is left out"))?;
        let carried = values.len().checked_sub(sliced).filter(|&n| n <= body.outputs.len());
        let carried = carried.ok_or_else(|| bad_list("num_scan_inputs"))?;
        let out_steps = vec![1; body.outputs.len() - carried];
        let scan = Scan { carried, steps: directions(&steps, sliced)?, out_steps };
        let batch = values.first().and_then(|v| self.frame.emit.shape(v.op).first().copied());
        let mut rows: Vec<Vec<Value>> = vec![Vec::new(); body.outputs.len()];
        for row in 0..batch.unwrap_or(0) {
            let values = values.iter().map(|&value| self.row(value, row));
            let values = values.collect::<Result<Vec<Value>, Diagnostic>>()?;
            let Some(results) = self.scan_front(body, &scan, &values)? else { return Ok(None) };
            rows.iter_mut().zip(results).for_each(|(rows, value)| rows.push(value));
        }
        let results = rows.iter().map(|rows| self.stacked(rows));
        results.collect::<Result<Vec<Value>, Diagnostic>>().map(Some)
    }

    fn row(&mut self, value: Value, row: usize) -> Result<Value, Diagnostic> {
        let part = self.frame.emit.slice(value.op, 0, (row as i64, 1), 1)?;
        let dims = self.frame.emit.shape(part)[1..].to_vec();
        Ok(Value { op: self.frame.emit.reshape(part, &dims)?, ..value })
    }
}

/// What a scan does with the operands and results of its body.
struct Scan {
    carried: usize,
    /// Per scanned operand, as in `Repeat`.
    steps: Vec<i32>,
    /// Per stacked result, as in `Repeat`.
    out_steps: Vec<i32>,
}

/// `go`, and `number` below the limit, if there is one.
fn below(
    emit: &mut crate::emit::Emit,
    go: OpId,
    number: OpId,
    limit: Option<OpId>,
) -> Result<OpId, Diagnostic> {
    let Some(limit) = limit else { return Ok(go) };
    emit.map(&[go, number, limit], |b, p| {
        let below = b.f2(ScalarFn::Lt, p[1], p[2]);
        b.f2(ScalarFn::And, p[0], below)
    })
}

fn slice_type(ty: &TensorType) -> TensorType {
    TensorType { elem: ty.elem, shape: Shape::new(&ty.shape[1..]) }
}

/// The permutation that moves a dimension to the front.
fn to_front(rank: usize, axis: usize) -> Vec<u32> {
    let rest = (0..rank).filter(|&d| d != axis);
    [axis].into_iter().chain(rest).map(|d| d as u32).collect()
}

/// ONNX writes 0 for forward and 1 for backward; what is missing is forward.
fn directions(flags: &[i64], count: usize) -> Result<Vec<i32>, Diagnostic> {
    if flags.len() > count || flags.iter().any(|f| !matches!(f, 0 | 1)) {
        return Err(bad_list("a list of directions"));
    }
    let step = |n: usize| if flags.get(n) == Some(&1) { -1 } else { 1 };
    Ok((0..count).map(step).collect())
}

fn bad_list(name: &str) -> Diagnostic {
    Code::BadAttribute.error(format!("{name} does not fit the body"))
}
