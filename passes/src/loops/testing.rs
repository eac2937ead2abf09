//! Random loop functions, and the law that every pass keeps.

use edgecc_ir::affine::Affine;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::interp::run_fn;
use edgecc_ir::loops::verify::verify_fn;
use edgecc_ir::loops::{Guard, IndexId, LoopFn, Param, ParamAccess, ParamId, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// Side of the square parameters of random functions.
const SIDE: usize = 16;

/// Runs a pass; the result verifies and stores the same values.
pub(super) fn check_pass(
    before: LoopFn,
    target: &Target,
    pass: impl FnOnce(LoopFn, &Target) -> LoopFn,
) -> LoopFn {
    assert_eq!(verify_fn(&before, None), Ok(()), "{before:#?}");
    let want = outputs(&before);
    let after = pass(before, target);
    assert_eq!(verify_fn(&after, None), Ok(()), "{after:#?}");
    assert_eq!(outputs(&after), want, "{after:#?}");
    after
}

/// All parameters after a run on varied small numbers.
fn outputs(func: &LoopFn) -> Vec<Tensor> {
    let value = |elem, n: usize| Scalar::from_i64(elem, (n * 7 % 23) as i64 - 11);
    let filled = |p: &Param| Tensor::from_fn(p.ty.clone(), |n| value(p.ty.elem, n));
    let mut buffers: Vec<Tensor> = func.params.values().map(filled).collect();
    run_fn(func, &mut buffers);
    buffers
}

/// A nest of loops, guards and carried values around loads, arithmetic and stores.
pub(super) fn random_function(seed: u64) -> LoopFn {
    let mut b = LoopBuilder::new("random");
    let ty = TensorType::new(ElemType::F32, &[SIDE, SIDE]);
    let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
    let y = b.param(Param { ty, access: ParamAccess::ReadWrite });
    let mut generator = Generator { state: seed, x, y, indices: Vec::new() };
    let scope = [b.constant(Scalar::f32(2.0), 1), b.constant(Scalar::f32(-1.0), 4)];
    generator.block(&mut b, &scope, 3);
    b.finish()
}

struct Generator {
    state: u64,
    x: ParamId,
    y: ParamId,
    indices: Vec<IndexId>,
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.state =
            self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.state >> 33) as usize % bound
    }

    /// Statements that may use `scope`; returns the last value of one and of four lanes.
    fn block(&mut self, b: &mut LoopBuilder, scope: &[ValueId], depth: usize) -> [ValueId; 2] {
        let (mut scope, outer) = (scope.to_vec(), self.indices.len());
        for _ in 0..2 + self.below(8) {
            let made = self.stmt(b, &scope, depth);
            scope.extend(made);
        }
        self.indices.truncate(outer);
        [1, 4].map(|lanes| last(b, &scope, lanes))
    }

    fn stmt(&mut self, b: &mut LoopBuilder, scope: &[ValueId], depth: usize) -> Vec<ValueId> {
        let lanes = [1, 4][self.below(2)];
        match self.below(if depth > 0 { 12 } else { 9 }) {
            0 => vec![b.constant(Scalar::f32(self.below(3) as f32), lanes)],
            1 | 2 => {
                let (at, ty) = (self.index(), VType { elem: ElemType::F32, lanes });
                let from = [self.x, self.y][self.below(2)];
                vec![b.load(ty, from, at, lanes)]
            }
            3 => {
                let scalar = last(b, scope, 1);
                vec![b.splat(scalar, 4)]
            }
            4 => {
                let func = [ScalarFn::Add, ScalarFn::Max, ScalarFn::Sub][self.below(3)];
                let args = [0, 0].map(|_| self.pick(b, scope, lanes));
                vec![b.apply(func, &args)]
            }
            5 => {
                let (at, value) = (self.index(), self.pick(b, scope, lanes));
                b.store(self.y, at, value, lanes);
                Vec::new()
            }
            6 => {
                let number = self.pick(b, scope, 1);
                let number = b.cast(ElemType::I32, number);
                let extent = 1 + self.below(3);
                self.indices.push(b.index(extent, number));
                Vec::new()
            }
            7 => {
                let number = b.index_value(self.index().swap_remove(0));
                vec![b.cast(ElemType::F32, number)]
            }
            8 => {
                b.prefetch(self.x, self.index());
                Vec::new()
            }
            9 => self.guarded(b, scope, depth),
            _ => self.for_each(b, scope, depth),
        }
    }

    fn guarded(&mut self, b: &mut LoopBuilder, scope: &[ValueId], depth: usize) -> Vec<ValueId> {
        let otherwise = [1, 4].map(|lanes| self.pick(b, scope, lanes));
        let expr = self.index().swap_remove(0).offset(-1);
        let guards = vec![Guard { expr, extent: 1 + self.below(2) }];
        b.guarded(guards, &otherwise, |b| self.block(b, scope, depth - 1).to_vec())
    }

    fn for_each(&mut self, b: &mut LoopBuilder, scope: &[ValueId], depth: usize) -> Vec<ValueId> {
        let init = [1, 4].map(|lanes| self.pick(b, scope, lanes));
        b.for_carried(1 + self.below(3), &init, |b, index, inner| {
            self.indices.push(index);
            let mut scope = scope.to_vec();
            scope.extend(inner);
            let next = self.block(b, &scope, depth - 1).to_vec();
            self.indices.pop();
            next
        })
    }

    /// In bounds for up to three loops of at most three iterations and four lanes.
    fn index(&mut self) -> Vec<Affine<IndexId>> {
        [0, 1]
            .map(|_| {
                let (start, step) = (self.below(4) as i64, self.below(3) as i64);
                let at = self.below(self.indices.len().max(1));
                let start = Affine::constant(start);
                self.indices.get(at).map_or(start.clone(), |&i| start.plus(i, step))
            })
            .to_vec()
    }

    fn pick(&mut self, b: &LoopBuilder, scope: &[ValueId], lanes: u8) -> ValueId {
        let fitting: Vec<ValueId> =
            scope.iter().copied().filter(|&v| b.ty(v).lanes == lanes).collect();
        fitting[self.below(fitting.len())]
    }
}

fn last(b: &LoopBuilder, scope: &[ValueId], lanes: u8) -> ValueId {
    let fitting = scope.iter().rev().find(|&&v| b.ty(v).lanes == lanes);
    *fitting.expect("the outermost scope has one of each")
}
