//! Values that the user gives to inputs: `--const name=value`.

use crate::code::Code;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use std::str::FromStr;

/// A value for an input, which it turns into a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// Numbers as text; they take the input's element type.
    Literal(Literal),
    /// A tensor, of exactly the input's type.
    Tensor(Tensor),
}

/// One number for all elements, or a list, such as `16000` and `[[1, 2], [3, 4]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// `None` for one number that fills any shape.
    shape: Option<Vec<usize>>,
    /// Row-major.
    numbers: Vec<String>,
}

impl Constant {
    /// The shape that the input must have, if the value has one of its own.
    pub(crate) fn shape(&self) -> Option<&[usize]> {
        match self {
            Constant::Literal(literal) => literal.shape.as_deref(),
            Constant::Tensor(tensor) => Some(&tensor.ty.shape),
        }
    }

    /// The value as a tensor of the input's type.
    pub(crate) fn tensor(&self, ty: &TensorType) -> Result<Tensor, Diagnostic> {
        match self {
            Constant::Tensor(tensor) if tensor.ty == *ty => Ok(tensor.clone()),
            Constant::Tensor(tensor) => Err(Code::BadConstant
                .error(format!("the input is {ty}, its constant is {}", tensor.ty))),
            Constant::Literal(literal) => literal.tensor(ty),
        }
    }
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Constant {
        Constant::Tensor(tensor)
    }
}

impl FromStr for Constant {
    type Err = String;

    /// Reads a literal. That its numbers fit the element type is checked with the model at hand.
    fn from_str(text: &str) -> Result<Constant, String> {
        let mut numbers = Vec::new();
        let shape = list(text.trim(), &mut numbers)?;
        let shape = if numbers.len() == 1 && shape.is_empty() { None } else { Some(shape) };
        Ok(Constant::Literal(Literal { shape, numbers }))
    }
}

impl Literal {
    fn tensor(&self, ty: &TensorType) -> Result<Tensor, Diagnostic> {
        let values: Vec<Scalar> =
            self.numbers.iter().map(|n| number(n, ty.elem)).collect::<Result<_, _>>()?;
        Ok(match &self.shape {
            None => Tensor::from_fn(ty.clone(), |_| values[0]),
            Some(_) => Tensor::from_fn(ty.clone(), |at| values[at]),
        })
    }
}

/// Collects the numbers of a number or nested list; its shape, or what is wrong with it.
fn list(text: &str, numbers: &mut Vec<String>) -> Result<Vec<usize>, String> {
    let Some(inside) = text.strip_prefix('[') else {
        if text.is_empty() || text.contains([',', ']', ' ']) {
            return Err(format!("{text:?} is neither a number nor a list such as [1, 2]"));
        }
        numbers.push(text.to_owned());
        return Ok(Vec::new());
    };
    let inside = inside.strip_suffix(']').ok_or_else(|| format!("no ] ends {text:?}"))?;
    let mut shape: Option<Vec<usize>> = None;
    let items = items(inside);
    for item in &items {
        let found = list(item.trim(), numbers)?;
        if *shape.get_or_insert_with(|| found.clone()) != found {
            return Err(format!("the items of {text:?} have different shapes"));
        }
    }
    let mut dims = vec![items.len()];
    dims.extend(shape.unwrap_or_default());
    Ok(dims)
}

/// The parts between commas outside of brackets.
fn items(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn number(text: &str, elem: ElemType) -> Result<Scalar, Diagnostic> {
    let value = match elem {
        ElemType::Bool => text.parse().ok().map(Scalar::bool),
        elem if elem.is_float() => text.parse().ok().map(|v| Scalar::from_f64(elem, v)),
        ElemType::U64 => text.parse().ok().map(|v| Scalar::from_bits(elem, v)),
        elem => text.parse().ok().and_then(|v| {
            let scalar = Scalar::from_i64(elem, v);
            (scalar.as_i64() == v).then_some(scalar)
        }),
    };
    value.ok_or_else(|| Code::BadConstant.error(format!("{text:?} is not a value of type {elem}")))
}

#[cfg(test)]
mod tests {
    use super::Constant;
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    fn tensor(text: &str, elem: ElemType, dims: &[usize]) -> Tensor {
        let constant: Constant = text.parse().expect("a literal");
        constant.tensor(&TensorType::new(elem, dims)).expect("it fits")
    }

    #[test]
    fn literals_take_the_type_of_the_input() {
        assert_eq!(tensor("16000", ElemType::I64, &[]), Tensor::from_i64s(&[], &[16000]));
        assert_eq!(tensor("0.5", ElemType::F32, &[2]), Tensor::from_f32s(&[2], &[0.5; 2]));
        let matrix = tensor("[[1, 2], [3, 4]]", ElemType::I64, &[2, 2]);
        assert_eq!(matrix, Tensor::from_i64s(&[2, 2], &[1, 2, 3, 4]));
        assert_eq!(tensor("true", ElemType::Bool, &[]).bytes(), [1]);
    }

    #[test]
    fn lists_have_a_shape() {
        let shape = |text: &str| {
            let constant: Constant = text.parse().expect("a literal");
            constant.shape().map(<[usize]>::to_vec)
        };
        assert_eq!(shape("7"), None);
        assert_eq!(shape("[7]"), Some(vec![1]));
        assert_eq!(shape("[[1,2,3],[4,5,6]]"), Some(vec![2, 3]));
        assert_eq!(shape("[]"), Some(vec![0]));
    }

    #[test]
    fn malformed_literals_are_refused() {
        for text in ["", "1,2", "[1", "[1,]", "[[1],[2,3]]", "1]"] {
            assert!(text.parse::<Constant>().is_err(), "{text:?}");
        }
        for (text, elem) in [("1.5", ElemType::I64), ("300", ElemType::U8), ("x", ElemType::F32)] {
            let constant: Constant = text.parse().expect("a literal");
            let problem = constant.tensor(&TensorType::new(elem, &[])).expect_err("no value");
            assert_eq!(problem.code, "bad-constant");
        }
    }
}
