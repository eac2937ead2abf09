//! The tensor primitives: one file and one row each.

mod broadcast;
mod choice;
mod concat;
mod constant;
mod conv;
mod fold;
mod gather;
mod input;
mod map;
mod matmul;
mod nms;
mod non_zero;
mod pad;
mod pool;
mod product;
mod quant;
mod reduce;
mod repeat;
mod reshape;
mod scatter;
mod slice;
mod topk;
mod transpose;
mod wide;
mod window;

pub use broadcast::Broadcast;
pub use choice::If;
pub use concat::Concat;
pub use constant::Const;
pub use conv::Conv;
pub use gather::{Gather, Pick};
pub use input::Input;
pub use map::Map;
pub use matmul::MatMul;
pub use nms::NonMaxSuppression;
pub use non_zero::NonZero;
pub use pad::Pad;
pub use pool::Pool;
pub use product::{Zeros, is_code, sum_elem};
pub use quant::{Dequantize, Quantize, Requantize};
pub use reduce::Reduce;
pub use repeat::Repeat;
pub use reshape::Reshape;
pub use scatter::Scatter;
pub use slice::Slice;
pub use topk::TopK;
pub use transpose::Transpose;
pub use window::{Layout, Window};

use super::body::Body;
use crate::index::{Walk, copy_box};
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::text::attrs::{Attr, AttrCx};
use crate::text::cursor::{Cursor, ParseError};
use crate::types::TensorType;
use std::fmt;

/// Why an op does not type-check: one sentence for a diagnostic.
pub type TypeError = String;

/// What every tensor primitive defines; passes may not add methods.
pub trait TensorOp {
    /// Name in text dumps.
    const MNEMONIC: &'static str;

    /// Result type for operand types; checks the attributes (G3, G5).
    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError>;

    /// The result, by naive loops written from the ONNX text: the oracle and the constant folder.
    fn eval(&self, args: &[&Tensor]) -> Tensor;

    /// What it computes, as a kernel with operands `args…, result…`.
    fn kernel(&self, args: &[&TensorType]) -> Kernel;

    /// Which of the results of the kernel this op is.
    fn result(&self) -> usize {
        0
    }
}

macro_rules! ops {
    ($($op:ident),* $(,)?) => {
        /// A tensor op with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each op documents itself")]
        pub enum Op { $($op($op)),* }

        /// The kind of a tensor op.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each op documents itself")]
        pub enum OpTag { $($op),* }

        $(impl From<$op> for Op { fn from(op: $op) -> Op { Op::$op(op) } })*

        impl OpTag {
            /// Every kind of op.
            pub const ALL: &[OpTag] = &[$(OpTag::$op),*];

            /// Name in text dumps.
            #[must_use]
            pub fn mnemonic(self) -> &'static str {
                match self { $(OpTag::$op => <$op as TensorOp>::MNEMONIC),* }
            }

            /// The kind with this name.
            #[must_use]
            pub fn from_mnemonic(name: &str) -> Option<OpTag> {
                Self::ALL.iter().copied().find(|tag| tag.mnemonic() == name)
            }

            /// Reads the attributes of an op of this kind with this result type.
            pub(crate) fn parse(
                self,
                c: &mut Cursor<'_>,
                result: &TensorType,
            ) -> Result<Op, ParseError> {
                match self { $(OpTag::$op => Ok(Op::$op(Attr::parse(c, result)?))),* }
            }
        }

        impl Op {
            /// The op's kind.
            #[must_use]
            pub fn tag(&self) -> OpTag {
                match self { $(Op::$op(_) => OpTag::$op),* }
            }

            /// Writes the attributes of an op with this result type.
            pub(crate) fn write(&self, out: &mut String, cx: AttrCx<'_>) -> fmt::Result {
                match self { $(Op::$op(op) => op.write(out, cx)),* }
            }

            /// See `TensorOp::infer`.
            pub fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
                match self { $(Op::$op(op) => op.infer(args)),* }
            }

            /// See `TensorOp::eval`.
            #[must_use]
            pub fn eval(&self, args: &[&Tensor]) -> Tensor {
                match self { $(Op::$op(op) => op.eval(args)),* }
            }

            /// See `TensorOp::kernel`.
            #[must_use]
            pub fn kernel(&self, args: &[&TensorType]) -> Kernel {
                match self { $(Op::$op(op) => op.kernel(args)),* }
            }

            /// See `TensorOp::result`.
            #[must_use]
            pub fn result(&self) -> usize {
                match self { $(Op::$op(op) => op.result()),* }
            }
        }
    };
}

ops! {
    Broadcast, Concat, Const, Conv, Dequantize, Gather, If, Input, Map, MatMul, NonMaxSuppression,
    NonZero, Pad, Pool, Quantize, Reduce, Repeat, Requantize, Reshape, Scatter, Slice, TopK, Transpose,
}

impl Op {
    /// The graphs inside the op.
    #[must_use]
    pub fn bodies(&self) -> Vec<&Body> {
        match self {
            Op::Repeat(op) => vec![&op.body],
            Op::If(op) => vec![&op.then, &op.otherwise],
            _ => Vec::new(),
        }
    }

    /// Which of the results that equal ops compute together this one is, and the op that all of
    /// them are but for that; `None` for ops with one result.
    #[must_use]
    pub fn shared(&self) -> Option<(Op, u32)> {
        match self {
            Op::Repeat(op) => Some((Repeat { result: 0, ..op.clone() }.into(), op.result)),
            Op::If(op) => Some((If { result: 0, ..op.clone() }.into(), op.result)),
            _ => None,
        }
    }
}

/// Declares an op's attributes; the one field list serves storage, printing and parsing.
///
/// A field may have a default, a function of the result's type; it is not printed.
macro_rules! attrs {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$fmeta:meta])* $field:ident: $ty:ty $(= $default:expr)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }

        impl $crate::text::attrs::Attr for $name {
            fn write(
                &self,
                out: &mut String,
                cx: $crate::text::attrs::AttrCx<'_>,
            ) -> std::fmt::Result {
                let mut fields = $crate::text::attrs::FieldWriter::new(out, cx);
                $(fields.field(stringify!($field), &self.$field, attrs!(@ $($default)?))?;)*
                fields.finish()
            }

            fn parse(
                c: &mut $crate::text::cursor::Cursor<'_>,
                result: &TensorType,
            ) -> Result<Self, $crate::text::cursor::ParseError> {
                use $crate::text::attrs::{parse_field, parse_fields, take_field};
                $(let mut $field: Option<$ty> = None;)*
                parse_fields(c, |c, name| match name {
                    $(stringify!($field) => parse_field(c, &mut $field, result),)*
                    _ => Ok(false),
                })?;
                Ok($name {
                    $($field: take_field(
                        c, stringify!($field), $field, attrs!(@ $($default)?), result,
                    )?),*
                })
            }
        }
    };
    (@) => { None };
    (@ $default:expr) => { Some($default) };
}
pub(crate) use attrs;

fn ensure(condition: bool, error: impl FnOnce() -> String) -> Result<(), TypeError> {
    if condition { Ok(()) } else { Err(error()) }
}

fn arity<'a, const N: usize>(args: &[&'a TensorType]) -> Result<[&'a TensorType; N], TypeError> {
    args.try_into().map_err(|_| format!("expected {N} operands, found {}", args.len()))
}

/// The tensor of type `ty` whose elements are `x` at the positions of `from`.
fn gather(x: &Tensor, from: &Walk, ty: TensorType) -> Tensor {
    let mut bytes = vec![0; ty.bytes()];
    let to = Walk::dense(&ty.shape);
    copy_box(&ty.shape, ty.elem.bytes(), (x.bytes(), from), (&mut bytes, &to));
    Tensor::from_bytes(ty, bytes)
}

#[cfg(test)]
mod tests {
    use super::{Op, OpTag};
    use crate::graph::random::op_instance;
    use crate::kernel::eval::eval_kernel;
    use crate::kernel::verify::verify_kernel;
    use crate::rng::Rng;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::TensorType;

    const CASES: u64 = 200;

    /// Bitwise for moves and integers; floats may differ by the rounding of a reordered sum.
    fn agrees(a: Scalar, b: Scalar, scale: f64) -> bool {
        let (x, y) = (a.as_f64(), b.as_f64());
        a == b || a.elem().is_float() && (x - y).abs() <= 1e-5 * scale || x.is_nan() && y.is_nan()
    }

    fn check_agreement(op: &Op, expected: &Tensor, found: &Tensor) {
        assert_eq!(expected.ty, found.ty, "{op:?}");
        let finite = expected.iter().map(|v| v.as_f64().abs()).filter(|v| v.is_finite());
        let scale = finite.fold(1.0, f64::max);
        for (a, b) in expected.iter().zip(found.iter()) {
            assert!(agrees(a, b, scale), "{op:?}\nevaluated {a:?}, kernel {b:?}");
        }
    }

    #[test]
    fn each_op_and_its_kernel_mean_the_same() {
        for &tag in OpTag::ALL {
            if matches!(tag, OpTag::Input | OpTag::Const | OpTag::Repeat | OpTag::If) {
                continue;
            }
            for seed in 0..CASES {
                let (op, args) = op_instance(tag, &mut Rng::new(seed));
                assert_eq!(op.tag(), tag);
                let args: Vec<&Tensor> = args.iter().collect();
                let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
                let expected = op.eval(&args);
                assert_eq!(Ok(&expected.ty), op.infer(&types).as_ref(), "{op:?}");
                let kernel = op.kernel(&types);
                assert_eq!(verify_kernel(&kernel), Ok(()), "{op:?}");
                let found = eval_kernel(&kernel, &args).remove(op.result());
                check_agreement(&op, &expected, &found.reshaped(&expected.ty.shape));
            }
        }
    }
}
