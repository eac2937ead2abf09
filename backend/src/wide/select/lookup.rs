//! Lookups in tables of codes: whole tables in four registers are permuted at once where the machine
//! does that, else 16 entries for each 16 bytes of a register.

use super::constant::Literal;
use super::number::extension;
use super::{Arg, Selector};
use crate::lookup::{ENTRIES, start, steps};
use crate::wide::code::Draft;
use crate::wide::has;
use crate::wide::inst::{Base, Len, Mem, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::ValueId;
use edgecc_ir::scalar::table::{CODES, Table};
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

impl Selector<'_> {
    /// What codes become.
    pub(super) fn lookup(&mut self, table: &Table, codes: ValueId) -> VReg {
        let ty = self.ty(codes);
        let codes = self.take_arg(Arg::Value(codes));
        if ty.lanes == 1 { self.entry(table, ty.elem, codes) } else { self.looked_up(table, codes) }
    }

    /// What a vector of at most 16 codes becomes.
    pub(super) fn looked_up(&mut self, table: &Table, codes: VReg) -> VReg {
        if self.permutes_tables() {
            self.permuted(table, codes)
        } else {
            self.in_parts(table, codes)
        }
    }

    fn permutes_tables(&self) -> bool {
        self.evex && has(self.target, &["avx512vbmi"])
    }

    /// The vectors that `in_parts` works with, and the table's parts in each.
    fn parts(&self) -> (Len, usize) {
        let len = if self.evex { Len::Z } else { Len::Y };
        (len, len.bytes() / ENTRIES)
    }

    /// The constants of a lookup in vectors.
    pub(super) fn literals_of_table(&mut self, table: &Table) -> Vec<Literal> {
        let mut literals = self.entries(table);
        if !self.permutes_tables() {
            let (len, parts) = self.parts();
            literals.push(self.first_codes(len, parts));
            let bits = [start(parts), ENTRIES as u8].into_iter().filter(|&bits| bits > 0);
            literals.extend(bits.map(|bits| Literal::Lanes { bits: bits.into(), bytes: 1, len }));
        }
        literals
    }

    /// The table as constants: its quarters, or its steps.
    fn entries(&mut self, table: &Table) -> Vec<Literal> {
        let (len, parts) = self.parts();
        let images = match self.permutes_tables() {
            true => table.codes().chunks(Len::Z.bytes()).map(<[u8]>::to_vec).collect(),
            false => steps(table, parts),
        };
        images.iter().map(|image| self.bytes(image, len)).collect()
    }

    /// The first code of each part.
    fn first_codes(&mut self, len: Len, parts: usize) -> Literal {
        let first = |at: usize| (at / ENTRIES * (CODES / parts)) as u8;
        let image: Vec<u8> = (0..len.bytes()).map(first).collect();
        self.bytes(&image, len)
    }

    fn bytes(&mut self, image: &[u8], len: Len) -> Literal {
        Literal::Bytes { at: self.pool.place(image), len }
    }

    fn permuted(&mut self, table: &Table, codes: VReg) -> VReg {
        let entries = self.entries(table);
        let [low, high] = [0, 2].map(|at| {
            let first = self.literal_register(entries[at]);
            let second = self.bytes_operand(entries[at + 1]);
            self.three(Op::Permi2b, Len::Z, codes, first, second)
        });
        let (mask, to) = (self.code.vreg(RegClass::Vector), self.code.vreg(RegClass::Float));
        self.code.add(&Draft::new(Op::Pmovb2m, Len::X).def(mask).rm(Rm::Reg(codes)));
        let blend = Draft::new(Op::Pblendmb, Len::X).def(to).vvvv(low).rm(Rm::Reg(high));
        self.code.add(&blend.mask(mask));
        to
    }

    fn in_parts(&mut self, table: &Table, codes: VReg) -> VReg {
        let (len, parts) = self.parts();
        let first = self.first_codes(len, parts);
        let first = self.bytes_operand(first);
        let copies = self.repeated(codes, len);
        let mut index = self.binary(Op::Psubb, len, copies, first);
        if start(parts) > 0 {
            index = self.with_literal(Op::Paddusb, (index, len), (start(parts).into(), 1));
        }
        let mut found = None;
        for (n, entries) in self.entries(table).into_iter().enumerate() {
            if n > 0 {
                index = self.with_literal(Op::Paddusb, (index, len), (ENTRIES as i64, 1));
            }
            let entries = self.literal_register(entries);
            let these = self.binary(Op::Pshufb, len, entries, Rm::Reg(index));
            found = match found {
                None => Some(these),
                Some(others) => Some(self.binary(Op::Pxor, len, others, Rm::Reg(these))),
            };
        }
        self.joined_parts(found.expect("a table has steps"), len)
    }

    /// 128 bits in each part of a vector.
    fn repeated(&mut self, codes: VReg, len: Len) -> VReg {
        let two = self.joined(Op::Insert128, Len::Y, codes, codes);
        if len == Len::Y { two } else { self.joined(Op::Insert256, Len::Z, two, two) }
    }

    /// All parts of a vector, exclusive-or'ed.
    fn joined_parts(&mut self, all: VReg, len: Len) -> VReg {
        let two = match len {
            Len::Z => {
                let upper = self.upper(Op::Extract256, Len::Z, all, 1);
                self.binary(Op::Pxor, Len::Y, all, Rm::Reg(upper))
            }
            _ => all,
        };
        let upper = self.upper(Op::Extract128, Len::Y, two, 1);
        self.binary(Op::Pxor, Len::X, two, Rm::Reg(upper))
    }

    /// What one code in an integer register becomes; a signed code counts from the table's middle.
    fn entry(&mut self, table: &Table, elem: ElemType, code: VReg) -> VReg {
        let mut entries = *table.codes();
        let middle = if elem.is_signed_int() { CODES / 2 } else { 0 };
        entries.rotate_right(middle);
        let displacement = self.pool.place(&entries);
        let mem = Mem::at(Base::Pool, displacement);
        let table_at = self.unary_int(Op::Lea, Rm::Mem(mem));
        let at = self.tied(Op::Add, table_at, code);
        let base = Base::Reg(at);
        let mem = Mem::at(base, middle as i32);
        self.unary_int(extension(table.elem()), Rm::Mem(mem))
    }

    /// A constant as an operand that may be in memory.
    fn bytes_operand(&mut self, literal: Literal) -> Rm<VReg> {
        match literal {
            Literal::Bytes { at, .. } if !self.is_hoisted(literal) => {
                Rm::Mem(Mem::at(Base::Pool, at))
            }
            _ => Rm::Reg(self.literal_register(literal)),
        }
    }
}
