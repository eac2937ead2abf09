//! Loads and stores. Nothing outside the accessed elements is touched.

use super::constant::Literal;
use super::{Selector, length};
use crate::address::{Access, access_bytes};
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
    /// By one instruction that moves so many bytes.
    Whole(Op, Op, Len),
    /// Under a mask.
    Masked(Op, Op, Len),
}

/// The move of a whole register or of one that clears the rest.
fn whole(bytes: usize) -> Option<Move> {
    match bytes {
        4 => Some(Move::Whole(Op::Movss, Op::MovssStore, Len::X)),
        8 => Some(Move::Whole(Op::Movsd, Op::MovsdStore, Len::X)),
        16 | 32 | 64 => Some(Move::Whole(Op::Movups, Op::MovupsStore, Len::of(bytes))),
        _ => None,
    }
}

impl Selector<'_> {
    /// The register of a load.
    pub(super) fn load(
        &mut self,
        ty: VType,
        param: ParamId,
        index: &[Affine<IndexId>],
        lanes: u8,
    ) -> VReg {
        let rm = Rm::Mem(self.place(param, index, ty.elem, lanes));
        let to = self.code.vreg(RegClass::Float);
        let draft = match self.movement(ty, lanes) {
            Move::Whole(load, _, len) => Draft::new(load, len).def(to).rm(rm),
            Move::Masked(load, _, len) => {
                let mask = self.mask_register(ty, lanes);
                let draft = Draft::new(load, len).def(to).rm(rm);
                if self.evex { draft.mask(mask).zeroing() } else { draft.vvvv(mask) }
            }
        };
        self.code.add(&draft);
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
        let rm = Rm::Mem(self.place(param, index, ty.elem, lanes));
        let draft = match self.movement(ty, lanes) {
            Move::Whole(_, store, len) => Draft::new(store, len).reg(from).rm(rm),
            Move::Masked(_, store, len) => {
                let mask = self.mask_register(ty, lanes);
                let draft = Draft::new(store, len).reg(from).rm(rm);
                if self.evex { draft.mask(mask) } else { draft.vvvv(mask) }
            }
        };
        self.code.add(&draft);
    }

    /// The mask that a partial access of a vector needs.
    pub(super) fn access_mask(&self, ty: VType, lanes: u8) -> Option<Literal> {
        match self.movement(ty, lanes) {
            Move::Whole(..) => None,
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

    fn place(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        elem: ElemType,
        lanes: u8,
    ) -> Mem<VReg> {
        let access = Access { param, index, bytes: access_bytes(elem.bytes(), lanes) };
        let (pointer, displacement) = self.plan.locate(self.func, self.target, access);
        let pointer = self.pointers[pointer].expect("pointers start before their loops");
        Mem { base: Base::Reg(pointer), displacement, broadcast: false }
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
                (false, _) => (Op::Maskmovps, Op::MaskmovpsStore),
            };
            Move::Masked(load, store, length(ty))
        })
    }
}
