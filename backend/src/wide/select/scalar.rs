//! Functions of integer and `bool` scalars.
//!
//! A scalar is kept extended to 64 bits as its type says, so that 64-bit instructions serve every
//! width.

use super::number::extension;
use super::{Arg, Selector};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;

impl Selector<'_> {
    /// A function of integers or of truth values.
    pub(super) fn scalar(&mut self, func: ScalarFn, elem: ElemType, args: &[Arg]) -> VReg {
        let regs: Vec<VReg> = args.iter().map(|&arg| self.take_arg(arg)).collect();
        let a = regs[0];
        let result = match func {
            ScalarFn::Add => self.tied(Op::Add, a, regs[1]),
            ScalarFn::Sub => self.tied(Op::Sub, a, regs[1]),
            ScalarFn::Mul => self.tied(Op::Imul, a, regs[1]),
            ScalarFn::And => self.tied(Op::And, a, regs[1]),
            ScalarFn::Or => self.tied(Op::Or, a, regs[1]),
            ScalarFn::Xor => self.tied(Op::Xor, a, regs[1]),
            ScalarFn::Neg => self.tied_imm(Op::Neg, a, 0),
            ScalarFn::Not if elem == ElemType::Bool => self.tied_imm(Op::XorImm, a, 1),
            ScalarFn::Not => self.tied_imm(Op::Not, a, 0),
            ScalarFn::Abs => self.absolute(elem, a),
            ScalarFn::Min => self.extremum(elem, [Op::CmovL, Op::CmovB], a, regs[1]),
            ScalarFn::Max => self.extremum(elem, [Op::CmovG, Op::CmovA], a, regs[1]),
            ScalarFn::Shl | ScalarFn::Shr => self.shifted(func, elem, a, regs[1]),
            ScalarFn::Div => self.quotient(elem, a, regs[1]),
            other => unreachable!("{other:?} is no legal function of integers"),
        };
        self.normal(result, elem)
    }

    fn absolute(&mut self, elem: ElemType, a: VReg) -> VReg {
        if !elem.is_signed_int() {
            return a;
        }
        let negated = self.tied_imm(Op::Neg, a, 0);
        self.test(a);
        self.tied(Op::CmovGe, negated, a)
    }

    /// `b`, or `a` where it compares so with `b`.
    fn extremum(&mut self, elem: ElemType, moves: [Op; 2], a: VReg, b: VReg) -> VReg {
        self.code.add(&Draft::new(Op::Cmp, Len::X).reg(a).rm(Rm::Reg(b)));
        self.tied(moves[usize::from(!elem.is_signed_int())], b, a)
    }

    fn shifted(&mut self, func: ScalarFn, elem: ElemType, value: VReg, amount: VReg) -> VReg {
        let op = match func {
            ScalarFn::Shl => Op::Shl,
            _ if elem.is_signed_int() => Op::Sar,
            _ => Op::Shr,
        };
        let amount = self.tied_imm(Op::AndImm, amount, 8 * elem.bytes() as i64 - 1);
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(op, Len::X).tied_rm(to, value).fixed(amount, RCX));
        to
    }

    /// `a / b` towards zero; 0 for `b == 0`, wrapping for the smallest value by −1.
    fn quotient(&mut self, elem: ElemType, a: VReg, b: VReg) -> VReg {
        let one = self.number(1);
        self.test(b);
        let mut divisor = self.tied(Op::CmovE, b, one);
        let mut quotient = if elem.is_signed_int() {
            self.compare_with(b, -1);
            divisor = self.tied(Op::CmovE, divisor, one);
            let quotient = self.divided(Op::Idiv, a, divisor);
            let negated = self.tied_imm(Op::Neg, a, 0);
            self.compare_with(b, -1);
            self.tied(Op::CmovE, quotient, negated)
        } else {
            self.divided(Op::Div, a, divisor)
        };
        let zero = self.number(0);
        self.test(b);
        quotient = self.tied(Op::CmovE, quotient, zero);
        quotient
    }

    fn divided(&mut self, op: Op, a: VReg, b: VReg) -> VReg {
        let high = match op {
            Op::Idiv => {
                let high = self.code.vreg(RegClass::Int);
                self.code.add(&Draft::new(Op::Cqo, Len::X).fixed_def(high, RDX).fixed(a, RAX));
                high
            }
            _ => self.number(0),
        };
        let [quotient, remainder] = [(); 2].map(|()| self.code.vreg(RegClass::Int));
        let draft = Draft::new(op, Len::X).rm(Rm::Reg(b)).fixed(a, RAX).fixed(high, RDX);
        self.code.add(&draft.fixed_def(quotient, RAX).fixed_def(remainder, RDX));
        quotient
    }

    /// The literal of a scalar that is kept in an integer register.
    pub(super) fn scalar_literal(&mut self, bits: u64, elem: ElemType) -> VReg {
        let unused = 64 - 8 * elem.bytes() as u32;
        let signed = ((bits << unused) as i64) >> unused;
        let value = match extension(elem) {
            Op::Movsx8 | Op::Movsx16 | Op::Movsx32 => signed,
            _ => bits as i64,
        };
        self.number(value)
    }
}
