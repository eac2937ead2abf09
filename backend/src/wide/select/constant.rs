//! Constants: in registers in front of innermost loops, in memory elsewhere.

use super::float::sign_mask;
use super::mask::default_bytes;
use super::{Arg, Selector, is_float, is_vector, length};
use crate::wide::code::Draft;
use crate::wide::inst::{Base, Len, Mem, Rm};
use crate::wide::row::{Op, Tuple, W};
use edgecc_ir::loops::walk::{each_stmt, operands};
use edgecc_ir::loops::{Block, Carried, Expr, Stmt, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};
use smallvec::SmallVec;

/// Constants that stay in registers to the end of a block outside of hot loops.
const RECENT: usize = 2;

/// What a register may hold from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// The same bits in every lane.
    Lanes {
        /// The bits of a lane.
        bits: u64,
        /// Bytes of a lane.
        bytes: u8,
        /// Length of the register.
        len: Len,
    },
    /// The first lanes all ones, the others zero.
    First {
        /// Number of lanes that are ones.
        count: u8,
        /// Bytes of a lane.
        bytes: u8,
        /// Length of the register.
        len: Len,
    },
    /// Bytes of the pool.
    Bytes {
        /// Where they are there.
        at: i32,
        /// Length of the register.
        len: Len,
    },
    /// An opmask.
    Opmask(u16),
}

impl Literal {
    /// The registers that hold it.
    pub(super) fn class(self) -> RegClass {
        match self {
            Literal::Lanes { .. } | Literal::First { .. } | Literal::Bytes { .. } => {
                RegClass::Float
            }
            Literal::Opmask(_) => RegClass::Vector,
        }
    }

    /// The bytes of a register that holds it, unless they are in the pool.
    fn image(self) -> Vec<u8> {
        match self {
            Literal::Lanes { bits, bytes, len } => {
                let lane = &bits.to_le_bytes()[..usize::from(bytes)];
                lane.iter().copied().cycle().take(len.bytes()).collect()
            }
            Literal::First { count, bytes, len } => {
                let ones = usize::from(count) * usize::from(bytes);
                (0..len.bytes()).map(|at| if at < ones { 0xff } else { 0 }).collect()
            }
            Literal::Bytes { .. } => Vec::new(),
            Literal::Opmask(mask) => mask.to_le_bytes().to_vec(),
        }
    }
}

impl Selector<'_> {
    /// The constant that a value in a vector register is.
    pub(super) fn literal(&self, value: ValueId) -> Option<Literal> {
        let ty = self.ty(value);
        let bits = self.literal_bits(Arg::Value(value)).filter(|_| is_vector(ty))?;
        if ty.elem != ElemType::Bool {
            return Some(Literal::Lanes { bits, bytes: ty.elem.bytes() as u8, len: length(ty) });
        }
        if self.evex {
            return Some(Literal::Opmask(if bits == 0 { 0 } else { u16::MAX }));
        }
        let bytes = default_bytes(ty.lanes);
        let ones = u64::MAX >> (64 - 8 * bytes);
        let len = Len::of(bytes * usize::from(ty.lanes));
        Some(Literal::Lanes { bits: if bits == 0 { 0 } else { ones }, bytes: bytes as u8, len })
    }

    /// A register that holds a constant.
    pub(super) fn literal_register(&mut self, literal: Literal) -> VReg {
        let known = self.hoisted.iter().chain(&self.recent);
        if let Some(&(_, reg)) = known.into_iter().find(|(known, _)| *known == literal) {
            return reg;
        }
        let reg = self.materialize(literal);
        if !self.code.hot {
            self.recent.truncate(RECENT - 1);
            self.recent.insert(0, (literal, reg));
        }
        reg
    }

    /// Whether a register holds a constant for the whole of a loop.
    pub(super) fn is_hoisted(&self, literal: Literal) -> bool {
        self.hoisted.iter().any(|(hoisted, _)| *hoisted == literal)
    }

    /// A constant as the last operand of an instruction.
    pub(super) fn literal_operand(&mut self, literal: Literal, op: Op) -> Rm<VReg> {
        match self.literal_in_memory(literal, op) {
            Some(mem) => Rm::Mem(mem),
            None => Rm::Reg(self.literal_register(literal)),
        }
    }

    /// Loads constants that a loop without inner loops uses, in front of it.
    pub(super) fn hoist_literals(&mut self, carried: &[Carried], body: &Block) {
        let mut uses: Vec<Literal> = Vec::new();
        each_stmt(body, &mut |stmt| self.literals_of(stmt, &mut uses));
        for literal in self.affordable(&uses, carried, body) {
            let reg = self.materialize(literal);
            self.hoisted.push((literal, reg));
        }
    }

    fn literals_of(&mut self, stmt: &Stmt, wanted: &mut Vec<Literal>) {
        match stmt {
            Stmt::Let { value, .. } if self.literal(*value).is_some() || self.in_codes[*value] => {}
            Stmt::Let { value, expr: Expr::Lookup(table, _) } if self.ty(*value).lanes > 1 => {
                wanted.extend(self.literals_of_table(table));
            }
            Stmt::Let { value, expr } => {
                let mask = match expr {
                    Expr::Load { lanes, .. } => self.access_mask(self.ty(*value), *lanes),
                    Expr::Apply(func @ (ScalarFn::Neg | ScalarFn::Abs), _)
                        if is_float(self.ty(*value).elem) =>
                    {
                        Some(sign_mask(*func, self.ty(*value)))
                    }
                    _ => None,
                };
                wanted.extend(mask);
                let read = match expr {
                    // Amounts of shifts are parts of instructions.
                    Expr::Apply(ScalarFn::Shl | ScalarFn::Shr, args) => {
                        SmallVec::from_slice(&args[..1])
                    }
                    _ => operands(expr),
                };
                wanted.extend(read.into_iter().filter_map(|v| self.literal(v)));
            }
            Stmt::Store { value, lanes, .. } => {
                wanted.extend(self.access_mask(self.ty(*value), *lanes));
                wanted.extend(self.literal(*value));
                wanted.extend(self.literals_of_codes(*value));
            }
            Stmt::Prefetch { .. }
            | Stmt::Matrix(_)
            | Stmt::For { .. }
            | Stmt::If { .. }
            | Stmt::Index { .. } => {}
        }
    }

    /// The place of a constant in memory that an instruction can read in this form.
    pub(super) fn literal_in_memory(&mut self, literal: Literal, op: Op) -> Option<Mem<VReg>> {
        let Literal::Lanes { bits, bytes, .. } = literal else { return None };
        if self.is_hoisted(literal) {
            return None;
        }
        let element = &bits.to_le_bytes()[..usize::from(bytes)];
        let row = op.row();
        let own = if row.w == W::W0 { 4 } else { 8 };
        let (image, broadcast) = match row.tuple {
            Tuple::Bytes(n) if n == bytes => (element.to_vec(), false),
            Tuple::Part(1) if self.evex && own == bytes => (element.to_vec(), true),
            Tuple::Part(1) => (literal.image(), false),
            Tuple::Bytes(_) | Tuple::Part(_) => return None,
        };
        let displacement = self.pool.place(&image);
        Some(Mem { broadcast, ..Mem::at(Base::Pool, displacement) })
    }

    /// Loads a constant into a register of its own.
    pub(super) fn materialize(&mut self, literal: Literal) -> VReg {
        let to = self.code.vreg(literal.class());
        let draft = match literal {
            Literal::Lanes { bits: 0, .. } => Draft::new(Op::Pxor, Len::X).cleared(to),
            Literal::Lanes { bits, bytes, len } => {
                let lane = bits.to_le_bytes();
                let width = usize::from(bytes).max(4);
                let image: Vec<u8> =
                    lane[..usize::from(bytes)].iter().copied().cycle().take(width).collect();
                let op = if width == 8 { Op::Pbroadcastq } else { Op::Broadcastss };
                Draft::new(op, len).def(to).rm(self.pooled(&image))
            }
            Literal::Bytes { at, len } => {
                let mem = Mem::at(Base::Pool, at);
                Draft::new(Op::Movups, len).def(to).rm(Rm::Mem(mem))
            }
            Literal::First { len, .. } => {
                Draft::new(Op::Movups, len).def(to).rm(self.pooled(&literal.image()))
            }
            Literal::Opmask(mask) => {
                let bits = self.code.vreg(RegClass::Int);
                let set = Draft::new(Op::MovImm, Len::X).def_rm(bits).imm(i64::from(mask));
                self.code.add(&set);
                Draft::new(Op::KmovFromInt, Len::X).def(to).rm(Rm::Reg(bits))
            }
        };
        self.code.add(&draft);
        to
    }

    pub(super) fn pooled(&mut self, image: &[u8]) -> Rm<VReg> {
        let displacement = self.pool.place(image);
        Rm::Mem(Mem::at(Base::Pool, displacement))
    }
}
