//! Element types that exist only at the door: narrow floats and integers below a byte.
//!
//! Inside the graph a value of such a type is carried by an ordinary type that represents all its
//! numbers: floats by `f32`, integers by 8 bits. It is *on its grid*: each element is one of the
//! narrow type's numbers. Model inputs, outputs and weights hold *codes*, the bit patterns.

mod exponent;
mod float;

use crate::emit::{Body, Emit};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::{Map, Op};
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;
use exponent::{decoded_exponent, encoded_exponent, power_of_two};
use float::{Float, Special};

/// One narrow type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// `TensorProto.DataType`.
    pub code: i32,
    /// ONNX's name.
    pub name: &'static str,
    /// Bits of a code; several codes share a byte in a file, the first in the low bits.
    pub bits: u32,
    /// Type of a code at the model's inputs and outputs, where it has an element of its own.
    pub storage: ElemType,
    class: Class,
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Int,
    Float(Float),
    /// An exponent alone, without sign; all ones is NaN.
    Exponent,
}

/// How a conversion to a narrow type treats what it cannot represent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversion {
    /// Numbers beyond the range become its end and not infinity or NaN; 8-bit floats only.
    pub saturate: bool,
    /// The direction in which a mantissa is dropped; `float8e8m0` only.
    pub direction: Direction,
}

/// Rounding to a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Up,
    Down,
    /// Ties go up.
    Nearest,
}

impl Default for Conversion {
    fn default() -> Conversion {
        Conversion { saturate: true, direction: Direction::Up }
    }
}

const fn float(
    (code, name): (i32, &'static str),
    storage: ElemType,
    (exponent, mantissa, bias): (u32, u32, i32),
    special: Special,
) -> Format {
    let class = Class::Float(Float { exponent, mantissa, bias, special });
    Format { code, name, bits: 1 + exponent + mantissa, storage, class }
}

const fn int(code: i32, name: &'static str, bits: u32, storage: ElemType) -> Format {
    Format { code, name, bits, storage, class: Class::Int }
}

static FORMATS: &[Format] = &[
    float((16, "bfloat16"), ElemType::U16, (8, 7, 127), Special::Ieee),
    float((17, "float8e4m3fn"), ElemType::U8, (4, 3, 7), Special::AllOnes),
    float((18, "float8e4m3fnuz"), ElemType::U8, (4, 3, 8), Special::NegativeZero),
    float((19, "float8e5m2"), ElemType::U8, (5, 2, 15), Special::Ieee),
    float((20, "float8e5m2fnuz"), ElemType::U8, (5, 2, 16), Special::NegativeZero),
    int(21, "uint4", 4, ElemType::U8),
    int(22, "int4", 4, ElemType::I8),
    float((23, "float4e2m1"), ElemType::U8, (2, 1, 1), Special::None),
    Format { code: 24, name: "float8e8m0", bits: 8, storage: ElemType::U8, class: Class::Exponent },
    int(25, "uint2", 2, ElemType::U8),
    int(26, "int2", 2, ElemType::I8),
    float((27, "float6e2m3"), ElemType::U8, (2, 3, 1), Special::None),
    float((28, "float6e3m2"), ElemType::U8, (3, 2, 3), Special::None),
];

/// Half floats, which the graph has itself; for their bit patterns.
pub(crate) static HALF: Format = float((10, "float16"), ElemType::U16, (5, 10, 15), Special::Ieee);

/// The narrow type with this `TensorProto.DataType`.
pub(crate) fn from_code(code: i32) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.code == code)
}

impl Format {
    /// The type that carries values inside the graph.
    pub(crate) fn carrier(&self) -> ElemType {
        match self.class {
            Class::Int => self.storage,
            Class::Float(_) | Class::Exponent => ElemType::F32,
        }
    }

    /// The smallest and largest number of an integer type.
    pub(crate) fn int_range(&self) -> Option<(i64, i64)> {
        match self.class {
            Class::Int if self.storage.is_signed_int() => {
                Some((-1 << (self.bits - 1), (1 << (self.bits - 1)) - 1))
            }
            Class::Int => Some((0, (1 << self.bits) - 1)),
            Class::Float(_) | Class::Exponent => None,
        }
    }

    /// The values of codes.
    pub(crate) fn decode(&self, emit: &mut Emit, codes: OpId) -> Result<OpId, Diagnostic> {
        emit.map(&[codes], |b, p| self.decoded(b, p[0]))
    }

    /// The values of constant codes.
    pub(crate) fn decode_tensor(&self, codes: Tensor) -> Tensor {
        let body = Body::expr(&[codes.ty.elem], |b, p| self.decoded(b, p[0]));
        if body.is_identity() { codes } else { Op::from(Map { body }).eval(&[&codes]) }
    }

    /// The codes of values on the grid.
    pub(crate) fn encode(&self, emit: &mut Emit, values: OpId) -> Result<OpId, Diagnostic> {
        emit.map(&[values], |b, p| match &self.class {
            Class::Int => p[0],
            Class::Float(float) => {
                let code = float.encoded(b, p[0]);
                b.cast(self.storage, code)
            }
            Class::Exponent => {
                let code = encoded_exponent(b, p[0]);
                b.cast(self.storage, code)
            }
        })
    }

    /// Values on the grid from values of any type.
    pub(crate) fn convert(
        &self,
        emit: &mut Emit,
        x: OpId,
        how: Conversion,
    ) -> Result<OpId, Diagnostic> {
        emit.map(&[x], |b, p| match &self.class {
            Class::Int => {
                let wide = b.cast(ElemType::I32, p[0]);
                let wrapped = self.low_bits(b, wide);
                b.cast(self.storage, wrapped)
            }
            Class::Float(float) => {
                let x = b.cast(ElemType::F32, p[0]);
                float.rounded(b, x, how.saturate)
            }
            Class::Exponent => {
                let x = b.cast(ElemType::F32, p[0]);
                power_of_two(b, x, how)
            }
        })
    }

    /// The integer that the low bits of an `i32` stand for.
    fn low_bits(&self, b: &mut Body<'_>, wide: NodeId) -> NodeId {
        if !self.storage.is_signed_int() {
            return b.bits(F::And, wide, (1 << self.bits) - 1);
        }
        let unused = 32 - self.bits as i32;
        let high = b.bits(F::Shl, wide, unused);
        b.bits(F::Shr, high, unused)
    }

    fn decoded(&self, b: &mut Body<'_>, code: NodeId) -> NodeId {
        match &self.class {
            Class::Int => code,
            Class::Float(float) => {
                let code = b.cast(ElemType::I32, code);
                float.decoded(b, code)
            }
            Class::Exponent => {
                let code = b.cast(ElemType::I32, code);
                decoded_exponent(b, code)
            }
        }
    }
}

fn i32(value: i32) -> Scalar {
    Scalar::from_i64(ElemType::I32, i64::from(value))
}

/// Operations on `i32` bits and `f32` numbers with a literal.
impl Body<'_> {
    fn bits(&mut self, func: F, a: NodeId, literal: i32) -> NodeId {
        let literal = self.literal(i32(literal));
        self.f2(func, a, literal)
    }

    fn times(&mut self, a: NodeId, factor: f64) -> NodeId {
        let factor = self.single(factor);
        self.mul(a, factor)
    }

    fn single(&mut self, value: f64) -> NodeId {
        self.literal(Scalar::f32(value as f32))
    }

    fn bitcast(&mut self, a: NodeId) -> NodeId {
        self.f1(F::Bitcast, a)
    }

    /// `if x is NaN then nan else y`.
    fn unless_nan(&mut self, x: NodeId, y: NodeId, nan: NodeId) -> NodeId {
        let ordered = self.f2(F::Eq, x, x);
        self.select(ordered, y, nan)
    }
}

#[cfg(test)]
mod tests {
    use super::{Conversion, Direction, FORMATS, Format, from_code};
    use crate::emit::Emit;
    use edgecc_ir::graph::OpId;
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    fn folded(emit: &Emit, x: OpId) -> Tensor {
        emit.const_tensor(x).expect("a constant").into_owned()
    }

    fn converted(code: i32, how: Conversion, xs: &[f32]) -> Vec<f32> {
        let mut emit = Emit::new("g");
        let x = emit.constant(Tensor::from_f32s(&[xs.len()], xs));
        let format = from_code(code).expect("a narrow type");
        let y = format.convert(&mut emit, x, how).expect("a number");
        folded(&emit, y).to_f32s()
    }

    fn all_codes(format: &Format) -> Tensor {
        let count = 1usize << format.bits;
        let ty = TensorType::new(format.storage, &[count]);
        Tensor::from_fn(ty, |i| edgecc_ir::tensor::Scalar::from_i64(format.storage, i as i64))
    }

    #[test]
    fn every_code_of_a_float_returns_through_its_number() {
        for format in FORMATS.iter().filter(|f| f.carrier() == ElemType::F32) {
            let codes = all_codes(format);
            let mut emit = Emit::new("g");
            let x = emit.constant(codes.clone());
            let values = format.decode(&mut emit, x).expect("codes");
            let same = format.convert(
                &mut emit,
                values,
                Conversion { saturate: false, ..Conversion::default() },
            );
            let same = same.expect("numbers");
            let back = format.encode(&mut emit, same).expect("numbers");
            let (values, back) = (folded(&emit, values), folded(&emit, back));
            for i in 0..codes.numel() {
                let is_nan = values.get(i).as_f64().is_nan();
                assert!(is_nan || codes.get(i) == back.get(i), "{} {i}", format.name);
            }
        }
    }

    #[test]
    fn numbers_round_to_even_and_saturate_on_request() {
        let open = Conversion { saturate: false, ..Conversion::default() };
        let xs = [0.0195, 17.0, 19.0, 464.1, f32::INFINITY];
        let e4m3 = converted(17, Conversion::default(), &xs);
        assert_eq!(e4m3, [0.019_531_25, 16.0, 20.0, 448.0, 448.0]);
        assert!(converted(17, open, &xs)[3..].iter().all(|v| v.is_nan()));
        assert_eq!(converted(19, open, &[-70_000.0]), [f32::NEG_INFINITY]);
        assert_eq!(
            converted(16, open, &[1.003_906_3, 1.011_718_8, f32::MAX]),
            [1.0, 1.015_625, f32::INFINITY]
        );
        assert_eq!(converted(23, open, &[0.25, 0.75, 5.0, -9.0]), [0.0, 1.0, 4.0, -6.0]);
    }

    #[test]
    fn exponents_are_rounded_in_three_ways() {
        let with = |direction| {
            converted(24, Conversion { direction, ..Conversion::default() }, &[3.0, 5.0, 0.0])
        };
        let tiny = 2f32.powi(-127);
        assert_eq!(with(Direction::Up), [4.0, 8.0, tiny]);
        assert_eq!(with(Direction::Down), [2.0, 4.0, tiny]);
        assert_eq!(with(Direction::Nearest), [4.0, 4.0, tiny]);
    }

    #[test]
    fn integers_keep_their_low_bits() {
        let mut emit = Emit::new("g");
        let x = emit.constant(Tensor::from_f32s(&[3], &[-3.9, 8.0, 15.0]));
        let int4 = from_code(22).expect("int4");
        let y = int4.convert(&mut emit, x, Conversion::default()).expect("numbers");
        assert_eq!(folded(&emit, y).to_i64s(), [-3, -8, -1]);
    }
}
