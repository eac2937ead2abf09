//! Dot products of words.

use super::{Arg, Selector, length};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

impl Selector<'_> {
    /// `c` plus the products of the parts of `a` and `b`. Of bytes, the second operand of the
    /// instruction is unsigned and the third, which may be in memory, signed.
    pub(super) fn dot(&mut self, func: ScalarFn, ty: VType, [a, b, c]: [Arg; 3]) -> VReg {
        let op = self.dot_op(func);
        if ty.lanes == 1 {
            let words = [a, b, c].map(|arg| {
                let word = self.take_arg(arg);
                self.unary(Op::Movd, Len::X, Rm::Reg(word))
            });
            let sum = self.multiply_add(op, Len::X, words[2], words[0], Rm::Reg(words[1]));
            let low = self.int_of_lane(Op::MovdStore, sum);
            return self.normal(low, ElemType::I32);
        }
        let len = length(ty);
        let stays = matches!(c, Arg::Value(sum) if self.uses[sum] > 1);
        let sum = self.take_arg(c);
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, len);
        if op == Op::Pmaddwd && stays {
            let products = self.binary(op, len, a, b);
            return self.binary(Op::Paddd, len, sum, Rm::Reg(products));
        }
        self.multiply_add(op, len, sum, a, b)
    }

    fn dot_op(&self, func: ScalarFn) -> Op {
        let adds = self.target.dots_add;
        match func {
            ScalarFn::DotU8 => Op::Pdpbusd,
            ScalarFn::DotI16 if adds => Op::Pdpwssd,
            ScalarFn::DotI16 => Op::Pmaddwd,
            other => unreachable!("{other:?} is not legal on x86-64"),
        }
    }

    /// `sum` plus the products of `a` and `b`, by an instruction that may leave the addition to
    /// another one.
    fn multiply_add(&mut self, op: Op, len: Len, sum: VReg, a: VReg, b: Rm<VReg>) -> VReg {
        if op != Op::Pmaddwd {
            return self.three(op, len, sum, a, b);
        }
        let products = self.binary(op, len, a, b);
        // In its register, so that the sums of a loop do not wander.
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(Op::Paddd, len).in_place(to, sum).rm(Rm::Reg(products)));
        to
    }
}
