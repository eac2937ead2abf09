//! Functions of `f32` and `f64`, for scalars and for vectors.

use super::constant::Literal;
use super::{Arg, Selector, length};
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::VType;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

/// Rounding modes of `vroundps`, without the inexact exception.
const NEAREST: i64 = 8;
const DOWN: i64 = 9;
const UP: i64 = 10;
const TOWARDS_ZERO: i64 = 11;

/// Forms of an instruction: packed `f32` and `f64`, then scalar ones.
type Forms = [Op; 4];

/// Instructions of two operands. `vminps` gives its second operand when the first is not smaller.
fn two_operands(func: ScalarFn) -> Option<Forms> {
    match func {
        ScalarFn::Add => Some([Op::Addps, Op::Addpd, Op::Addss, Op::Addsd]),
        ScalarFn::Sub => Some([Op::Subps, Op::Subpd, Op::Subss, Op::Subsd]),
        ScalarFn::Mul => Some([Op::Mulps, Op::Mulpd, Op::Mulss, Op::Mulsd]),
        ScalarFn::Div => Some([Op::Divps, Op::Divpd, Op::Divss, Op::Divsd]),
        ScalarFn::Min => Some([Op::Minps, Op::Minpd, Op::Minss, Op::Minsd]),
        ScalarFn::Max => Some([Op::Maxps, Op::Maxpd, Op::Maxss, Op::Maxsd]),
        _ => None,
    }
}

const FMA213: Forms = [Op::Fma213ps, Op::Fma213pd, Op::Fma213ss, Op::Fma213sd];
const FMA231: Forms = [Op::Fma231ps, Op::Fma231pd, Op::Fma231ss, Op::Fma231sd];
const SQRT: Forms = [Op::Sqrtps, Op::Sqrtpd, Op::Sqrtss, Op::Sqrtsd];
const ROUND: Forms = [Op::Roundps, Op::Roundpd, Op::Roundss, Op::Roundsd];

fn form(forms: Forms, ty: VType) -> Op {
    forms[usize::from(ty.elem == ElemType::F64) + 2 * usize::from(ty.lanes == 1)]
}

/// The bits that `abs` keeps or that `neg` flips.
pub(super) fn sign_mask(func: ScalarFn, ty: VType) -> Literal {
    let bytes = ty.elem.bytes();
    let sign = 1 << (8 * bytes - 1);
    let bits = if func == ScalarFn::Abs { sign - 1 } else { sign };
    Literal::Lanes { bits, bytes: bytes as u8, len: length(ty) }
}

impl Selector<'_> {
    /// A function of floats; all operands have the type `ty`.
    pub(super) fn float(&mut self, func: ScalarFn, ty: VType, args: &[Arg]) -> VReg {
        if let Some(forms) = two_operands(func) {
            return self.float_pair(func, form(forms, ty), length(ty), [args[0], args[1]]);
        }
        match func {
            ScalarFn::Fma => self.fma(ty, [args[0], args[1], args[2]]),
            ScalarFn::Sqrt => self.of_one(SQRT, ty, args[0], 0),
            ScalarFn::Floor => self.of_one(ROUND, ty, args[0], DOWN),
            ScalarFn::Ceil => self.of_one(ROUND, ty, args[0], UP),
            ScalarFn::Trunc => self.of_one(ROUND, ty, args[0], TOWARDS_ZERO),
            ScalarFn::Round => self.of_one(ROUND, ty, args[0], NEAREST),
            ScalarFn::Neg => self.with_sign(func, [Op::Pxor, Op::Pxorq], ty, args[0]),
            ScalarFn::Abs => self.with_sign(func, [Op::Pand, Op::Pandq], ty, args[0]),
            other => unreachable!("{other:?} is no legal function of floats"),
        }
    }

    fn float_pair(&mut self, func: ScalarFn, op: Op, len: Len, args: [Arg; 2]) -> VReg {
        let [mut a, mut b] = args;
        if func.info().commutative && self.is_pending(a) && !self.is_pending(b) {
            (a, b) = (b, a);
        }
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, len);
        self.binary(op, len, a, b)
    }

    fn of_one(&mut self, forms: Forms, ty: VType, arg: Arg, imm: i64) -> VReg {
        let (op, len) = (form(forms, ty), length(ty));
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(op, len).def(to).imm(imm);
        let draft = if ty.lanes == 1 {
            // The upper lanes of a scalar's result come from the second field.
            let from = self.take_arg(arg);
            draft.vvvv(from).rm(Rm::Reg(from))
        } else {
            draft.rm(self.take_rm(arg, op, len))
        };
        self.code.add(&draft);
        to
    }

    /// Flips or clears the sign by a bitwise instruction for lanes of 4 or 8 bytes.
    fn with_sign(&mut self, func: ScalarFn, ops: [Op; 2], ty: VType, arg: Arg) -> VReg {
        let op = ops[usize::from(ty.elem == ElemType::F64)];
        let from = self.take_arg(arg);
        let mask = self.literal_operand(sign_mask(func, ty), op);
        self.binary(op, length(ty), from, mask)
    }

    /// `a·b + c` in the form that overwrites an operand without later uses: the sum of a
    /// contraction, the running value of a polynomial.
    fn fma(&mut self, ty: VType, [a, b, c]: [Arg; 3]) -> VReg {
        let tied = [c, a, b].into_iter().find(|&v| self.is_last_use(v, &[a, b, c]));
        match tied.unwrap_or(c) {
            sum if sum == c => self.fma_into_sum(ty, [a, b], c),
            factor if factor == a => self.fma_into_factor(ty, a, b, c),
            _ => self.fma_into_factor(ty, b, a, c),
        }
    }

    fn fma_into_sum(&mut self, ty: VType, [a, b]: [Arg; 2], c: Arg) -> VReg {
        let (op, len) = (form(FMA231, ty), length(ty));
        let (a, b) = if self.is_pending(a) && !self.is_pending(b) { (b, a) } else { (a, b) };
        let sum = self.take_arg(c);
        let a = self.take_arg(a);
        let b = self.take_rm(b, op, len);
        self.three(op, len, sum, a, b)
    }

    fn fma_into_factor(&mut self, ty: VType, tied: Arg, factor: Arg, c: Arg) -> VReg {
        let (op, len) = (form(FMA213, ty), length(ty));
        let tied = self.take_arg(tied);
        let factor = self.take_arg(factor);
        let c = self.take_rm(c, op, len);
        self.three(op, len, tied, factor, c)
    }

    /// An instruction that overwrites its first operand.
    pub(super) fn three(
        &mut self,
        op: Op,
        len: Len,
        tied: VReg,
        second: VReg,
        third: Rm<VReg>,
    ) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, len).tied(to, tied).vvvv(second).rm(third));
        to
    }

    /// Whether an instruction with these operands is the last to read one that has a register.
    fn is_last_use(&self, arg: Arg, args: &[Arg]) -> bool {
        let Arg::Value(value) = arg else { return true };
        let here = args.iter().filter(|&&other| other == arg).count() as u32;
        self.values[value].is_some()
            && self.uses[value] == here
            && self.owners[value] == self.current_loop
    }
}
