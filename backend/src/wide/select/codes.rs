//! Numbers that become codes on their way to memory: eight at a time, or sixteen where the next
//! store follows in memory, by conversions that round and packs that saturate.

use super::constant::Literal;
use super::{Arg, Selector};
use crate::address::StorePlace;
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::{Block, Expr, Stmt, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::table::Table;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};
use std::collections::BTreeMap;

/// Lanes of the numbers.
const LANES: u8 = 8;
/// Bounds and codes of zero below this do not meet the bounds of 16 bits.
const MOST: i64 = 4096;
/// Which qwords `vpermq` takes to put the halves of two vectors after each other.
const HALVES: i64 = 0b11_01_10_00;
/// Which dwords `vpermd` takes for the same with quarters.
const QUARTERS: [u8; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// `min(max(cast(round(x) + zero), lo), hi)`, whose parts nothing else uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codes<'a> {
    x: ValueId,
    form: Form,
    stored: Stored<'a>,
}

/// What becomes of codes on their way to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored<'a> {
    table: Option<&'a Table>,
    to: ElemType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    to: ElemType,
    zero: i64,
    lo: Option<i64>,
    hi: Option<i64>,
}

/// A store that may be joined by the next one.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    codes: Codes<'a>,
    place: StorePlace<'a>,
}

impl Waiting<'_> {
    fn is_followed_by(&self, next: &Waiting<'_>) -> bool {
        next.place.is_behind(&self.place, LANES)
            && self.codes.form == next.codes.form
            && self.codes.stored == next.codes.stored
    }
}

impl<'a> Selector<'a> {
    /// Finds the stores of codes in a block and those inside.
    pub(super) fn find_codes(&mut self, block: &'a Block) {
        let mut lets: BTreeMap<ValueId, &'a Expr> = BTreeMap::new();
        for stmt in block {
            match stmt {
                Stmt::Let { value, expr } => {
                    lets.insert(*value, expr);
                }
                Stmt::Store { value, lanes: LANES, .. } => {
                    if let Some((codes, parts)) = self.codes_of(*value, &lets) {
                        self.codes[*value] = Some(codes);
                        parts.into_iter().for_each(|part| self.in_codes[part] = true);
                    }
                }
                Stmt::For { body, .. } => self.find_codes(body),
                Stmt::If { then, .. } => self.find_codes(then),
                Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Matrix(_)
                | Stmt::Index { .. } => {}
            }
        }
    }

    /// The codes that a stored value is, and the values that make them of numbers.
    fn codes_of(
        &self,
        stored: ValueId,
        lets: &BTreeMap<ValueId, &'a Expr>,
    ) -> Option<(Codes<'a>, Vec<ValueId>)> {
        let to = self.ty(stored).elem;
        let (table, code, mut parts) = match self.table_of(stored, lets) {
            Some((table, code, parts)) => (Some(table), code, parts),
            None => (None, stored, Vec::new()),
        };
        let stored = Stored { table, to };
        let mut step = |value: ValueId| {
            parts.push(value);
            (self.uses[value] == 1).then(|| lets.get(&value).copied())?
        };
        let to = self.ty(code).elem;
        let (mut lo, mut hi, mut value) = (None, None, code);
        let number = loop {
            match step(value)? {
                Expr::Apply(ScalarFn::Min, args) if hi.is_none() && lo.is_none() => {
                    (hi, value) = (Some(self.whole(args[1])?), args[0]);
                }
                Expr::Apply(ScalarFn::Max, args) if lo.is_none() => {
                    (lo, value) = (Some(self.whole(args[1])?), args[0]);
                }
                Expr::Cast(from) => break *from,
                _ => return None,
            }
        };
        let (zero, rounded) = match step(number)? {
            Expr::Apply(ScalarFn::Add, args) => {
                let zero = self.whole(args[1])?;
                (zero, step(args[0])?)
            }
            rounded => (0, rounded),
        };
        let Expr::Apply(ScalarFn::Round, args) = rounded else { return None };
        let form = Form { to, zero, lo, hi };
        let fits = self.ty(args[0]) == VType { elem: ElemType::F32, lanes: LANES };
        (fits && form.saturates()).then_some((Codes { x: args[0], form, stored }, parts))
    }

    /// The table that a stored value comes from, perhaps widened, the code that is looked up in it,
    /// and the values behind that.
    fn table_of(
        &self,
        stored: ValueId,
        lets: &BTreeMap<ValueId, &'a Expr>,
    ) -> Option<(&'a Table, ValueId, Vec<ValueId>)> {
        let mut parts = vec![stored];
        if let Expr::Cast(from) = lets.get(&stored)? {
            parts.push(*from);
        }
        let found = parts.last().and_then(|found| lets.get(found))?;
        let Expr::Lookup(table, code) = found else { return None };
        let widens = self.ty(stored).elem.is_int() && self.ty(stored).elem.bytes() <= 2;
        let are_alone = parts.iter().all(|&part| self.uses[part] == 1);
        (widens && are_alone).then_some((table, *code, parts))
    }

    /// The whole number below `MOST` that a value is.
    fn whole(&self, value: ValueId) -> Option<i64> {
        let ty = self.ty(value);
        let scalar = Scalar::from_bits(ty.elem, self.literal_bits(Arg::Value(value))?);
        let number =
            if ty.elem == ElemType::F32 { scalar.as_f32() } else { scalar.as_i64() as f32 };
        let whole = number as i64;
        (whole as f32 == number && whole.abs() < MOST).then_some(whole)
    }

    /// The constants of a store of codes that registers may hold.
    pub(super) fn literals_of_codes(&mut self, value: ValueId) -> Vec<Literal> {
        let Some(codes) = self.codes[value] else { return Vec::new() };
        let bits = Scalar::from_f64(ElemType::F32, codes.form.most()).bits();
        let most = Literal::Lanes { bits, bytes: 4, len: Len::Y };
        let of_table = codes.stored.table.map(|table| self.literals_of_table(table));
        [most].into_iter().chain(of_table.unwrap_or_default()).collect()
    }

    /// Stores codes, or waits for the next store.
    pub(super) fn store_codes(&mut self, codes: Codes<'a>, place: StorePlace<'a>) {
        let next = Waiting { codes, place };
        match self.waiting.take() {
            Some(first) if first.is_followed_by(&next) => self.store_two(first, next),
            first => {
                first.into_iter().for_each(|first| self.store_one(first));
                self.waiting = Some(next);
            }
        }
    }

    /// Makes the store that waits.
    pub(super) fn settle_codes(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.store_one(waiting);
        }
    }

    fn store_one(&mut self, Waiting { codes, place }: Waiting<'_>) {
        let Codes { x, form, stored } = codes;
        let whole = self.rounded(x, form);
        let high = self.upper(Op::Extract128, Len::Y, whole, 1);
        let words = self.binary(form.pack(), Len::X, whole, Rm::Reg(high));
        let codes = self.narrowed(form, words, Len::X);
        let codes = self.raised(form, codes, Len::X);
        let codes = self.finished(codes, (form, stored), LANES);
        let mem = self.place(place.param, place.index, stored.to, LANES);
        let op = if stored.to.bytes() == 1 { Op::MovsdStore } else { Op::MovupsStore };
        self.code.add(&Draft::new(op, Len::X).reg(codes).rm(Rm::Mem(mem)));
    }

    fn store_two(&mut self, first: Waiting<'_>, second: Waiting<'_>) {
        let Codes { form, stored, .. } = first.codes;
        let [low, high] = [first, second].map(|part| self.rounded(part.codes.x, form));
        let words = self.binary(form.pack(), Len::Y, low, Rm::Reg(high));
        let codes = self.narrowed(form, words, Len::Y);
        let (codes, len) = if form.to.bytes() == 1 {
            let image: Vec<u8> =
                QUARTERS.iter().flat_map(|&d| u32::from(d).to_le_bytes()).collect();
            let order = self.pooled(&image);
            let order = self.unary(Op::Movups, Len::Y, order);
            (self.binary(Op::Permd, Len::Y, order, Rm::Reg(codes)), Len::X)
        } else {
            let to = self.code.vreg(RegClass::Float);
            let draft = Draft::new(Op::Permq, Len::Y).def(to).rm(Rm::Reg(codes)).imm(HALVES);
            self.code.add(&draft);
            (to, Len::Y)
        };
        let codes = self.raised(form, codes, len);
        let codes = self.finished(codes, (form, stored), 2 * LANES);
        let mem = self.place(first.place.param, first.place.index, stored.to, LANES);
        let len = Len::of(2 * usize::from(LANES) * stored.to.bytes());
        self.code.add(&Draft::new(Op::MovupsStore, len).reg(codes).rm(Rm::Mem(mem)));
    }

    /// The nearest whole numbers, none above the bound; what is too small, or no number, becomes the
    /// least one of 32 bits.
    fn rounded(&mut self, x: ValueId, form: Form) -> VReg {
        let x = self.take(x);
        let most = self.float_literal(form.most(), VType { elem: ElemType::F32, lanes: LANES });
        // A NaN becomes the second operand.
        let below = self.binary(Op::Minps, Len::Y, most, Rm::Reg(x));
        self.unary(Op::Cvtps2dq, Len::Y, Rm::Reg(below))
    }

    /// Words plus the code of zero, in the codes' width, still in the order of the packs.
    fn narrowed(&mut self, form: Form, words: VReg, len: Len) -> VReg {
        let moved = match form.zero {
            0 => words,
            zero => self.with_literal(Op::Paddsw, (words, len), (zero, 2)),
        };
        match form.to.bytes() {
            1 => self.binary(Op::Packuswb, len, moved, Rm::Reg(moved)),
            _ => moved,
        }
    }

    /// Codes not below the lower bound, which packs may have seen to.
    fn raised(&mut self, form: Form, codes: VReg, len: Len) -> VReg {
        let op = if form.to.bytes() == 1 { Op::Pmaxub } else { Op::Pmaxsw };
        match form.lo {
            Some(lo) if form.pack() == Op::Packssdw => {
                self.with_literal(op, (codes, len), (lo, form.to.bytes() as u8))
            }
            _ => codes,
        }
    }

    /// What is stored of codes: looked up and in its width.
    fn finished(&mut self, codes: VReg, (form, stored): (Form, Stored<'_>), lanes: u8) -> VReg {
        let Some(table) = stored.table else { return codes };
        let found = self.looked_up(table, codes);
        let widths = (form.to.bytes(), stored.to.bytes());
        self.resize(found, lanes, widths, table.elem().is_signed_int())
    }

    pub(super) fn with_literal(
        &mut self,
        op: Op,
        (a, len): (VReg, Len),
        (number, bytes): (i64, u8),
    ) -> VReg {
        let bits = number as u64 & (u64::MAX >> (64 - 8 * u32::from(bytes)));
        let literal = self.literal_operand(Literal::Lanes { bits, bytes, len }, op);
        self.binary(op, len, a, literal)
    }
}

impl Form {
    /// The largest number whose code is not above the upper bound, as all codes end somewhere.
    fn most(self) -> f64 {
        (self.hi.unwrap_or(255) - self.zero) as f64
    }

    /// Packs dwords into words: without negative ones where these are below the lower bound.
    fn pack(self) -> Op {
        match (self.to, self.lo, self.zero) {
            (ElemType::I16, Some(0), 0) => Op::Packusdw,
            _ => Op::Packssdw,
        }
    }

    /// Whether packs that saturate give the same codes, also of what is no number.
    fn saturates(self) -> bool {
        match self.to {
            ElemType::U8 => true,
            ElemType::I16 => self.lo.is_some_and(|lo| lo >= 0) && self.hi.is_some(),
            _ => false,
        }
    }
}
