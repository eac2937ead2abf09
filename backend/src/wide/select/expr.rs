//! Expressions: where the definition of a value goes.

use super::{Selector, length};
use crate::wide::inst::Rm;
use crate::wide::row::Op;
use edgecc_ir::loops::{Expr, VType, ValueId};
use edgecc_ir::types::ElemType;
use regalloc2::{RegClass, VReg};

impl<'a> Selector<'a> {
    /// Computes the definition of a value.
    pub(super) fn expr(&mut self, value: ValueId, expr: &'a Expr) -> VReg {
        let ty = self.ty(value);
        match expr {
            Expr::Load { param, index, lanes } => self.load(ty, *param, index, *lanes),
            Expr::Splat(scalar) => self.splat(ty, *scalar),
            Expr::Apply(func, args) => self.float(*func, ty, args),
            Expr::Const(_)
            | Expr::IndexValue(_)
            | Expr::SplatLane(..)
            | Expr::Extract(..)
            | Expr::Pack(_)
            | Expr::Cast(_)
            | Expr::ReduceLanes(..) => unreachable!("`check` refuses {expr:?}"),
        }
    }

    fn splat(&mut self, ty: VType, scalar: ValueId) -> VReg {
        let op = if ty.elem == ElemType::F64 { Op::Broadcastq } else { Op::Broadcastss };
        let from = match self.lone_load(scalar) {
            Some(mem) => {
                self.uses[scalar] -= 1;
                Rm::Mem(mem)
            }
            None => Rm::Reg(self.take(scalar)),
        };
        self.unary(op, length(ty), from, RegClass::Float)
    }
}
