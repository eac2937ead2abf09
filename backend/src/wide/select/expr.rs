//! Expressions: where the definition of a value goes.

use super::{Arg, Selector};
use edgecc_ir::loops::{Expr, ValueId};
use regalloc2::VReg;

impl<'a> Selector<'a> {
    /// Computes the definition of a value.
    pub(super) fn expr(&mut self, value: ValueId, expr: &'a Expr) -> VReg {
        let ty = self.ty(value);
        match expr {
            Expr::Const(scalar) => self.scalar_literal(scalar.bits(), ty.elem),
            Expr::Load { param, index, lanes } => self.load(ty, *param, index, *lanes),
            Expr::IndexValue(of) => self.affine(of),
            Expr::Splat(scalar) => self.splat(ty, *scalar),
            Expr::SplatLane(vector, lane) => {
                let from = self.ty(*vector);
                let vector = self.take(*vector);
                self.splat_lane(vector, from, *lane)
            }
            Expr::Extract(vector, lane) => {
                let from = self.ty(*vector);
                let vector = self.take(*vector);
                self.extract(vector, from, *lane)
            }
            Expr::Pack(scalars) => {
                let scalars: Vec<Arg> = scalars.iter().map(|&s| Arg::Value(s)).collect();
                self.pack(ty, &scalars)
            }
            Expr::Apply(func, args) => {
                let last = self.ty(*args.last().expect("every function has an operand"));
                let args: Vec<Arg> = args.iter().map(|&arg| Arg::Value(arg)).collect();
                self.apply(*func, last, &args)
            }
            Expr::Cast(from) => self.cast(self.ty(*from), ty.elem, Arg::Value(*from)),
            Expr::Lookup(table, codes) => self.lookup(table, *codes),
            Expr::ReduceLanes(func, vector) => {
                let from = self.ty(*vector);
                let vector = self.take(*vector);
                self.reduce(*func, from, vector)
            }
        }
    }
}
