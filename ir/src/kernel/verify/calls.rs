//! K6: calls bind places inside buffers, and each element is written once, before it is read.

use crate::affine::Affine;
use crate::diag::Violation;
use crate::kernel::{Buffer, BufferId, Home, KernelId, Kernels, Operand, Role};
use crate::program::verify::{disjoint, problems};
use crate::program::{Call, CounterId, Place, Repeat, Step};
use crate::types::TensorType;

pub(super) fn check(kernels: &Kernels, found: &mut Vec<Violation>) {
    let operands = |&id: &KernelId| {
        let kernel = kernels.kernels.get(id)?;
        Some(kernel.bound().map(|(_, o)| &o.ty).collect())
    };
    let broken = problems(&kernels.program, &kernels.buffers, operands);
    let sound = broken.is_empty();
    found.extend(broken.into_iter().map(|(at, message)| Violation::new("K6", at, message)));
    let mut check = Check { kernels, place: String::new(), calls: 0, known: Vec::new(), found };
    for (id, buffer) in &kernels.buffers {
        check.place = id.to_string();
        check.home(id, buffer);
    }
    if sound {
        check.block(&kernels.program.steps);
        check.outputs();
    }
}

/// Elements that hold a value: `elements` from `place` on.
#[derive(Clone, PartialEq)]
struct Range {
    place: Place,
    elements: usize,
}

struct Check<'a> {
    kernels: &'a Kernels,
    place: String,
    /// The number of the next call.
    calls: usize,
    /// What holds a value here.
    known: Vec<Range>,
    found: &'a mut Vec<Violation>,
}

impl Check<'_> {
    fn report(&mut self, message: impl Into<String>) {
        self.found.push(Violation::new("K6", self.place.clone(), message));
    }

    fn home(&mut self, id: BufferId, buffer: &Buffer) {
        let declared = match buffer.home {
            Home::Arena => return,
            Home::Input(i) => self.kernels.inputs.get(i as usize).map(|p| &p.ty),
            Home::Output(i) => self.kernels.outputs.get(i as usize).map(|p| &p.ty),
            Home::Const(c) => self.kernels.consts.get(c).map(|t| &t.ty),
        };
        match declared {
            Some(ty) if fits(ty, &buffer.ty) => {}
            Some(ty) => self.report(format!("{} cannot live in {ty}", buffer.ty)),
            None => self.report(format!("{:?} does not exist", buffer.home)),
        }
        if matches!(buffer.home, Home::Input(_) | Home::Const(_)) {
            self.known.push(Range { place: id.into(), elements: buffer.ty.shape.numel() });
        }
    }

    /// Runs a block; what it wrote is known afterwards.
    fn block(&mut self, steps: &[Step<KernelId>]) {
        let mut written = Vec::new();
        for step in steps {
            if let Some(test) = step.test() {
                self.place = format!("the test before call {}", self.calls);
                self.read(test, 1);
            }
            let made = match step {
                Step::Call(call) => self.call(call),
                Step::Parallel(parallel) => {
                    self.report(format!("{} splits a call", parallel.counter));
                    Vec::new()
                }
                Step::Repeat(repeat) => self.repeat(repeat),
                Step::If(branch) => {
                    let [then, otherwise] =
                        [&branch.then, &branch.otherwise].map(|block| self.nested(block));
                    then.into_iter().filter(|range| otherwise.contains(range)).collect()
                }
            };
            if matches!(step, Step::Call(_)) {
                made.iter().for_each(|range| self.ensure_new(range, &written));
            }
            written.extend(made.iter().cloned());
            self.known.extend(made);
        }
    }

    /// What a block wrote, which is unknown again.
    fn nested(&mut self, steps: &[Step<KernelId>]) -> Vec<Range> {
        let before = self.known.len();
        self.block(steps);
        self.known.split_off(before)
    }

    /// What all iterations wrote together, if there surely is one.
    fn repeat(&mut self, repeat: &Repeat<KernelId>) -> Vec<Range> {
        let extent = self.kernels.program.counters[repeat.counter];
        let made = self.nested(&repeat.body);
        match repeat.test {
            None => made.iter().filter_map(|r| joined(r, repeat.counter, extent)).collect(),
            Some(_) => Vec::new(),
        }
    }

    fn ensure_new(&mut self, range: &Range, written: &[Range]) {
        let program = &self.kernels.program;
        let apart = |other: &Range| {
            disjoint(program, (&range.place, range.elements), (&other.place, other.elements))
        };
        if !written.iter().all(apart) {
            self.report(format!("{} is written again", range.place.buffer));
        }
    }

    fn call(&mut self, call: &Call<KernelId>) -> Vec<Range> {
        self.place = format!("call {}", self.calls);
        self.calls += 1;
        if !self.kernels.locs.is_valid(call.loc) {
            self.report(format!("{} is not in the table", call.loc));
        }
        let kernel = &self.kernels.kernels[call.callee];
        let bound = || kernel.bound().map(|(_, o)| o).zip(&call.args);
        let (writes, reads): (Vec<_>, Vec<_>) = bound().partition(|(o, _)| o.role == Role::Write);
        for (operand, place) in reads {
            self.read(place, operand.ty.shape.numel());
            self.constant(operand, place);
        }
        writes.into_iter().map(|(operand, place)| self.write(operand, place)).collect()
    }

    fn constant(&mut self, operand: &Operand, place: &Place) {
        let buffer = &self.kernels.buffers[place.buffer];
        let whole = matches!(buffer.home, Home::Const(_)) && fits(&operand.ty, &buffer.ty);
        if operand.role == Role::Const && !whole {
            let id = place.buffer;
            self.report(format!("a constant operand is bound to {id}, which is not constant"));
        }
    }

    fn read(&mut self, place: &Place, elements: usize) {
        let program = &self.kernels.program;
        let within = |known: &Range| {
            let start = place.offset.add_scaled(&known.place.offset, -1);
            let range = program.range(&Place { buffer: place.buffer, offset: start });
            range.lo >= 0 && range.hi.saturating_add(elements as i64) <= known.elements as i64
        };
        let mut same = self.known.iter().filter(|known| known.place.buffer == place.buffer);
        if !same.any(within) {
            self.report(format!("{} is read before it is written", place.buffer));
        }
    }

    fn write(&mut self, operand: &Operand, place: &Place) -> Range {
        let home = self.kernels.buffers[place.buffer].home;
        if matches!(home, Home::Input(_) | Home::Const(_)) {
            self.report(format!("{} is read-only", place.buffer));
        }
        Range { place: place.clone(), elements: operand.ty.shape.numel() }
    }

    fn outputs(&mut self) {
        for (number, port) in self.kernels.outputs.iter().enumerate() {
            let lives_here = |b: &Buffer| b.home == Home::Output(number as u32);
            let buffers = self.kernels.buffers.iter().filter(|(_, b)| lives_here(b));
            let whole = |(id, buffer): (BufferId, &Buffer)| Range {
                place: id.into(),
                elements: buffer.ty.shape.numel(),
            };
            let written: Vec<bool> = buffers.map(|b| self.known.contains(&whole(b))).collect();
            let is_empty = port.ty.shape.numel() == 0;
            if !matches!(written.as_slice(), [is_written] if *is_written || is_empty) {
                self.place = format!("output \"{}\"", port.name);
                self.report("an output has exactly one buffer and is written, unless it is empty");
            }
        }
    }
}

/// The elements that a range is in all iterations of a counter, where they are consecutive.
fn joined(range: &Range, counter: CounterId, extent: usize) -> Option<Range> {
    let step = range.place.offset.coefficient(counter);
    let rest = range.place.offset.clone().plus(counter, -step);
    let last = (extent as i64 - 1).saturating_mul(step);
    let dense = step.unsigned_abs() as usize == range.elements;
    let elements = if step == 0 { range.elements } else { range.elements * extent };
    let offset = rest.add_scaled(&Affine::constant(last.min(0)), 1);
    let place = Place { buffer: range.place.buffer, offset };
    (step == 0 || dense || extent == 1).then_some(Range { place, elements })
}

/// Same element type and count.
fn fits(a: &TensorType, b: &TensorType) -> bool {
    a.elem == b.elem && a.shape.numel() == b.shape.numel()
}

#[cfg(test)]
mod tests {
    use crate::affine::Affine;
    use crate::graph::ops::{Map, TensorOp};
    use crate::kernel::verify::verify;
    use crate::kernel::{Buffer, BufferId, Home, KernelId, Kernels, Port, Role};
    use crate::loc::{Loc, LocTable};
    use crate::program::{Branch, Call, Place, Program, Repeat, Step};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::{EntityRef, PrimaryMap};

    /// `y = −(−x)`; buffers x, t, y.
    fn sound() -> Kernels {
        let ty = TensorType::new(ElemType::F32, &[2]);
        let port = |name: &str| Port { name: name.into(), ty: ty.clone() };
        let mut kernels = Kernels {
            name: "twice".into(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: vec![port("x")],
            outputs: vec![port("y")],
            program: Program::default(),
            locs: LocTable::new(),
        };
        let negate = Map { body: ScalarExpr::call(ScalarFn::Neg) }.kernel(&[&ty]);
        let (kernel, loc) = (kernels.kernels.push(negate), kernels.locs.push(Loc::Unknown));
        let homes = [Home::Input(0), Home::Arena, Home::Output(0)];
        let [x, t, y] = homes.map(|home| kernels.buffers.push(Buffer { ty: ty.clone(), home }));
        kernels.program.steps = [[x, t], [t, y]]
            .map(|[a, b]| Call { callee: kernel, args: vec![a.into(), b.into()], loc })
            .map(Step::Call)
            .into();
        kernels
    }

    fn call(kernels: &mut Kernels, n: usize) -> &mut Call<KernelId> {
        let Step::Call(call) = &mut kernels.program.steps[n] else { panic!("a call") };
        call
    }

    fn place(buffer: u32) -> Place {
        BufferId::from_u32(buffer).into()
    }

    #[track_caller]
    fn check_broken(damage: impl FnOnce(&mut Kernels)) {
        let mut kernels = sound();
        damage(&mut kernels);
        let found = verify(&kernels).expect_err("the calls are broken");
        assert!(found.iter().any(|v| v.invariant == "K6"), "{found:?}");
    }

    #[test]
    fn sound_calls_verify() {
        assert_eq!(verify(&sound()), Ok(()));
    }

    #[test]
    fn k6_wants_writes_before_reads() {
        check_broken(|k| k.program.steps.swap(0, 1));
    }

    #[test]
    fn k6_wants_one_write() {
        check_broken(|k| call(k, 1).args[1] = place(1));
        check_broken(|k| call(k, 0).args[1] = place(0));
    }

    #[test]
    fn k6_wants_fitting_buffers() {
        check_broken(|k| k.buffers[BufferId::new(1)].ty.elem = ElemType::I32);
        check_broken(|k| call(k, 0).args.truncate(1));
        check_broken(|k| call(k, 0).args[0] = place(9));
    }

    #[test]
    fn k6_wants_outputs_written() {
        check_broken(|k| k.program.steps.truncate(1));
    }

    #[test]
    fn k6_binds_constant_operands_to_constants() {
        check_broken(|k| {
            let kernel = k.kernels.values_mut().next().expect("one kernel");
            kernel.operands.values_mut().next().expect("an operand").role = Role::Const;
        });
    }

    /// The sound program with its second call repeated twice, on halves of the buffers.
    fn repeated() -> Kernels {
        let mut kernels = sound();
        let ty = TensorType::new(ElemType::F32, &[1]);
        let half = Map { body: ScalarExpr::call(ScalarFn::Neg) }.kernel(&[&ty]);
        let half = kernels.kernels.push(half);
        let counter = kernels.program.counters.push(2);
        let mut inner = call(&mut kernels, 1).clone();
        inner.callee = half;
        inner.args.iter_mut().for_each(|place| place.offset = Affine::var(counter));
        let body = vec![Step::Call(inner)];
        kernels.program.steps[1] = Step::Repeat(Repeat { counter, test: None, body });
        kernels
    }

    fn repeat(kernels: &mut Kernels) -> &mut Repeat<KernelId> {
        let Step::Repeat(repeat) = &mut kernels.program.steps[1] else { panic!("a repetition") };
        repeat
    }

    #[track_caller]
    fn check_broken_repeat(damage: impl FnOnce(&mut Kernels), message: &str) {
        let mut kernels = repeated();
        damage(&mut kernels);
        let found = verify(&kernels).expect_err("the repetition is broken");
        assert!(found.iter().any(|v| v.message.contains(message)), "{found:?}");
    }

    #[test]
    fn all_iterations_together_write_a_buffer() {
        assert_eq!(verify(&repeated()), Ok(()));
    }

    #[test]
    fn k6_wants_places_inside_buffers_whatever_the_counters() {
        let stretch = |k: &mut Kernels| k.program.counters.values_mut().for_each(|n| *n = 3);
        check_broken_repeat(stretch, "b1: f32[2] does not hold f32[1]");
        let moved = |k: &mut Kernels| {
            let step = repeat(k).body[0].clone();
            k.program.steps.push(step);
        };
        check_broken_repeat(moved, "n0 is not of an enclosing repetition");
    }

    /// Lets the repetition depend on an input.
    fn tested(k: &mut Kernels) {
        let (ty, home) = (TensorType::new(ElemType::Bool, &[]), Home::Input(1));
        k.inputs.push(Port { name: "go".into(), ty: ty.clone() });
        repeat(k).test = Some(k.buffers.push(Buffer { ty, home }).into());
    }

    #[test]
    fn k6_wants_outputs_written_whatever_the_tests() {
        check_broken_repeat(tested, "an output has exactly one buffer and is written");
        let chosen = |k: &mut Kernels| {
            tested(k);
            let Some(Step::Repeat(all)) = k.program.steps.pop() else { panic!("a repetition") };
            let test = all.test.clone().expect("just set");
            let then = vec![Step::Repeat(Repeat { test: None, ..all })];
            k.program.steps.push(Step::If(Branch { test, then, otherwise: Vec::new() }));
        };
        check_broken_repeat(chosen, "an output has exactly one buffer and is written");
    }
}
