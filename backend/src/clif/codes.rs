//! Numbers that become codes on their way to memory, where integers narrow to ones that saturate:
//! those of up to four stores that follow each other in memory are narrowed and stored together.

use super::Translator;
use crate::address::StorePlace;
use cranelift_codegen::ir::types::{I8X16, I32X4};
use cranelift_codegen::ir::{InstBuilder, Value};
use edgecc_ir::loops::{Expr, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::table::Table;
use edgecc_ir::types::ElemType;

/// Numbers of a vector.
const LANES: u8 = 4;

/// `cast(i32(min(u8(number), most)) + least)`, `u8` saturating, perhaps looked up in a table.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form<'a> {
    most: Option<i64>,
    least: i64,
    table: Option<&'a Table>,
}

/// A vector of codes.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a> {
    number: ValueId,
    form: Form<'a>,
}

/// A store that may be made with the next one.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    codes: Codes<'a>,
    place: StorePlace<'a>,
}

impl Waiting<'_> {
    fn is_followed_by(&self, next: &Waiting<'_>) -> bool {
        next.place.is_behind(&self.place, LANES) && self.codes.form == next.codes.form
    }
}

impl<'a> Translator<'a> {
    /// The codes that a stored vector is.
    pub(super) fn codes_of(&self, stored: ValueId, lanes: u8) -> Option<Codes<'a>> {
        let (stored, table) = match self.exprs[stored]? {
            Expr::Lookup(table, code) => (*code, Some(table)),
            _ => (stored, None),
        };
        let to = self.ty(stored).elem;
        let is_code = matches!(to, ElemType::I8 | ElemType::U8) && lanes == LANES;
        if !is_code || !self.target.narrows {
            return None;
        }
        let (code, least) = match self.exprs[stored]? {
            Expr::Cast(sum) if self.ty(*sum).elem == ElemType::I32 => self.raised(*sum)?,
            Expr::Cast(code) if to == ElemType::I8 => (*code, 0),
            _ => (stored, 0),
        };
        let (narrow, most) = match self.exprs[code]? {
            Expr::Apply(ScalarFn::Min, args) => (args[0], Some(self.literal(args[1])?)),
            _ => (code, None),
        };
        let Expr::Cast(number) = self.exprs[narrow]? else { return None };
        let is_narrowed = self.ty(narrow) == VType { elem: ElemType::U8, lanes: LANES };
        let is_number = self.ty(*number) == VType { elem: ElemType::F32, lanes: LANES };
        let form = Form { most, least, table };
        (is_narrowed && is_number).then_some(Codes { number: *number, form })
    }

    /// A code that a literal is added to, and the literal.
    fn raised(&self, sum: ValueId) -> Option<(ValueId, i64)> {
        let Expr::Apply(ScalarFn::Add, args) = self.exprs[sum]? else { return None };
        let Expr::Cast(code) = self.exprs[args[0]]? else { return None };
        let is_code = self.ty(*code).elem == ElemType::U8;
        is_code.then_some((*code, self.literal(args[1])?))
    }

    fn literal(&self, value: ValueId) -> Option<i64> {
        match self.exprs[value]? {
            Expr::Const(scalar) if scalar.elem().is_int() => Some(scalar.as_i64()),
            _ => None,
        }
    }

    /// Stores codes with the ones that wait, as soon as no more fit.
    pub(super) fn store_codes(&mut self, codes: Codes<'a>, place: StorePlace<'a>) {
        let next = Waiting { codes, place };
        if self.waiting.last().is_some_and(|last| !last.is_followed_by(&next)) {
            self.store_waiting();
        }
        self.waiting.push(next);
        if self.waiting.len() * usize::from(LANES) == 16 {
            self.store_waiting();
        }
    }

    /// Makes the stores that wait.
    pub(super) fn store_waiting(&mut self) {
        let all = std::mem::take(&mut self.waiting);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let count = if rest.len() == 3 { 2 } else { rest.len() };
            let (together, others) = rest.split_at(count);
            self.store_together(together);
            rest = others;
        }
    }

    fn store_together(&mut self, stores: &[Waiting<'_>]) {
        let Some(&Waiting { codes: Codes { form, .. }, place }) = stores.first() else {
            return;
        };
        let integers: Vec<Value> = stores.iter().map(|store| self.integers(store)).collect();
        // The last ones stand for those that are not stored.
        let at = |n: usize| integers[n.min(integers.len() - 1)];
        let low = self.builder.ins().snarrow(at(0), at(1));
        let high = match integers.len() {
            1 | 2 => low,
            _ => self.builder.ins().snarrow(at(2), at(3)),
        };
        let mut codes = self.builder.ins().unarrow(low, high);
        if let Some(most) = form.most {
            let most = self.repeat(I8X16, most as u64);
            codes = self.builder.ins().umin(codes, most);
        }
        if form.least != 0 {
            let least = self.repeat(I8X16, form.least as u64);
            codes = self.builder.ins().iadd(codes, least);
        }
        if let Some(table) = form.table {
            codes = self.looked_up(table, codes);
        }
        self.store_bytes(place.param, place.index, LANES, (codes, LANES * stores.len() as u8));
    }

    fn integers(&mut self, store: &Waiting<'_>) -> Value {
        let number = self.value(store.codes.number);
        self.builder.ins().fcvt_to_sint_sat(I32X4, number)
    }
}
