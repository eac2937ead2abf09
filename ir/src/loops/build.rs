//! Builds loop functions statement by statement.

use super::matrix::MatrixSum;
use super::{
    Block, Carried, Expr, Guard, IfResult, IndexId, LoopFn, Param, ParamId, Stmt, VType, ValueId,
};
use crate::affine::Affine;
use crate::scalar::func::ScalarFn;
use crate::scalar::table::Table;
use crate::tensor::Scalar;
use crate::types::ElemType;
use cranelift_entity::PrimaryMap;
use smallvec::SmallVec;

/// Adds statements to the innermost open block.
#[derive(Debug)]
pub struct LoopBuilder {
    func: LoopFn,
    open: Vec<Block>,
}

impl LoopBuilder {
    /// A function without statements.
    #[must_use]
    pub fn new(name: &str) -> LoopBuilder {
        let func = LoopFn {
            name: name.to_owned(),
            params: PrimaryMap::new(),
            values: PrimaryMap::new(),
            indices: PrimaryMap::new(),
            body: Vec::new(),
        };
        LoopBuilder { func, open: vec![Vec::new()] }
    }

    /// Adds a parameter.
    pub fn param(&mut self, param: Param) -> ParamId {
        self.func.params.push(param)
    }

    /// The function so far; its body is still empty.
    #[must_use]
    pub fn func(&self) -> &LoopFn {
        &self.func
    }

    /// The type of a value.
    #[must_use]
    pub fn ty(&self, value: ValueId) -> VType {
        self.func.values[value]
    }

    /// Defines a value.
    pub fn define(&mut self, ty: VType, expr: Expr) -> ValueId {
        let value = self.func.values.push(ty);
        self.push(Stmt::Let { value, expr });
        value
    }

    /// A literal in every lane.
    pub fn constant(&mut self, value: Scalar, lanes: u8) -> ValueId {
        self.define(VType { elem: value.elem(), lanes }, Expr::Const(value))
    }

    /// A load of `active` elements into a value of type `ty`.
    pub fn load(
        &mut self,
        ty: VType,
        param: ParamId,
        index: Vec<Affine<IndexId>>,
        active: u8,
    ) -> ValueId {
        self.define(ty, Expr::Load { param, index, lanes: active })
    }

    /// A scalar in every lane.
    pub fn splat(&mut self, scalar: ValueId, lanes: u8) -> ValueId {
        if lanes == 1 {
            return scalar;
        }
        self.define(VType { elem: self.ty(scalar).elem, lanes }, Expr::Splat(scalar))
    }

    /// A function lane by lane; the operands' types fit.
    pub fn apply(&mut self, func: ScalarFn, args: &[ValueId]) -> ValueId {
        let elems: SmallVec<[ElemType; 3]> = args.iter().map(|&a| self.ty(a).elem).collect();
        let elem = func.infer(&elems).expect("L1: operands fit the function");
        let ty = VType { elem, lanes: self.ty(args[0]).lanes };
        self.define(ty, Expr::Apply(func, SmallVec::from_slice(args)))
    }

    /// A conversion lane by lane.
    pub fn cast(&mut self, to: ElemType, value: ValueId) -> ValueId {
        let ty = VType { elem: to, lanes: self.ty(value).lanes };
        self.define(ty, Expr::Cast(value))
    }

    /// What codes become, lane by lane.
    pub fn lookup(&mut self, table: Table, value: ValueId) -> ValueId {
        let ty = VType { elem: table.elem(), lanes: self.ty(value).lanes };
        self.define(ty, Expr::Lookup(table, value))
    }

    /// A store of the first `lanes` lanes.
    pub fn store(
        &mut self,
        param: ParamId,
        index: Vec<Affine<IndexId>>,
        value: ValueId,
        lanes: u8,
    ) {
        self.push(Stmt::Store { param, index, value, lanes });
    }

    /// A hint that the memory at a place will be read.
    pub fn prefetch(&mut self, param: ParamId, index: Vec<Affine<IndexId>>) {
        self.push(Stmt::Prefetch { param, index });
    }

    /// An index of a statement's own.
    pub fn own_index(&mut self, extent: usize) -> IndexId {
        self.func.indices.push(extent)
    }

    /// A store of the sums of a block.
    pub fn matrix(&mut self, sum: MatrixSum) {
        self.push(Stmt::Matrix(Box::new(sum)));
    }

    /// An index `clamp(value, 0, extent - 1)` of a scalar `i32` or `i64`.
    pub fn index(&mut self, extent: usize, value: ValueId) -> IndexId {
        let index = self.func.indices.push(extent);
        self.push(Stmt::Index { index, value });
        index
    }

    /// An affine function of indices as an `i64`.
    pub fn index_value(&mut self, of: Affine<IndexId>) -> ValueId {
        self.define(VType::scalar(ElemType::I64), Expr::IndexValue(of))
    }

    /// A loop without carried values.
    pub fn for_each(&mut self, extent: usize, body: impl FnOnce(&mut Self, IndexId)) {
        self.for_carried(extent, &[], |b, i, _| {
            body(b, i);
            Vec::new()
        });
    }

    /// A loop that carries values: `body` maps the inner values to the next ones. Returns the
    /// results.
    pub fn for_carried(
        &mut self,
        extent: usize,
        init: &[ValueId],
        body: impl FnOnce(&mut Self, IndexId, &[ValueId]) -> Vec<ValueId>,
    ) -> Vec<ValueId> {
        let index = self.func.indices.push(extent);
        let inner: Vec<ValueId> = init.iter().map(|&v| self.fresh_like(v)).collect();
        self.open.push(Vec::new());
        let next = body(self, index, &inner);
        let body = self.open.pop().expect("the loop's block");
        let results: Vec<ValueId> = init.iter().map(|&v| self.fresh_like(v)).collect();
        let carried = (0..init.len())
            .map(|n| Carried { init: init[n], inner: inner[n], next: next[n], result: results[n] })
            .collect();
        self.push(Stmt::For { index, carried, body });
        results
    }

    /// A guarded block: `then` computes replacements for `otherwise`. Returns the results.
    pub fn guarded(
        &mut self,
        guards: Vec<Guard>,
        otherwise: &[ValueId],
        then: impl FnOnce(&mut Self) -> Vec<ValueId>,
    ) -> Vec<ValueId> {
        self.open.push(Vec::new());
        let values = then(self);
        let then = self.open.pop().expect("the guarded block");
        let results: Vec<ValueId> = otherwise.iter().map(|&v| self.fresh_like(v)).collect();
        let ifs = (0..otherwise.len())
            .map(|n| IfResult { then: values[n], otherwise: otherwise[n], result: results[n] })
            .collect();
        self.push(Stmt::If { guards, then, results: ifs });
        results
    }

    /// The finished function.
    #[must_use]
    pub fn finish(mut self) -> LoopFn {
        self.func.body = self.open.pop().expect("the body");
        debug_assert!(self.open.is_empty(), "every block is closed");
        self.func
    }

    fn fresh_like(&mut self, value: ValueId) -> ValueId {
        let ty = self.ty(value);
        self.func.values.push(ty)
    }

    fn push(&mut self, stmt: Stmt) {
        self.open.last_mut().expect("an open block").push(stmt);
    }
}
