//! Loads, stores and hints. Nothing outside the accessed elements is touched.

use super::constant::Literal;
use super::lanes::INSERTS;
use super::number::{as_bits, extension};
use super::{Selector, is_float, is_vector, length, width};
use crate::address::{Access, access_bytes, pieces};
use crate::wide::code::Draft;
use crate::wide::inst::{Base, Len, Mem, Rm};
use crate::wide::row::{Op, Tuple, W};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::{Expr, IndexId, ParamId, VType, ValueId};
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

/// How elements move between memory and a vector register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// By one instruction that moves so many bytes and clears the rest of the register.
    Whole(Op, Op, Len),
    /// Under a mask.
    Masked(Op, Op, Len),
    /// Bytes in pieces of powers of two.
    Pieces(i32),
}

/// The move of so many bytes by one instruction.
fn whole(bytes: usize) -> Option<Move> {
    match bytes {
        4 => Some(Move::Whole(Op::Movss, Op::MovssStore, Len::X)),
        8 => Some(Move::Whole(Op::Movsd, Op::MovsdStore, Len::X)),
        16 | 32 | 64 => Some(Move::Whole(Op::Movups, Op::MovupsStore, Len::of(bytes))),
        _ => None,
    }
}

const STORES: [Op; 4] = [Op::Store8, Op::Store16, Op::Store32, Op::MovStore];
const EXTRACTS: [Op; 4] = [Op::Pextrb, Op::Pextrw, Op::Pextrd, Op::Pextrq];

impl Selector<'_> {
    /// The register of a load.
    pub(super) fn load(
        &mut self,
        ty: VType,
        param: ParamId,
        index: &[Affine<IndexId>],
        lanes: u8,
    ) -> VReg {
        let mem = self.place(param, index, ty.elem, lanes);
        match (ty.elem, ty.lanes) {
            (ElemType::Bool, 1) => {
                let byte = self.unary_int(Op::Movzx8, Rm::Mem(mem));
                self.test(byte);
                self.flag(Op::SetNe)
            }
            (elem, 1) if !is_float(elem) => self.unary_int(extension(elem), Rm::Mem(mem)),
            (ElemType::Bool, _) => {
                let bytes = self.load_lanes(as_bits(ty), mem, lanes);
                self.not_zero(bytes, as_bits(ty))
            }
            _ => self.load_lanes(ty, mem, lanes),
        }
    }

    fn load_lanes(&mut self, ty: VType, mem: Mem<VReg>, lanes: u8) -> VReg {
        let (load, len, mask) = match self.movement(ty, lanes) {
            Move::Whole(load, _, len) => return self.unary(load, len, Rm::Mem(mem)),
            Move::Pieces(bytes) => return self.load_pieces(mem, bytes),
            Move::Masked(load, _, len) => (load, len, self.mask_register(ty, lanes)),
        };
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(load, len).def(to).rm(Rm::Mem(mem));
        let draft = if self.evex { draft.mask(mask).zeroing() } else { draft.vvvv(mask) };
        self.code.add(&draft);
        to
    }

    fn load_pieces(&mut self, mem: Mem<VReg>, bytes: i32) -> VReg {
        if bytes > 16 {
            let low = self.unary(Op::Movups, Len::X, Rm::Mem(mem));
            let upper = Mem { displacement: mem.displacement + 16, ..mem };
            let high = self.load_pieces(upper, bytes - 16);
            return self.join(&[low, high]);
        }
        let mut vector = None;
        for (at, size) in pieces(bytes) {
            let rm = Rm::Mem(Mem { displacement: mem.displacement + at, ..mem });
            vector = Some(match (vector, size) {
                (None, 8) => self.unary(Op::Movsd, Len::X, rm),
                (None, 4) => self.unary(Op::Movss, Len::X, rm),
                (before, size) => {
                    let ty = VType { elem: ElemType::U8, lanes: 16 };
                    let before = before.unwrap_or_else(|| self.all_lanes(0, ty));
                    self.insert_piece(before, rm, at, size)
                }
            });
        }
        vector.expect("an access has at least one lane")
    }

    fn insert_piece(&mut self, vector: VReg, rm: Rm<VReg>, at: i32, size: i32) -> VReg {
        let (to, op) = (self.code.vreg(RegClass::Float), INSERTS[size.ilog2() as usize]);
        let draft = Draft::new(op, Len::X).def(to).vvvv(vector).rm(rm);
        self.code.add(&draft.imm(i64::from(at / size)));
        to
    }

    pub(super) fn store(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        value: ValueId,
        lanes: u8,
    ) {
        let ty = self.ty(value);
        let from = self.take(value);
        let mem = self.place(param, index, ty.elem, lanes);
        match (ty.elem, ty.lanes) {
            (elem, 1) if !is_float(elem) => {
                let draft = Draft::new(STORES[width(elem)], Len::X).reg(from).rm(Rm::Mem(mem));
                self.code.add(&draft);
            }
            (ElemType::Bool, all) => {
                let bytes = self.mask_to_bytes(from, all);
                self.store_lanes(as_bits(ty), bytes, mem, lanes);
            }
            _ => self.store_lanes(ty, from, mem, lanes),
        }
    }

    pub(super) fn prefetch(&mut self, param: ParamId, index: &[Affine<IndexId>]) {
        let mem = self.start_of(param, index);
        self.code.add(&Draft::new(Op::Prefetch, Len::X).rm(Rm::Mem(mem)));
    }

    /// The place of a byte.
    pub(super) fn start_of(&mut self, param: ParamId, index: &[Affine<IndexId>]) -> Mem<VReg> {
        self.locate(Access { param, index, bytes: 1 })
    }

    fn store_lanes(&mut self, ty: VType, from: VReg, mem: Mem<VReg>, lanes: u8) {
        let draft = match self.movement(ty, lanes) {
            Move::Whole(_, store, len) => Draft::new(store, len).reg(from).rm(Rm::Mem(mem)),
            Move::Masked(_, store, len) => {
                let mask = self.mask_register(ty, lanes);
                let draft = Draft::new(store, len).reg(from).rm(Rm::Mem(mem));
                if self.evex { draft.mask(mask) } else { draft.vvvv(mask) }
            }
            Move::Pieces(bytes) => return self.store_pieces(from, mem, bytes),
        };
        self.code.add(&draft);
    }

    fn store_pieces(&mut self, from: VReg, mem: Mem<VReg>, bytes: i32) {
        if bytes > 16 {
            self.code.add(&Draft::new(Op::MovupsStore, Len::X).reg(from).rm(Rm::Mem(mem)));
            let upper = Mem { displacement: mem.displacement + 16, ..mem };
            let high = self.upper(Op::Extract128, Len::Y, from, 1);
            return self.store_pieces(high, upper, bytes - 16);
        }
        for (at, size) in pieces(bytes) {
            let rm = Rm::Mem(Mem { displacement: mem.displacement + at, ..mem });
            let draft = Draft::new(EXTRACTS[size.ilog2() as usize], Len::X).reg(from).rm(rm);
            self.code.add(&draft.imm(i64::from(at / size)));
        }
    }

    /// The mask that a partial access of a vector needs.
    pub(super) fn access_mask(&self, ty: VType, lanes: u8) -> Option<Literal> {
        match self.movement(ty, lanes) {
            _ if !is_vector(ty) => None,
            Move::Whole(..) | Move::Pieces(_) => None,
            Move::Masked(..) if self.evex => Some(Literal::Opmask(((1u32 << lanes) - 1) as u16)),
            Move::Masked(_, _, len) => {
                Some(Literal::First { count: lanes, bytes: ty.elem.bytes() as u8, len })
            }
        }
    }

    /// Where an instruction may read the value, when this is its only use.
    pub(super) fn in_memory(&mut self, value: ValueId, op: Op, len: Len) -> Option<Mem<VReg>> {
        if self.values[value].is_some() {
            return None;
        }
        if let Some(literal) = self.literal(value) {
            return self.literal_in_memory(literal, op);
        }
        if self.uses[value] != 1 {
            return None;
        }
        let ty = self.ty(value);
        match self.exprs[value]? {
            Expr::Load { .. } if ty.elem == ElemType::Bool => None,
            Expr::Load { param, index, lanes } => {
                let bytes = usize::from(*lanes) * ty.elem.bytes();
                let reads = match op.row().tuple {
                    Tuple::Part(part) => len.bytes() / usize::from(part),
                    Tuple::Bytes(bytes) => usize::from(bytes),
                };
                (bytes == reads).then(|| self.place(*param, index, ty.elem, *lanes))
            }
            Expr::Splat(scalar) => self.splat_in_memory(*scalar, op),
            _ => None,
        }
    }

    /// An element that is loaded for one splat alone, which has one use.
    fn splat_in_memory(&mut self, scalar: ValueId, op: Op) -> Option<Mem<VReg>> {
        let row = op.row();
        let own = if row.w == W::W0 { 4 } else { 8 };
        let fits = self.ty(scalar).elem.bytes() == own && row.tuple == Tuple::Part(1);
        if !self.evex || !fits {
            return None;
        }
        let mem = self.lone_load(scalar)?;
        self.uses[scalar] -= 1;
        Some(Mem { broadcast: true, ..mem })
    }

    /// The place of a scalar load that was not made and has one use.
    pub(super) fn lone_load(&mut self, scalar: ValueId) -> Option<Mem<VReg>> {
        let Some(Expr::Load { param, index, lanes }) = self.exprs[scalar] else { return None };
        let lone = self.values[scalar].is_none() && self.uses[scalar] == 1;
        lone.then(|| self.place(*param, index, self.ty(scalar).elem, *lanes))
    }

    pub(super) fn place(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        elem: ElemType,
        lanes: u8,
    ) -> Mem<VReg> {
        self.locate(Access { param, index, bytes: access_bytes(elem.bytes(), lanes) })
    }

    fn locate(&mut self, access: Access<'_>) -> Mem<VReg> {
        let (pointer, displacement) = self.plan.locate(self.func, self.target, access);
        let pointer = self.pointers[pointer].expect("pointers start before their loops");
        Mem::at(Base::Reg(pointer), displacement)
    }

    fn mask_register(&mut self, ty: VType, lanes: u8) -> VReg {
        let mask = self.access_mask(ty, lanes).expect("a partial access");
        self.literal_register(mask)
    }

    fn movement(&self, ty: VType, lanes: u8) -> Move {
        let bytes = usize::from(lanes) * ty.elem.bytes();
        whole(bytes).unwrap_or_else(|| {
            let (load, store) = match (self.evex, ty.elem.bytes()) {
                (true, 1) => (Op::Movdqu8, Op::Movdqu8Store),
                (true, 2) => (Op::Movdqu16, Op::Movdqu16Store),
                (true, 4) => (Op::Movdqu32, Op::Movdqu32Store),
                (true, _) => (Op::Movdqu64, Op::Movdqu64Store),
                (false, 8) => (Op::Maskmovpd, Op::MaskmovpdStore),
                (false, 4) => (Op::Maskmovps, Op::MaskmovpsStore),
                // Without AVX-512, narrow lanes have no masks.
                (false, _) => return Move::Pieces(bytes as i32),
            };
            Move::Masked(load, store, length(ty))
        })
    }
}
