//! The tensor primitives: one file and one row each.

mod broadcast;
mod concat;
mod constant;
mod conv;
mod fold;
mod input;
mod map;
mod matmul;
mod pad;
mod pool;
mod quant;
mod reduce;
mod reshape;
mod slice;
mod transpose;
mod wide;
mod window;

pub use broadcast::Broadcast;
pub use concat::Concat;
pub use constant::Const;
pub use conv::Conv;
pub use input::Input;
pub use map::Map;
pub use matmul::MatMul;
pub use pad::Pad;
pub use pool::Pool;
pub use quant::{Dequantize, Quantize, Requantize};
pub use reduce::Reduce;
pub use reshape::Reshape;
pub use slice::Slice;
pub use transpose::Transpose;
pub use window::{Layout, Window};

use crate::index::{Walk, copy_box};
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::types::TensorType;

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

    /// What it computes, as a structured kernel with operands `args…, result`.
    fn kernel(&self, args: &[&TensorType]) -> Kernel;
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
        }

        impl Op {
            /// The op's kind.
            #[must_use]
            pub fn tag(&self) -> OpTag {
                match self { $(Op::$op(_) => OpTag::$op),* }
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
        }
    };
}

ops! {
    Broadcast, Concat, Const, Conv, Dequantize, Input, Map, MatMul, Pad, Pool, Quantize, Reduce,
    Requantize, Reshape, Slice, Transpose,
}

/// Declares an op's attributes; the one field list serves storage, printing and parsing.
macro_rules! attrs {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }
    };
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
