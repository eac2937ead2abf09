//! Loads and stores. Nothing outside the accessed elements is touched: a partial vector moves in
//! pieces of 8, 4, 2 and 1 bytes.

use super::{Translator, types};
use crate::address::{Access, access_bytes, pieces};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I16, I32, I32X4, Type};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value};
use edgecc_ir::affine::Affine;
use edgecc_ir::loops::{IndexId, ParamId, VType, ValueId};
use edgecc_ir::types::ElemType;

/// Loads and stores never trap; vectors are aligned to their elements only.
const FLAGS: MemFlagsData = MemFlagsData::new().with_notrap();

/// A place in memory.
#[derive(Clone, Copy)]
struct Place {
    pointer: Value,
    displacement: i32,
}

impl Translator<'_> {
    pub(super) fn load(
        &mut self,
        ty: VType,
        param: ParamId,
        index: &[Affine<IndexId>],
        lanes: u8,
    ) -> Value {
        let place = self.place(param, index, ty.elem, lanes);
        let raw = match (ty.lanes, bytes(ty.elem, lanes)) {
            (1, _) => self.load_at(types::scalar(ty.elem), place, 0),
            (_, 16) => self.load_at(types::vector(ty.elem), place, 0),
            (_, bytes) => {
                let pieces = self.load_pieces(place, bytes);
                self.reinterpret(types::vector(ty.elem), pieces)
            }
        };
        match (ty.elem, ty.lanes) {
            (ElemType::Bool, 1) => self.builder.ins().icmp_imm_u(IntCC::NotEqual, raw, 0),
            (ElemType::Bool, lanes) => self.bytes_to_mask(raw, lanes),
            _ => raw,
        }
    }

    /// Stores the first bytes of a vector where a store of the first `lanes` of them would be.
    pub(super) fn store_bytes(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        lanes: u8,
        (vector, count): (Value, u8),
    ) {
        let place = self.place(param, index, ElemType::U8, lanes);
        match count {
            16 => self.store_at(vector, place, 0),
            count => self.store_pieces(vector, place, i32::from(count)),
        }
    }

    pub(super) fn store(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        value: ValueId,
        lanes: u8,
    ) {
        let ty = self.ty(value);
        let place = self.place(param, index, ty.elem, lanes);
        let value = match (ty.elem, ty.lanes) {
            (ElemType::Bool, 2..) => self.mask_to_bytes(self.value(value)),
            _ => self.value(value),
        };
        match (ty.lanes, bytes(ty.elem, lanes)) {
            (1, _) | (_, 16) => self.store_at(value, place, 0),
            (_, bytes) => self.store_pieces(value, place, bytes),
        }
    }

    /// The same 128 bits under another type.
    pub(super) fn reinterpret(&mut self, ty: Type, value: Value) -> Value {
        if self.clif_type(value) == ty {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(ty, flags, value)
    }

    fn place(
        &mut self,
        param: ParamId,
        index: &[Affine<IndexId>],
        elem: ElemType,
        lanes: u8,
    ) -> Place {
        let access = Access { param, index, bytes: access_bytes(elem.bytes(), lanes) };
        let (pointer, displacement) = self.plan.locate(self.func, self.target, access);
        let pointer = self.pointers[pointer].expect("pointers start before their loops");
        Place { pointer, displacement }
    }

    fn load_at(&mut self, ty: Type, place: Place, at: i32) -> Value {
        self.builder.ins().load(ty, FLAGS, place.pointer, place.displacement + at)
    }

    fn store_at(&mut self, value: Value, place: Place, at: i32) {
        self.builder.ins().store(FLAGS, value, place.pointer, place.displacement + at);
    }

    fn load_pieces(&mut self, place: Place, bytes: i32) -> Value {
        let mut vector = None;
        for (at, size) in pieces(bytes) {
            vector = Some(match vector {
                None => self.first_piece(place, size),
                Some(vector) => self.further_piece(vector, place, at, size),
            });
        }
        vector.expect("an access has at least one lane")
    }

    fn first_piece(&mut self, place: Place, size: i32) -> Value {
        let (vector, value) = match size {
            8 => (F64X2, self.load_at(F64, place, 0)),
            4 => (F32X4, self.load_at(F32, place, 0)),
            2 => {
                let word = self.load_at(I16, place, 0);
                (I32X4, self.builder.ins().uextend(I32, word))
            }
            _ => {
                let byte = self.load_at(I8, place, 0);
                (I32X4, self.builder.ins().uextend(I32, byte))
            }
        };
        self.builder.ins().scalar_to_vector(vector, value)
    }

    fn further_piece(&mut self, vector: Value, place: Place, at: i32, size: i32) -> Value {
        let ty = types::int_vector(8 * size as u32);
        let vector = self.reinterpret(ty, vector);
        let piece = self.load_at(ty.lane_type(), place, at);
        self.builder.ins().insertlane(vector, piece, (at / size) as u8)
    }

    fn store_pieces(&mut self, value: Value, place: Place, bytes: i32) {
        for (at, size) in pieces(bytes) {
            let ty = match size {
                8 => F64X2,
                4 => F32X4,
                _ => types::int_vector(8 * size as u32),
            };
            let vector = self.reinterpret(ty, value);
            let piece = self.builder.ins().extractlane(vector, (at / size) as u8);
            self.store_at(piece, place, at);
        }
    }

    fn bytes_to_mask(&mut self, bytes: Value, lanes: u8) -> Value {
        let zero = self.zero(I8X16);
        let mask = self.builder.ins().icmp(IntCC::NotEqual, bytes, zero);
        self.mask_as(mask, 128 / u32::from(lanes))
    }

    fn mask_to_bytes(&mut self, mask: Value) -> Value {
        let mask = self.mask_as(mask, 8);
        let ones = self.repeat(I8X16, 1);
        self.builder.ins().band(mask, ones)
    }
}

fn bytes(elem: ElemType, lanes: u8) -> i32 {
    elem.bytes() as i32 * i32::from(lanes)
}
