//! Functions: which file selects what.

use super::{Arg, Selector, is_float};
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::{Class, ScalarFn};
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

impl Selector<'_> {
    /// A function lane by lane; `ty` is the type of the last operand.
    pub(super) fn apply(&mut self, func: ScalarFn, ty: VType, args: &[Arg]) -> VReg {
        match func.info().class {
            Class::Compare => self.compare(func, ty, [args[0], args[1]]),
            Class::Select => self.choose(ty, [args[0], args[1], args[2]]),
            Class::Bitcast => self.bitcast(ty, args[0]),
            Class::Dot => self.dot(func, ty, [args[0], args[1], args[2]]),
            Class::Number | Class::Float | Class::Bits => self.compute(func, ty, args),
        }
    }

    /// The functions whose operands and result share a type.
    fn compute(&mut self, func: ScalarFn, ty: VType, args: &[Arg]) -> VReg {
        match (ty.elem, ty.lanes) {
            (elem, _) if is_float(elem) => self.float(func, ty, args),
            (elem, 1) => self.scalar(func, elem, args),
            (ElemType::Bool, _) => self.mask_bits(func, ty.lanes, args),
            _ => self.ints(func, ty, args),
        }
    }

    /// A vector's bits stay where they are; a scalar changes its register file.
    fn bitcast(&mut self, ty: VType, arg: Arg) -> VReg {
        let from = self.take_arg(arg);
        if ty.lanes > 1 {
            return from;
        }
        match ty.elem {
            ElemType::F32 => {
                let bits = self.int_of_lane(Op::MovdStore, from);
                self.normal(bits, ElemType::I32)
            }
            ElemType::F64 => self.int_of_lane(Op::MovqStore, from),
            ElemType::I32 => self.unary(Op::Movd, Len::X, Rm::Reg(from)),
            _ => self.unary(Op::Movq, Len::X, Rm::Reg(from)),
        }
    }

    /// The low lane of a vector as an integer; `op` writes its `rm` field.
    pub(super) fn int_of_lane(&mut self, op: Op, from: VReg) -> VReg {
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&crate::wide::code::Draft::new(op, Len::X).reg(from).def_rm(to));
        to
    }

    /// A function that has no vector form, through scalars.
    pub(super) fn through_scalars(&mut self, func: ScalarFn, ty: VType, args: &[Arg]) -> VReg {
        let vectors: Vec<VReg> = args.iter().map(|&arg| self.take_arg(arg)).collect();
        let one = VType::scalar(ty.elem);
        let lanes: Vec<Arg> = (0..ty.lanes)
            .map(|lane| {
                let scalars: Vec<Arg> =
                    vectors.iter().map(|&v| Arg::Reg(self.extract(v, ty, lane))).collect();
                Arg::Reg(self.apply(func, one, &scalars))
            })
            .collect();
        self.pack(ty, &lanes)
    }
}
