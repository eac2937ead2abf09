//! Expressions: where the definition of a value goes.

use super::{Translator, types};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Value};
use edgecc_ir::loops::{Expr, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

impl<'a> Translator<'a> {
    /// Computes the definition of `value`.
    pub(super) fn expr(&mut self, value: ValueId, expr: &'a Expr) -> Value {
        let ty = self.ty(value);
        match expr {
            Expr::Const(scalar) => self.constant(*scalar, ty.lanes),
            Expr::Load { param, index, lanes } => self.load(ty, *param, index, *lanes),
            Expr::IndexValue(of) => self.affine(of),
            Expr::Splat(scalar) => self.splat(self.value(*scalar), ty),
            Expr::SplatLane(vector, lane) => self.splat_lane(*vector, *lane),
            Expr::Extract(vector, lane) => {
                let vector = (self.value(*vector), self.ty(*vector));
                self.extract(vector, *lane)
            }
            Expr::Pack(scalars) => {
                let scalars: Vec<Value> = scalars.iter().map(|&s| self.value(s)).collect();
                self.pack(&scalars, ty)
            }
            Expr::Apply(func, args) => self.apply(*func, args),
            Expr::Cast(from) => self.cast((self.value(*from), self.ty(*from)), ty.elem),
            Expr::Lookup(table, codes) => self.lookup(table, *codes),
            Expr::ReduceLanes(func, vector) => self.reduce_lanes(*func, *vector),
        }
    }

    fn constant(&mut self, scalar: Scalar, lanes: u8) -> Value {
        match (scalar.elem(), lanes) {
            (ElemType::F32, 1) => {
                self.builder.ins().f32const(Ieee32::with_bits(scalar.bits() as u32))
            }
            (ElemType::F64, 1) => self.builder.ins().f64const(Ieee64::with_bits(scalar.bits())),
            (elem, 1) => self.builder.ins().iconst(types::scalar(elem), scalar.bits() as i64),
            (ElemType::Bool, lanes) => {
                let ty = types::int_vector(128 / u32::from(lanes));
                self.repeat(ty, if scalar.is_true() { u64::MAX } else { 0 })
            }
            (elem, _) => self.repeat(types::vector(elem), scalar.bits()),
        }
    }

    fn reduce_lanes(&mut self, func: ScalarFn, vector: ValueId) -> Value {
        let ty = self.ty(vector);
        let vector = (self.value(vector), ty);
        let mut lanes: Vec<Value> = (0..ty.lanes).map(|lane| self.extract(vector, lane)).collect();
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            for (lane, upper) in lanes.iter_mut().zip(upper) {
                *lane = self.apply_scalar(func, ty.elem, &[*lane, upper]);
            }
        }
        lanes[0]
    }

    /// A scalar in every lane.
    pub(super) fn splat(&mut self, scalar: Value, ty: VType) -> Value {
        match ty {
            VType { lanes: 1, .. } => scalar,
            VType { elem: ElemType::Bool, lanes } => {
                let scalar = self.wide_bool(scalar, 128 / u32::from(lanes));
                let ty = types::int_vector(128 / u32::from(lanes));
                self.builder.ins().splat(ty, scalar)
            }
            VType { elem, .. } => self.builder.ins().splat(types::vector(elem), scalar),
        }
    }
}
