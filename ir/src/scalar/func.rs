//! The table of scalar functions: the only list of what an element-wise body may compute.

use crate::tensor::Scalar;
use crate::types::ElemType;

/// Which operand and result types a function accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Operands and result share one integer or float type.
    Number,
    /// Operands and result share one float type.
    Float,
    /// Operands and result share one integer type or are all `bool`.
    Bits,
    /// Operands share one type, the result is `bool`.
    Compare,
    /// `(bool, t, t) -> t`.
    Select,
    /// `f32 -> i32`, `i32 -> f32`, `f64 -> i64` or `i64 -> f64` with the same bits.
    Bitcast,
    /// `(i32, i32, i32) -> i32`: the first two are words of narrower integers.
    Dot,
}

/// How close a compiled result is to the exact one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// The correctly rounded or exact result.
    Exact,
    /// At most this many units in the last place of `f32`.
    Ulp(u32),
}

/// One row of the table.
#[derive(Debug)]
pub struct FuncInfo {
    /// Name in text dumps.
    pub mnemonic: &'static str,
    /// Number of operands.
    pub arity: usize,
    /// Accepted types.
    pub class: Class,
    /// Accuracy of compiled code.
    pub accuracy: Accuracy,
    /// Whether `f(a, b) == f(b, a)` bit for bit.
    pub commutative: bool,
    /// One line for the generated documentation.
    pub doc: &'static str,
}

macro_rules! scalar_funcs {
    ($($variant:ident $mnemonic:literal $arity:literal $class:ident $accuracy:expr, $comm:literal, $doc:literal;)*) => {
        /// A scalar function; the variants are the rows of the table in this file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each row carries its doc line as data")]
        pub enum ScalarFn { $($variant),* }

        impl ScalarFn {
            /// Every function, in table order.
            pub const ALL: &[ScalarFn] = &[$(ScalarFn::$variant),*];

            /// The function's row.
            #[must_use]
            pub fn info(self) -> &'static FuncInfo {
                match self { $(ScalarFn::$variant => &FuncInfo {
                    mnemonic: $mnemonic, arity: $arity, class: Class::$class,
                    accuracy: $accuracy, commutative: $comm, doc: $doc,
                }),* }
            }
        }
    };
}

use Accuracy::{Exact, Ulp};

scalar_funcs! {
    Add    "add"    2 Number Exact, true,  "a + b; integers wrap";
    Sub    "sub"    2 Number Exact, false, "a - b; integers wrap";
    Mul    "mul"    2 Number Exact, true,  "a * b; integers wrap";
    Div    "div"    2 Number Exact, false, "a / b; integers truncate, division by zero gives 0, MIN / -1 wraps";
    Min    "min"    2 Number Exact, false, "if a < b then a else b; the second operand when unordered";
    Max    "max"    2 Number Exact, false, "if a > b then a else b; the second operand when unordered";
    Neg    "neg"    1 Number Exact, false, "-a; integers wrap";
    Abs    "abs"    1 Number Exact, false, "|a|; integers wrap";
    Fma    "fma"    3 Float  Exact, false, "a * b + c rounded once";
    Sqrt   "sqrt"   1 Float  Exact, false, "square root";
    Floor  "floor"  1 Float  Exact, false, "largest integer not above a";
    Ceil   "ceil"   1 Float  Exact, false, "smallest integer not below a";
    Trunc  "trunc"  1 Float  Exact, false, "a rounded towards zero";
    Round  "round"  1 Float  Exact, false, "nearest integer, ties to even";
    Exp    "exp"    1 Float  Ulp(2), false, "e to the power a";
    Log    "log"    1 Float  Ulp(4), false, "natural logarithm";
    Tanh   "tanh"   1 Float  Ulp(8), false, "hyperbolic tangent";
    Erf    "erf"    1 Float  Ulp(16), false, "error function";
    Sin    "sin"    1 Float  Ulp(8), false, "sine of radians";
    Cos    "cos"    1 Float  Ulp(8), false, "cosine of radians";
    Pow    "pow"    2 Float  Ulp(64), false, "a to the power b; NaN for negative a and fractional b";
    And    "and"    2 Bits   Exact, true,  "bitwise or logical and";
    Or     "or"     2 Bits   Exact, true,  "bitwise or logical or";
    Xor    "xor"    2 Bits   Exact, true,  "bitwise or logical exclusive or";
    Not    "not"    1 Bits   Exact, false, "bitwise or logical complement";
    Shl    "shl"    2 Bits   Exact, false, "a shifted left by b modulo the width";
    Shr    "shr"    2 Bits   Exact, false, "a shifted right by b modulo the width, arithmetic when signed";
    Eq     "eq"     2 Compare Exact, true, "a == b; false when unordered";
    Lt     "lt"     2 Compare Exact, false, "a < b; false when unordered";
    Le     "le"     2 Compare Exact, false, "a <= b; false when unordered";
    Select "select" 3 Select Exact, false, "if c then a else b";
    Bitcast "bitcast" 1 Bitcast Exact, false, "the same bits as an integer or a float";
    DotU8  "dot_u8" 3 Dot    Exact, false, "c plus the products of the four bytes of a, unsigned, with those of b, signed; wraps";
    DotI8  "dot_i8" 3 Dot    Exact, false, "c plus the products of the four bytes of a with those of b, signed; wraps";
    DotI8Narrow "dot_i8_narrow" 3 Dot Exact, false, "the same where no byte of b is -128, so that 16 bits hold two of the products";
    DotI16 "dot_i16" 3 Dot   Exact, false, "c plus the products of the halves of a with those of b, signed; wraps";
}

impl ScalarFn {
    /// The function with this mnemonic.
    #[must_use]
    pub fn from_mnemonic(name: &str) -> Option<ScalarFn> {
        Self::ALL.iter().copied().find(|f| f.info().mnemonic == name)
    }

    /// Result type for operand types, or `None` when they do not fit the row.
    #[must_use]
    pub fn infer(self, args: &[ElemType]) -> Option<ElemType> {
        let info = self.info();
        let first = *args.first()?;
        let same = args.len() == info.arity && args.iter().all(|&a| a == first);
        match info.class {
            Class::Number => (same && first != ElemType::Bool).then_some(first),
            Class::Float => (same && first.is_float()).then_some(first),
            Class::Bits => (same && !first.is_float()).then_some(first),
            Class::Compare => same.then_some(ElemType::Bool),
            Class::Select => match args {
                [ElemType::Bool, a, b] if a == b => Some(*a),
                _ => None,
            },
            Class::Bitcast => match args {
                [ElemType::F32] => Some(ElemType::I32),
                [ElemType::I32] => Some(ElemType::F32),
                [ElemType::F64] => Some(ElemType::I64),
                [ElemType::I64] => Some(ElemType::F64),
                _ => None,
            },
            Class::Dot => (same && first == ElemType::I32).then_some(first),
        }
    }

    /// How many products a function adds up: those of the integers in a word, or none.
    #[must_use]
    pub fn products(self) -> Option<usize> {
        match self {
            ScalarFn::DotU8 | ScalarFn::DotI8 | ScalarFn::DotI8Narrow => Some(4),
            ScalarFn::DotI16 => Some(2),
            _ => None,
        }
    }

    /// The neutral element of a function that can combine a reduction.
    #[must_use]
    pub fn identity(self, elem: ElemType) -> Option<Scalar> {
        let (lo, hi) = match elem.int_range() {
            Some((lo, hi)) => (lo as f64, hi as f64),
            None => (f64::NEG_INFINITY, f64::INFINITY),
        };
        match self {
            ScalarFn::Add => Some(Scalar::from_i64(elem, 0)),
            ScalarFn::Mul => Some(Scalar::from_i64(elem, 1)),
            ScalarFn::Max => Some(
                elem.int_range()
                    .map_or(Scalar::from_f64(elem, lo), |r| Scalar::from_i64(elem, r.0)),
            ),
            ScalarFn::Min => Some(
                elem.int_range()
                    .map_or(Scalar::from_f64(elem, hi), |r| Scalar::from_i64(elem, r.1)),
            ),
            _ => None,
        }
    }
}
