//! What an operator's import function sees of its node: operands, attributes, the emitter.

use crate::code::Code;
use crate::emit::Emit;
use crate::external::ExternalReader;
use crate::format::Format;
use crate::grid::Value;
use crate::model::{AttrValue, Node};
use crate::tensor::{self, DataType};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::TensorType;

/// One node during its import. Attributes that nothing asks for are an error afterwards.
pub(crate) struct ImportCx<'a> {
    /// Where the primitives go.
    pub emit: &'a mut Emit,
    /// The opset of the node's domain.
    pub opset: i64,
    node: &'a Node,
    inputs: Vec<Option<Value>>,
    attr_read: Vec<bool>,
    stated: Option<Option<&'static Format>>,
    external: &'a ExternalReader<'a>,
}

impl<'a> ImportCx<'a> {
    /// A node with its operands; `None` for operands left out.
    pub(crate) fn new(
        emit: &'a mut Emit,
        node: &'a Node,
        opset: i64,
        inputs: Vec<Option<Value>>,
        external: &'a ExternalReader<'a>,
    ) -> ImportCx<'a> {
        let attr_read = vec![false; node.attrs.len()];
        ImportCx { emit, opset, node, inputs, attr_read, stated: None, external }
    }

    /// The n-th operand's type, as the model declares it.
    pub(crate) fn data_type(&self, n: usize) -> Result<DataType, Diagnostic> {
        let elem = self.ty(n)?.elem;
        Ok(DataType { elem, format: self.inputs[n].and_then(|value| value.format) })
    }

    /// States the narrow type on whose grid the result is, or that it has none, where it does not
    /// follow from the operands.
    pub(crate) fn state_format(&mut self, format: Option<&'static Format>) {
        self.stated = Some(format);
    }

    /// What `state_format` stated.
    pub(crate) fn stated_format(&self) -> Option<Option<&'static Format>> {
        self.stated
    }

    /// The n-th operand, which must be there.
    pub(crate) fn input(&self, n: usize) -> Result<OpId, Diagnostic> {
        self.optional(n).ok_or_else(|| Code::MissingInput.error(format!("operand {n} is left out")))
    }

    /// The n-th operand, if it is there.
    pub(crate) fn optional(&self, n: usize) -> Option<OpId> {
        self.inputs.get(n).copied().flatten().map(|value| value.op)
    }

    /// All operands, none of which may be left out.
    pub(crate) fn inputs(&self) -> Result<Vec<OpId>, Diagnostic> {
        (0..self.inputs.len()).map(|n| self.input(n)).collect()
    }

    /// Number of results that the node names.
    pub(crate) fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    /// The type of the n-th operand.
    pub(crate) fn ty(&self, n: usize) -> Result<TensorType, Diagnostic> {
        Ok(self.emit.ty(self.input(n)?).clone())
    }

    /// The n-th operand's value; an error when it depends on the graph's inputs.
    pub(crate) fn constant(&self, n: usize, what: &str) -> Result<Option<Tensor>, Diagnostic> {
        let Some(x) = self.optional(n) else { return Ok(None) };
        match self.emit.const_tensor(x) {
            Some(tensor) => Ok(Some(tensor.into_owned())),
            None => Err(Code::NonConstantOperand
                .error(format!("operand {n} ({what}) is not known at compile time"))
                .help("make it constant: fix the input shapes and simplify the model")),
        }
    }

    /// The n-th operand's value as integers.
    pub(crate) fn const_i64s(&self, n: usize, what: &str) -> Result<Option<Vec<i64>>, Diagnostic> {
        Ok(self.constant(n, what)?.map(|t| t.to_i64s()))
    }

    /// The n-th operand's value as one number.
    pub(crate) fn const_scalar(&self, n: usize, what: &str) -> Result<Option<Scalar>, Diagnostic> {
        match self.constant(n, what)? {
            None => Ok(None),
            Some(t) if t.numel() == 1 => Ok(Some(t.get(0))),
            Some(t) => Err(Code::ShapeMismatch
                .error(format!("operand {n} ({what}) must have one element, found {}", t.ty))),
        }
    }

    /// An integer attribute.
    pub(crate) fn int(&mut self, name: &str) -> Result<Option<i64>, Diagnostic> {
        match self.attr(name) {
            None => Ok(None),
            Some(AttrValue::Int(v)) => Ok(Some(*v)),
            Some(other) => Err(wrong_kind(name, "an integer", other)),
        }
    }

    /// An integer attribute that is used as a truth value.
    pub(crate) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Diagnostic> {
        Ok(self.int(name)?.map_or(default, |v| v != 0))
    }

    /// A float attribute.
    pub(crate) fn float(&mut self, name: &str, default: f32) -> Result<f32, Diagnostic> {
        match self.attr(name) {
            None => Ok(default),
            Some(AttrValue::Float(v)) => Ok(*v),
            Some(other) => Err(wrong_kind(name, "a float", other)),
        }
    }

    /// A list of strings.
    pub(crate) fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, Diagnostic> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        match self.attr(name) {
            None => Ok(None),
            Some(AttrValue::Strings(v)) => Ok(Some(v.iter().map(text).collect())),
            Some(other) => Err(wrong_kind(name, "a list of strings", other)),
        }
    }

    /// A list of integers.
    pub(crate) fn ints(&mut self, name: &str) -> Result<Option<Vec<i64>>, Diagnostic> {
        match self.attr(name) {
            None => Ok(None),
            Some(AttrValue::Ints(v)) => Ok(Some(v.clone())),
            Some(other) => Err(wrong_kind(name, "a list of integers", other)),
        }
    }

    /// A list of floats.
    pub(crate) fn floats(&mut self, name: &str) -> Result<Option<Vec<f32>>, Diagnostic> {
        match self.attr(name) {
            None => Ok(None),
            Some(AttrValue::Floats(v)) => Ok(Some(v.clone())),
            Some(other) => Err(wrong_kind(name, "a list of floats", other)),
        }
    }

    /// A string attribute.
    pub(crate) fn string(&mut self, name: &str, default: &str) -> Result<String, Diagnostic> {
        match self.attr(name) {
            None => Ok(default.to_owned()),
            Some(AttrValue::Str(v)) => Ok(String::from_utf8_lossy(v).into_owned()),
            Some(other) => Err(wrong_kind(name, "a string", other)),
        }
    }

    /// A tensor attribute, whose type is the result's.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<Option<Tensor>, Diagnostic> {
        match self.attr(name) {
            None => Ok(None),
            Some(AttrValue::Tensor(t)) => {
                let (tensor, ty) = tensor::decode(t.clone(), self.external)?;
                self.state_format(ty.format);
                Ok(Some(tensor))
            }
            Some(other) => Err(wrong_kind(name, "a tensor", other)),
        }
    }

    /// Whether the node has an attribute; does not count as reading it.
    pub(crate) fn has_attr(&self, name: &str) -> bool {
        self.node.attrs.iter().any(|a| a.name == name)
    }

    /// Accepts attributes that do not change the result of inference.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.attr(name);
        }
    }

    /// Refuses a flag attribute other than its default.
    pub(crate) fn require(&mut self, name: &str, value: i64) -> Result<(), Diagnostic> {
        match self.int(name)? {
            Some(v) if v != value => Err(unsupported(name, v)),
            _ => Ok(()),
        }
    }

    /// A dimension attribute: negative values count from the end.
    pub(crate) fn axis(
        &mut self,
        name: &str,
        default: i64,
        rank: usize,
    ) -> Result<usize, Diagnostic> {
        let axis = self.int(name)?.unwrap_or(default);
        normalise_axis(axis, rank)
    }

    /// An error for the first attribute that nothing read.
    pub(crate) fn check_all_read(&self) -> Result<(), Diagnostic> {
        let unread = self.attr_read.iter().position(|read| !read);
        unread.map_or(Ok(()), |at| {
            let attr = &self.node.attrs[at];
            let message =
                format!("{} has no attribute {:?} in this opset", self.node.op_type, attr.name);
            Err(Code::UnknownAttribute.error(message).note(format!("it is {}", attr.value.kind())))
        })
    }

    fn attr(&mut self, name: &str) -> Option<&'a AttrValue> {
        let at = self.node.attrs.iter().position(|a| a.name == name)?;
        self.attr_read[at] = true;
        Some(&self.node.attrs[at].value)
    }
}

/// A dimension in `0..rank`; negative values count from the end.
pub(crate) fn normalise_axis(axis: i64, rank: usize) -> Result<usize, Diagnostic> {
    let positive = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(positive).ok().filter(|&a| a < rank).ok_or_else(|| {
        Code::BadAttribute.error(format!("axis {axis} does not exist in a tensor of rank {rank}"))
    })
}

/// Distinct dimensions in `0..rank`, ascending.
pub(crate) fn normalise_axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, Diagnostic> {
    let dims: Result<Vec<usize>, Diagnostic> =
        axes.iter().map(|&a| normalise_axis(a, rank)).collect();
    let mut dims = dims?;
    dims.sort_unstable();
    if dims.windows(2).any(|w| w[0] == w[1]) {
        return Err(Code::BadAttribute.error(format!("axes {axes:?} name a dimension twice")));
    }
    Ok(dims)
}

/// A legal attribute value that is not supported.
pub(crate) fn unsupported(name: &str, value: impl std::fmt::Display) -> Diagnostic {
    Code::UnsupportedAttribute.error(format!("{name} = {value} is not supported"))
}

/// An attribute value outside the specification.
pub(crate) fn invalid(name: &str, why: impl std::fmt::Display) -> Diagnostic {
    Code::BadAttribute.error(format!("attribute {name:?} {why}"))
}

fn wrong_kind(name: &str, wanted: &str, found: &AttrValue) -> Diagnostic {
    Code::BadAttribute.error(format!("attribute {name:?} must be {wanted}, found {}", found.kind()))
}
