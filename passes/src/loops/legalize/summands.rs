//! Sums of a power of e and a literal, as in the logistic function `1 / (1 + e⁻ˣ)`: they need fewer
//! operations than the power alone, because its subnormal values do not count in them.

use crate::loops::expand::LEAST_SUMMAND;
use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::{each_stmt, operands};
use edgecc_ir::loops::{Block, Expr, LoopFn, Stmt, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::ElemType;

/// `e^(sign·x) + literal`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PowerSum {
    /// 1 or −1.
    pub(super) sign: f32,
    pub(super) x: ValueId,
    pub(super) literal: ValueId,
}

/// What sums may be made of.
pub(super) struct Summands {
    /// The exponents of powers of type `f32`.
    exponents: SecondaryMap<ValueId, Option<ValueId>>,
    /// What values are the negative of.
    negated: SecondaryMap<ValueId, Option<ValueId>>,
    literals: SecondaryMap<ValueId, bool>,
    /// How many operations take a value.
    uses: SecondaryMap<ValueId, u32>,
}

impl Summands {
    /// Of the statements of a function's body, which need not be in their place.
    pub(super) fn of(func: &LoopFn, body: &Block) -> Summands {
        let mut found = Summands {
            exponents: SecondaryMap::new(),
            negated: SecondaryMap::new(),
            literals: SecondaryMap::new(),
            uses: SecondaryMap::new(),
        };
        each_stmt(body, &mut |stmt| {
            let Stmt::Let { value, expr } = stmt else { return };
            operands(expr).into_iter().for_each(|v| found.uses[v] += 1);
            match expr {
                Expr::Apply(ScalarFn::Exp, args) if func.values[*value].elem == ElemType::F32 => {
                    found.exponents[*value] = args.first().copied();
                }
                Expr::Apply(ScalarFn::Neg, args) => found.negated[*value] = args.first().copied(),
                Expr::Const(c) => found.literals[*value] = is_large(*c),
                _ => {}
            }
        });
        found
    }

    /// The sum that an expression is, if no other expression needs its power.
    pub(super) fn sum(&self, expr: &Expr) -> Option<PowerSum> {
        let Expr::Apply(ScalarFn::Add, args) = expr else { return None };
        let &[a, b] = args.as_slice() else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(power, literal)| {
            let exponent = self.exponents[power].filter(|_| self.uses[power] == 1)?;
            let (sign, x) = self.negated[exponent].map_or((1.0, exponent), |x| (-1.0, x));
            self.literals[literal].then_some(PowerSum { sign, x, literal })
        })
    }
}

fn is_large(literal: Scalar) -> bool {
    literal.elem() == ElemType::F32 && literal.as_f32() >= LEAST_SUMMAND
}
