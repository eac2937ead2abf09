//! Dot products of words.

use super::{Arg, Selector, length};
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::VReg;

impl Selector<'_> {
    /// `c` plus the products of the parts of `a` and `b`. Of bytes, the second operand of the
    /// instruction is unsigned and the third, which may be in memory, signed.
    pub(super) fn dot(&mut self, func: ScalarFn, ty: VType, [a, b, c]: [Arg; 3]) -> VReg {
        let op = match func {
            ScalarFn::DotU8 => Op::Pdpbusd,
            ScalarFn::DotI16 => Op::Pdpwssd,
            other => unreachable!("{other:?} is not legal on x86-64"),
        };
        if ty.lanes == 1 {
            let words = [a, b, c].map(|arg| {
                let word = self.take_arg(arg);
                self.unary(Op::Movd, Len::X, Rm::Reg(word))
            });
            let sum = self.three(op, Len::X, words[2], words[0], Rm::Reg(words[1]));
            let low = self.int_of_lane(Op::MovdStore, sum);
            return self.normal(low, ElemType::I32);
        }
        let len = length(ty);
        let sum = self.take_arg(c);
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, len);
        self.three(op, len, sum, a, b)
    }
}
