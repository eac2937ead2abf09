//! Decoding of a loop function into instructions with resolved registers and linear addresses.

use crate::affine::Affine;
use crate::loops::matrix::{MatrixSum, Place};
use crate::loops::{
    Block, Carried, Expr, Guard, IfResult, IndexId, LoopFn, ParamId, Stmt, VType, ValueId,
};
use crate::scalar::func::ScalarFn;
use crate::scalar::table::Table;
use crate::types::ElemType;
use cranelift_entity::{EntityRef, SecondaryMap};
use smallvec::SmallVec;

/// The lanes of a value: consecutive words of the register file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reg {
    pub(super) at: u32,
    pub(super) lanes: u8,
}

/// An access of `lanes` consecutive elements.
pub(super) struct Access<'f> {
    pub(super) param: ParamId,
    /// Index expressions, for messages.
    pub(super) index: &'f [Affine<IndexId>],
    /// Byte address relative to the buffer.
    pub(super) address: Linear,
    pub(super) lanes: u8,
    pub(super) elem: ElemType,
}

/// `Σ coefficient·index + constant`.
pub(super) struct Linear {
    pub(super) terms: SmallVec<[(u32, i64); 6]>,
    pub(super) constant: i64,
}

impl Linear {
    pub(super) fn eval(&self, indices: &[i64]) -> i64 {
        self.terms.iter().fold(self.constant, |sum, &(i, c)| sum + c * indices[i as usize])
    }
}

/// One instruction.
pub(super) enum Inst<'f> {
    Fill {
        to: Reg,
        bits: u64,
    },
    Load {
        to: Reg,
        from: Access<'f>,
    },
    Store {
        from: Reg,
        to: Access<'f>,
    },
    /// One word in every lane.
    Spread {
        to: Reg,
        from: u32,
    },
    Pack {
        to: Reg,
        from: SmallVec<[u32; 4]>,
    },
    F32 {
        op: F32Op,
        to: Reg,
        args: [u32; 3],
    },
    Apply {
        func: ScalarFn,
        to: Reg,
        args: SmallVec<[(u32, ElemType); 3]>,
    },
    Cast {
        to: Reg,
        to_elem: ElemType,
        from: u32,
        from_elem: ElemType,
    },
    Lookup {
        table: &'f Table,
        to: Reg,
        from: u32,
    },
    Reduce {
        func: ScalarFn,
        to: Reg,
        from: Reg,
        elem: ElemType,
    },
    /// `clamp(from, 0, extent - 1)`.
    Index {
        index: u32,
        extent: i64,
        from: u32,
        elem: ElemType,
    },
    IndexValue {
        to: Reg,
        of: Linear,
    },
    Matrix(Box<Matrix<'f>>),
    For {
        index: u32,
        extent: i64,
        carried: Vec<Copies>,
        body: Vec<Inst<'f>>,
    },
    If {
        guards: Vec<(Linear, i64)>,
        then: Vec<Inst<'f>>,
        results: Vec<Choice>,
    },
}

/// The sums of a block; accesses are of one word.
pub(super) struct Matrix<'f> {
    pub(super) dot: ScalarFn,
    pub(super) row: (u32, i64),
    /// Indices and extents of the steps, outermost first.
    pub(super) steps: Vec<(u32, i64)>,
    pub(super) columns: i64,
    pub(super) codes: Access<'f>,
    pub(super) words: Access<'f>,
    pub(super) to: Access<'f>,
}

/// The functions that take most of the time, without dispatch per lane.
#[derive(Clone, Copy)]
pub(super) enum F32Op {
    Add,
    Sub,
    Mul,
    Fma,
}

/// Registers of a carried value.
pub(super) struct Copies {
    pub(super) init: Reg,
    pub(super) inner: Reg,
    pub(super) next: Reg,
    pub(super) result: Reg,
}

/// Registers of an `If` result.
pub(super) struct Choice {
    pub(super) then: Reg,
    pub(super) otherwise: Reg,
    pub(super) result: Reg,
}

/// A decoded function.
pub(super) struct Code<'f> {
    pub(super) insts: Vec<Inst<'f>>,
    /// Words of the register file.
    pub(super) words: usize,
}

pub(super) fn decode(func: &LoopFn) -> Code<'_> {
    let mut regs = SecondaryMap::new();
    let mut words = 0;
    for (value, ty) in &func.values {
        regs[value] = Reg { at: words, lanes: ty.lanes };
        words += u32::from(ty.lanes);
    }
    let decoder = Decoder { func, regs };
    Code { insts: decoder.block(&func.body), words: words as usize }
}

struct Decoder<'f> {
    func: &'f LoopFn,
    regs: SecondaryMap<ValueId, Reg>,
}

impl<'f> Decoder<'f> {
    fn block(&self, block: &'f Block) -> Vec<Inst<'f>> {
        block.iter().filter_map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&self, stmt: &'f Stmt) -> Option<Inst<'f>> {
        Some(match stmt {
            Stmt::Prefetch { .. } => return None,
            Stmt::Matrix(sum) => Inst::Matrix(Box::new(self.matrix(sum))),
            Stmt::Let { value, expr } => self.expr(*value, expr),
            Stmt::Store { param, index, value, lanes } => {
                Inst::Store { from: self.regs[*value], to: self.access(*param, index, *lanes) }
            }
            Stmt::Index { index, value } => Inst::Index {
                index: index.as_u32(),
                extent: self.func.indices[*index] as i64,
                from: self.regs[*value].at,
                elem: self.ty(*value).elem,
            },
            Stmt::For { index, carried, body } => Inst::For {
                index: index.as_u32(),
                extent: self.func.indices[*index] as i64,
                carried: carried.iter().map(|c| self.copies(c)).collect(),
                body: self.block(body),
            },
            Stmt::If { guards, then, results } => Inst::If {
                guards: guards.iter().map(guard).collect(),
                then: self.block(then),
                results: results.iter().map(|r| self.choice(r)).collect(),
            },
        })
    }

    fn expr(&self, value: ValueId, expr: &'f Expr) -> Inst<'f> {
        let to = self.regs[value];
        let at = |v: &ValueId| self.regs[*v].at;
        match expr {
            Expr::Const(scalar) => Inst::Fill { to, bits: scalar.bits() },
            Expr::Load { param, index, lanes } => {
                let from = self.access(*param, index, *lanes);
                Inst::Load { to, from: Access { elem: self.ty(value).elem, ..from } }
            }
            Expr::IndexValue(of) => Inst::IndexValue { to, of: linear(of) },
            Expr::Splat(v) => Inst::Spread { to, from: at(v) },
            Expr::SplatLane(v, lane) | Expr::Extract(v, lane) => {
                Inst::Spread { to, from: at(v) + u32::from(*lane) }
            }
            Expr::Pack(lanes) => Inst::Pack { to, from: lanes.iter().map(at).collect() },
            Expr::Apply(func, args) => self.apply(*func, to, args),
            Expr::Cast(v) => Inst::Cast {
                to,
                to_elem: self.ty(value).elem,
                from: at(v),
                from_elem: self.ty(*v).elem,
            },
            Expr::Lookup(table, v) => Inst::Lookup { table, to, from: at(v) },
            Expr::ReduceLanes(func, v) => {
                Inst::Reduce { func: *func, to, from: self.regs[*v], elem: self.ty(*v).elem }
            }
        }
    }

    fn apply(&self, func: ScalarFn, to: Reg, args: &[ValueId]) -> Inst<'f> {
        match fast(func).filter(|_| self.ty(args[0]).elem == ElemType::F32) {
            Some(op) => {
                let mut words = [0; 3];
                args.iter().zip(&mut words).for_each(|(a, w)| *w = self.regs[*a].at);
                Inst::F32 { op, to, args: words }
            }
            None => {
                let arg = |a: &ValueId| (self.regs[*a].at, self.ty(*a).elem);
                Inst::Apply { func, to, args: args.iter().map(arg).collect() }
            }
        }
    }

    fn access(&self, param: ParamId, index: &'f [Affine<IndexId>], lanes: u8) -> Access<'f> {
        let info = &self.func.params[param];
        let elem = info.ty.elem;
        let address = linear(&info.element(index).times(elem.bytes() as i64));
        Access { param, index, address, lanes, elem }
    }

    fn matrix(&self, sum: &'f MatrixSum) -> Matrix<'f> {
        let counted = |index: IndexId| (index.as_u32(), self.func.indices[index] as i64);
        let word = |place: &'f Place| Access {
            elem: ElemType::I32,
            ..self.access(place.param, &place.index, 1)
        };
        Matrix {
            dot: sum.dot,
            row: counted(sum.row),
            steps: sum.steps.iter().map(|&step| counted(step)).collect(),
            columns: sum.columns.into(),
            codes: word(&sum.codes),
            words: word(&sum.words),
            to: word(&sum.to),
        }
    }

    fn copies(&self, c: &Carried) -> Copies {
        let [init, inner, next, result] = [c.init, c.inner, c.next, c.result].map(|v| self.regs[v]);
        Copies { init, inner, next, result }
    }

    fn choice(&self, r: &IfResult) -> Choice {
        let [then, otherwise, result] = [r.then, r.otherwise, r.result].map(|v| self.regs[v]);
        Choice { then, otherwise, result }
    }

    fn ty(&self, value: ValueId) -> VType {
        self.func.values[value]
    }
}

fn fast(func: ScalarFn) -> Option<F32Op> {
    Some(match func {
        ScalarFn::Add => F32Op::Add,
        ScalarFn::Sub => F32Op::Sub,
        ScalarFn::Mul => F32Op::Mul,
        ScalarFn::Fma => F32Op::Fma,
        _ => return None,
    })
}

fn guard(guard: &Guard) -> (Linear, i64) {
    (linear(&guard.expr), guard.extent as i64)
}

fn linear(affine: &Affine<IndexId>) -> Linear {
    let terms = affine.terms().iter().map(|&(v, c)| (v.index() as u32, c)).collect();
    Linear { terms, constant: affine.constant }
}
