//! Input shapes: binds named and unnamed dimensions to the values given by the user.

use crate::code::Code;
use crate::given::Constant;
use crate::model::{Dim, ValueInfo, ValueType};
use crate::tensor::{check_size, data_type};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::suggest;
use edgecc_ir::types::{Shape, TensorType};
use std::collections::BTreeMap;

/// What the user said about shapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bindings<'a> {
    /// `--dim name=value`.
    pub dims: &'a [(String, usize)],
    /// `--shape input:1x3x224x224`.
    pub shapes: &'a [(String, Vec<usize>)],
    /// `--const input=[1,2,3]`.
    pub consts: &'a [(String, Constant)],
}

/// The static type of each input, `None` where a problem was found; all problems are collected.
pub(crate) fn resolve(
    inputs: &[&ValueInfo],
    bindings: Bindings<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Option<TensorType>> {
    check_names(inputs, bindings, problems);
    let named = bind(inputs, bindings, problems);
    let mut unset = Unset::default();
    let mut types = Vec::new();
    for input in inputs {
        let resolved = input_type(input, bindings, &named, &mut unset);
        types.push(resolved.unwrap_or_else(|problem| {
            problems.push(problem.at(format!("graph input {:?}", input.name)));
            None
        }));
    }
    problems.extend(unset.report());
    types
}

/// Dimensions without a value, and the flags that would set them.
#[derive(Default)]
struct Unset {
    notes: Vec<String>,
    flags: Vec<String>,
}

impl Unset {
    fn add(&mut self, note: String, flag: String) {
        self.notes.push(note);
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    fn report(self) -> Option<Diagnostic> {
        let count = self.notes.len();
        let problem = match count {
            0 => return None,
            1 => Code::DynamicShape.error("a dimension of an input has no value"),
            _ => Code::DynamicShape.error(format!("{count} dimensions of inputs have no value")),
        };
        let problem = self.notes.into_iter().fold(problem, Diagnostic::note);
        Some(problem.help(format!("pass {}", self.flags.join(" "))))
    }
}

fn declared(input: &ValueInfo) -> &[Dim] {
    match &input.ty {
        ValueType::Tensor(_, Some(dims)) => dims,
        ValueType::Tensor(_, None) | ValueType::Other(_) => &[],
    }
}

fn given<'a>(input: &ValueInfo, bindings: Bindings<'a>) -> Option<&'a [usize]> {
    let shape = bindings.shapes.iter().find(|(name, _)| *name == input.name);
    let constant = bindings.consts.iter().find(|(name, _)| *name == input.name);
    shape.map(|(_, dims)| dims.as_slice()).or_else(|| constant.and_then(|(_, c)| c.shape()))
}

fn check_names(inputs: &[&ValueInfo], bindings: Bindings<'_>, problems: &mut Vec<Diagnostic>) {
    let shapes = bindings.shapes.iter().map(|(name, _)| name);
    for name in shapes.chain(bindings.consts.iter().map(|(name, _)| name)) {
        if !inputs.iter().any(|i| i.name == *name) {
            let names = inputs.iter().map(|i| i.name.as_str());
            let problem = Code::UnknownInput.error(format!("the model has no input {name:?}"));
            problems.push(problem.help(suggest::help("inputs", name, names)));
        }
    }
    let known = named_dims(inputs);
    for (name, _) in bindings.dims {
        if !known.contains(&name.as_str()) {
            let problem = Code::UnknownDim.error(format!("no input has a dimension {name:?}"));
            let names = known.iter().copied();
            problems.push(problem.help(suggest::help("named dimensions", name, names)));
        }
    }
}

fn named_dims<'a>(inputs: &[&'a ValueInfo]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for dim in inputs.iter().flat_map(|i| declared(i)) {
        match dim {
            Dim::Named(name) if !names.contains(&name.as_str()) => names.push(name.as_str()),
            Dim::Named(_) | Dim::Known(_) | Dim::Unknown => {}
        }
    }
    names
}

/// Values of named dimensions, from `--dim` and from the shapes of inputs that use the name.
fn bind<'a>(
    inputs: &[&'a ValueInfo],
    bindings: Bindings<'a>,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<&'a str, usize> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let flags = bindings.dims.iter().map(|(name, value)| (name.as_str(), *value));
    let shapes = inputs.iter().flat_map(|input| {
        let values = given(input, bindings).unwrap_or_default();
        declared(input).iter().zip(values).filter_map(|(dim, &value)| match dim {
            Dim::Named(name) => Some((name.as_str(), value)),
            Dim::Known(_) | Dim::Unknown => None,
        })
    });
    for (name, value) in flags.chain(shapes) {
        let bound = *named.entry(name).or_insert(value);
        if bound != value {
            problems.push(
                Code::ShapeOption
                    .error(format!("dimension {name:?} is given the values {bound} and {value}")),
            );
        }
    }
    named
}

/// `Ok(None)` when dimensions are unset, which is reported for all inputs together.
fn input_type(
    input: &ValueInfo,
    bindings: Bindings<'_>,
    named: &BTreeMap<&str, usize>,
    unset: &mut Unset,
) -> Result<Option<TensorType>, Diagnostic> {
    let (code, dims) = match &input.ty {
        ValueType::Tensor(code, dims) => (*code, dims.as_deref()),
        ValueType::Other(what) => {
            return Err(Code::UnsupportedType
                .error(format!("an input is {what}; only tensors are supported")));
        }
    };
    let elem = data_type(code)?.storage();
    let shape = match (given(input, bindings), dims) {
        (Some(shape), dims) => {
            check_given(shape, dims)?;
            Shape::new(shape)
        }
        (None, Some(dims)) => match declared_shape(input, dims, named, unset) {
            Some(shape) => shape,
            None => return Ok(None),
        },
        (None, None) => {
            let note = format!("input {:?} has no declared shape", input.name);
            unset.add(note, format!("--shape {}:<d0>x<d1>x…", input.name));
            return Ok(None);
        }
    };
    let ty = TensorType { elem, shape };
    check_size(&ty)?;
    Ok(Some(ty))
}

fn check_given(shape: &[usize], dims: Option<&[Dim]>) -> Result<(), Diagnostic> {
    let Some(dims) = dims else { return Ok(()) };
    let fits = |(dim, &value): (&Dim, &usize)| match dim {
        Dim::Known(extent) => *extent == value,
        Dim::Named(_) | Dim::Unknown => true,
    };
    if shape.len() == dims.len() && dims.iter().zip(shape).all(fits) {
        return Ok(());
    }
    let wanted: Vec<String> = dims.iter().map(describe).collect();
    Err(Code::ShapeOption
        .error(format!("the shape given is {}", join(shape.iter().map(ToString::to_string))))
        .note(format!("the model declares {}", join(wanted.into_iter()))))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("x")
}

fn describe(dim: &Dim) -> String {
    match dim {
        Dim::Known(extent) => extent.to_string(),
        Dim::Named(name) => name.clone(),
        Dim::Unknown => "?".to_owned(),
    }
}

fn declared_shape(
    input: &ValueInfo,
    dims: &[Dim],
    named: &BTreeMap<&str, usize>,
    unset: &mut Unset,
) -> Option<Shape> {
    let value = |dim: &Dim| match dim {
        Dim::Known(extent) => Some(*extent),
        Dim::Named(name) => named.get(name.as_str()).copied(),
        Dim::Unknown => None,
    };
    let shape: Option<Shape> = dims.iter().map(value).collect();
    let has_unnamed = dims.contains(&Dim::Unknown);
    for (position, dim) in dims.iter().enumerate().filter(|(_, d)| value(d).is_none()) {
        let (note, flag) = match dim {
            Dim::Named(name) if !has_unnamed => (
                format!("dimension {position} of input {:?} is named {name:?}", input.name),
                format!("--dim {name}=<n>"),
            ),
            Dim::Named(_) | Dim::Known(_) | Dim::Unknown => (
                format!("dimension {position} of input {:?} is {:?}", input.name, describe(dim)),
                format!("--shape {}:{}", input.name, template(dims, named)),
            ),
        };
        unset.add(note, flag);
    }
    shape
}

/// The declared shape with a placeholder for each value to fill in.
fn template(dims: &[Dim], named: &BTreeMap<&str, usize>) -> String {
    join(dims.iter().map(|dim| match dim {
        Dim::Known(extent) => extent.to_string(),
        Dim::Named(name) => match named.get(name.as_str()) {
            Some(value) => value.to_string(),
            None => format!("<{name}>"),
        },
        Dim::Unknown => "<n>".to_owned(),
    }))
}
