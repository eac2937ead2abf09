//! K6: calls bind fitting buffers, and each buffer is written once, before it is read.

use crate::diag::Violation;
use crate::kernel::{Buffer, BufferId, Call, Home, Kernels, Operand, Role};
use crate::types::TensorType;
use cranelift_entity::EntitySet;

pub(super) fn check(kernels: &Kernels, found: &mut Vec<Violation>) {
    let mut check = Check { kernels, place: String::new(), ready: EntitySet::new(), found };
    for (id, buffer) in &kernels.buffers {
        check.place = id.to_string();
        check.home(id, buffer);
    }
    for (number, call) in kernels.calls.iter().enumerate() {
        check.place = format!("call {number}");
        check.call(call);
    }
    check.outputs();
}

struct Check<'a> {
    kernels: &'a Kernels,
    place: String,
    /// Buffers that hold a value.
    ready: EntitySet<BufferId>,
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
            self.ready.insert(id);
        }
    }

    fn call(&mut self, call: &Call) {
        let Some(kernel) = self.kernels.kernels.get(call.kernel) else {
            return self.report(format!("no kernel {}", call.kernel));
        };
        let (wanted, found) = (kernel.bound().count(), call.args.len());
        if wanted != found {
            return self.report(format!("{wanted} operands, {found} buffers"));
        }
        if !self.kernels.locs.is_valid(call.loc) {
            self.report(format!("{} is not in the table", call.loc));
        }
        let bound = || kernel.bound().map(|(_, o)| o).zip(call.args.iter().copied());
        let (writes, reads): (Vec<_>, Vec<_>) = bound().partition(|(o, _)| o.role == Role::Write);
        reads.into_iter().for_each(|(operand, buffer)| self.read(operand, buffer));
        writes.into_iter().for_each(|(operand, buffer)| self.write(operand, buffer));
    }

    fn bound_home(&mut self, operand: &Operand, id: BufferId) -> Option<Home> {
        let Some(buffer) = self.kernels.buffers.get(id) else {
            self.report(format!("no buffer {id}"));
            return None;
        };
        if !fits(&operand.ty, &buffer.ty) {
            self.report(format!("{id} of {} is bound as {}", buffer.ty, operand.ty));
        }
        Some(buffer.home)
    }

    fn read(&mut self, operand: &Operand, id: BufferId) {
        let Some(home) = self.bound_home(operand, id) else { return };
        if operand.role == Role::Const && !matches!(home, Home::Const(_)) {
            self.report(format!("a constant operand is bound to {id}, which is not constant"));
        }
        if !self.ready.contains(id) {
            self.report(format!("{id} is read before it is written"));
        }
    }

    fn write(&mut self, operand: &Operand, id: BufferId) {
        if self.bound_home(operand, id).is_some() && !self.ready.insert(id) {
            self.report(format!("{id} is written again or is read-only"));
        }
    }

    fn outputs(&mut self) {
        for (number, port) in self.kernels.outputs.iter().enumerate() {
            let lives_here = |b: &Buffer| b.home == Home::Output(number as u32);
            let buffers = self.kernels.buffers.iter().filter(|(_, b)| lives_here(b));
            let written: Vec<bool> = buffers.map(|(id, _)| self.ready.contains(id)).collect();
            if written != [true] {
                self.place = format!("output \"{}\"", port.name);
                self.report("an output has exactly one buffer and is written");
            }
        }
    }
}

/// Same element type and count.
fn fits(a: &TensorType, b: &TensorType) -> bool {
    a.elem == b.elem && a.shape.numel() == b.shape.numel()
}

#[cfg(test)]
mod tests {
    use crate::graph::ops::{Map, TensorOp};
    use crate::kernel::verify::verify;
    use crate::kernel::{Buffer, BufferId, Call, Home, Kernels, Port, Role};
    use crate::loc::{Loc, LocTable};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::{EntityRef, PrimaryMap};
    use smallvec::smallvec;

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
            calls: Vec::new(),
            locs: LocTable::new(),
        };
        let negate = Map { body: ScalarExpr::call(ScalarFn::Neg) }.kernel(&[&ty]);
        let (kernel, loc) = (kernels.kernels.push(negate), kernels.locs.push(Loc::Unknown));
        let homes = [Home::Input(0), Home::Arena, Home::Output(0)];
        let [x, t, y] = homes.map(|home| kernels.buffers.push(Buffer { ty: ty.clone(), home }));
        kernels.calls.push(Call { kernel, args: smallvec![x, t], loc });
        kernels.calls.push(Call { kernel, args: smallvec![t, y], loc });
        kernels
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
        check_broken(|k| k.calls.swap(0, 1));
    }

    #[test]
    fn k6_wants_one_write() {
        check_broken(|k| k.calls[1].args[1] = BufferId::new(1));
        check_broken(|k| k.calls[0].args[1] = BufferId::new(0));
    }

    #[test]
    fn k6_wants_fitting_buffers() {
        check_broken(|k| k.buffers[BufferId::new(1)].ty.elem = ElemType::I32);
        check_broken(|k| k.calls[0].args.truncate(1));
        check_broken(|k| k.calls[0].args[0] = BufferId::new(9));
    }

    #[test]
    fn k6_wants_outputs_written() {
        check_broken(|k| k.calls.truncate(1));
    }

    #[test]
    fn k6_binds_constant_operands_to_constants() {
        check_broken(|k| {
            let kernel = k.kernels.values_mut().next().expect("one kernel");
            kernel.operands.values_mut().next().expect("an operand").role = Role::Const;
        });
    }
}
