//! What is checked of every program: counters, tests, and that each place is inside its buffer.

use super::{Call, CounterId, Parallel, Place, Program, Step};
use crate::kernel::{Buffer, BufferId};
use crate::types::{ElemType, TensorType};
use cranelift_entity::{EntitySet, PrimaryMap};

/// A call or test, and what is wrong with it.
pub type Problem = (String, String);

/// Every problem of a program over `buffers`; `operands` gives the types of a function's operands,
/// or `None` where there is no such function.
pub fn problems<'t, F>(
    program: &Program<F>,
    buffers: &PrimaryMap<BufferId, Buffer>,
    operands: impl Fn(&F) -> Option<Vec<&'t TensorType>>,
) -> Vec<Problem> {
    let mut check = Check {
        program,
        buffers,
        operands: &operands,
        open: Vec::new(),
        used: EntitySet::new(),
        calls: 0,
        found: Vec::new(),
    };
    check.block(&program.steps);
    check.found
}

/// Whether two operands of these numbers of elements are never in the same memory.
#[must_use]
pub fn disjoint<F>(program: &Program<F>, a: (&Place, usize), b: (&Place, usize)) -> bool {
    a.0.buffer != b.0.buffer || {
        let offset = b.0.offset.add_scaled(&a.0.offset, -1);
        let distance = program.range(&Place { buffer: a.0.buffer, offset });
        distance.lo >= a.1 as i64 || distance.hi <= -(b.1 as i64)
    }
}

struct Check<'a, F, O> {
    program: &'a Program<F>,
    buffers: &'a PrimaryMap<BufferId, Buffer>,
    operands: &'a O,
    /// Counters of the enclosing repetitions and of the call's parts.
    open: Vec<CounterId>,
    /// Counters of all steps so far.
    used: EntitySet<CounterId>,
    calls: usize,
    found: Vec<Problem>,
}

impl<'t, F, O: Fn(&F) -> Option<Vec<&'t TensorType>>> Check<'_, F, O> {
    fn report(&mut self, message: impl Into<String>) {
        self.found.push((format!("call {}", self.calls), message.into()));
    }

    fn block(&mut self, steps: &[Step<F>]) {
        for step in steps {
            self.test(step);
            match step {
                Step::Call(call) => {
                    self.call(call);
                    self.calls += 1;
                }
                Step::Parallel(Parallel { counter, call }) => {
                    self.counter(*counter);
                    self.open.push(*counter);
                    self.call(call);
                    self.open.pop();
                    self.calls += 1;
                }
                Step::Repeat(repeat) => {
                    self.counter(repeat.counter);
                    self.open.push(repeat.counter);
                    self.block(&repeat.body);
                    self.open.pop();
                }
                Step::If(branch) => {
                    self.block(&branch.then);
                    self.block(&branch.otherwise);
                }
            }
        }
    }

    fn test(&mut self, step: &Step<F>) {
        if let Some(place) = step.test() {
            let ty = TensorType::new(ElemType::Bool, &[]);
            self.place(place, &ty);
        }
    }

    fn counter(&mut self, counter: CounterId) {
        match self.program.counters.get(counter) {
            None => self.report(format!("no counter {counter}")),
            Some(0) => self.report(format!("{counter} has no values")),
            Some(_) if self.used.contains(counter) => {
                self.report(format!("{counter} belongs to two steps"));
            }
            Some(_) => {}
        }
        self.used.insert(counter);
    }

    fn call(&mut self, call: &Call<F>) {
        let Some(operands) = (self.operands)(&call.callee) else {
            return self.report("no such function");
        };
        if operands.len() != call.args.len() {
            let (wanted, found) = (operands.len(), call.args.len());
            return self.report(format!("{wanted} operands, {found} places"));
        }
        for (place, ty) in call.args.iter().zip(operands) {
            self.place(place, ty);
        }
    }

    fn place(&mut self, place: &Place, ty: &TensorType) {
        let Some(buffer) = self.buffers.get(place.buffer) else {
            return self.report(format!("no buffer {}", place.buffer));
        };
        let foreign = place.offset.terms().iter().find(|(c, _)| !self.open.contains(c));
        if let Some((counter, _)) = foreign {
            return self.report(format!("{counter} is not of an enclosing repetition"));
        }
        if self.open.iter().any(|&c| !self.program.counters.is_valid(c)) {
            return;
        }
        let range = self.program.range(place);
        let (taken, there) = (ty.shape.numel() as i64, buffer.ty.shape.numel() as i64);
        if buffer.ty.elem != ty.elem || range.lo < 0 || range.hi.saturating_add(taken) > there {
            self.report(format!("{}: {} does not hold {ty}", place.buffer, buffer.ty));
        }
    }
}
