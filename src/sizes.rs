//! One object for several sizes of a model: each size is planned by itself, then all are emitted
//! together and share constants and code.

use crate::code::Code;
use crate::driver::{self, Compiled, Observer, Planned, Source};
use crate::failure::Failure;
use crate::options::{Options, identifier};
use crate::report::{Report, SizeFacts};
use crate::target;
use edgecc_backend::header::sizes::{self, Sizes, Variant};
use edgecc_ir::diag::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most sizes in one object.
pub const MAX_SIZES: usize = 64;

/// A model in one or several sizes.
#[derive(Debug)]
pub struct Set {
    /// Each size; all share one object.
    pub sizes: Vec<Compiled>,
    /// The object.
    pub object: Arc<Vec<u8>>,
    /// The C header.
    pub header: String,
    /// The Rust module.
    pub rust: String,
    /// What is in the object.
    pub report: Report,
    /// Problems that did not stop compilation.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles a model in one size, or in all of `options.sizes`.
///
/// # Errors
/// Every problem with the model or the options in the first size that has any.
///
/// # Panics
/// As `driver::compile`.
pub fn build(
    source: &Source<'_>,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Set, Failure> {
    match options.sizes.is_empty() {
        true => driver::compile(source, options, observe).map(single),
        false => several(source, options, observe),
    }
}

fn single(compiled: Compiled) -> Set {
    Set {
        object: Arc::clone(&compiled.code.object),
        header: compiled.header.clone(),
        rust: compiled.rust.clone(),
        report: compiled.report.clone(),
        warnings: compiled.warnings.clone(),
        sizes: vec![compiled],
    }
}

/// Compiles a model for each combination of `options.sizes`; `observe` sees the passes of one size
/// after those of another.
fn several(
    source: &Source<'_>,
    options: &Options,
    observe: &mut Observer<'_>,
) -> Result<Set, Failure> {
    let name = driver::model_name(source, options)?;
    let target = target::resolve(&options.target)?;
    let choices = combinations(&options.sizes)?;
    let mut planned = Vec::new();
    for choice in &choices {
        planned.push(driver::plan(source, &target, &one(options, &name, choice), observe)?);
    }
    check_states(&planned)?;
    let programs: Vec<_> = planned.iter().map(|p| &p.loops).collect();
    let emit = driver::emit_options(planned[0].states.clone());
    let artifacts = edgecc_backend::emit_all(&programs, &target, &emit)?;
    let compiled = planned
        .into_iter()
        .zip(artifacts)
        .map(|(planned, code)| driver::describe(planned, target.clone(), code))
        .collect::<Result<Vec<Compiled>, Failure>>()?;
    let described = Sizes {
        name: &name,
        dims: options.sizes.keys().map(String::as_str).collect(),
        variants: compiled.iter().zip(&choices).map(|(c, choice)| variant(c, choice)).collect(),
    };
    let (header, rust) = (sizes::c(&described)?, sizes::rust(&described)?);
    Ok(Set {
        object: Arc::clone(&compiled[0].code.object),
        header,
        rust,
        report: report(&name, &compiled, &choices),
        warnings: compiled[0].warnings.clone(),
        sizes: compiled,
    })
}

/// A value for each dimension.
type Choice = BTreeMap<String, usize>;

/// All combinations, the last dimension's values changing fastest.
fn combinations(sizes: &BTreeMap<String, Vec<usize>>) -> Result<Vec<Choice>, Diagnostic> {
    let mut choices = vec![Choice::new()];
    for (dim, values) in sizes {
        let mut distinct = values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if values.is_empty() || distinct.len() != values.len() {
            return Err(Code::BadSizes.error(format!("the values of {dim:?} are not distinct")));
        }
        if choices.len() * values.len() > MAX_SIZES {
            let message = format!("there are more than {MAX_SIZES} combinations of sizes");
            return Err(Code::BadSizes.error(message));
        }
        choices = choices.iter().flat_map(|choice| extended(choice, dim, values)).collect();
    }
    Ok(choices)
}

fn extended(choice: &Choice, dim: &str, values: &[usize]) -> Vec<Choice> {
    let with = |value: &usize| {
        let mut choice = choice.clone();
        choice.insert(dim.to_owned(), *value);
        choice
    };
    values.iter().map(with).collect()
}

/// The options of one size.
fn one(options: &Options, name: &str, choice: &Choice) -> Options {
    let parts = choice.iter().map(|(dim, value)| format!("_{}{value}", identifier(dim)));
    let mut dims = options.dims.clone();
    dims.extend(choice.clone());
    Options {
        name: Some(name.to_owned() + &parts.collect::<String>()),
        dims,
        sizes: BTreeMap::new(),
        ..options.clone()
    }
}

/// One state serves all sizes, so that a stream may change its size.
fn check_states(planned: &[Planned]) -> Result<(), Diagnostic> {
    let types = |p: &Planned| -> Vec<_> {
        p.states.iter().map(|s| p.loops.inputs[s.input as usize].ty.clone()).collect()
    };
    let first = types(&planned[0]);
    match planned.iter().find(|p| types(p) != first) {
        None => Ok(()),
        Some(other) => Err(Code::BadSizes.error(format!(
            "a state of {} has another type than in {}",
            other.loops.name, planned[0].loops.name
        ))),
    }
}

fn variant<'a>(compiled: &'a Compiled, choice: &Choice) -> Variant<'a> {
    Variant {
        loops: &compiled.loops,
        artifact: &compiled.code,
        values: choice.values().copied().collect(),
    }
}

/// The report of the size with the most work, with the memory that is enough for each.
fn report(name: &str, compiled: &[Compiled], choices: &[Choice]) -> Report {
    let reports = || compiled.iter().map(|c| &c.report);
    let largest = reports().max_by_key(|r| r.macs).expect("there is a size");
    let facts = |(report, dims): (&Report, &Choice)| SizeFacts {
        name: report.name.clone(),
        dims: dims.clone(),
        macs: report.macs,
        arena_bytes: report.arena_bytes,
        stack_bytes: report.stack_bytes,
    };
    Report {
        name: name.to_owned(),
        arena_bytes: reports().map(|r| r.arena_bytes).max().unwrap_or(0),
        arena_lower_bound: reports().map(|r| r.arena_lower_bound).max().unwrap_or(0),
        arena_align: reports().map(|r| r.arena_align).max().unwrap_or(1),
        stack_bytes: reports().map(|r| r.stack_bytes).max().unwrap_or(0),
        sizes: reports().zip(choices).map(facts).collect(),
        ..largest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::combinations;
    use std::collections::BTreeMap;

    fn count(sizes: &[(&str, &[usize])]) -> Option<usize> {
        let sizes: BTreeMap<_, _> =
            sizes.iter().map(|(dim, values)| ((*dim).to_owned(), values.to_vec())).collect();
        combinations(&sizes).ok().map(|choices| choices.len())
    }

    #[test]
    fn every_combination_is_a_size_within_the_limit() {
        assert_eq!(count(&[("h", &[1, 2]), ("w", &[3, 4, 5])]), Some(6));
        assert_eq!(count(&[("h", &[1, 1])]), None);
        assert_eq!(count(&[("h", &[])]), None);
        let many: Vec<usize> = (0..9).collect();
        assert_eq!(count(&[("h", &many), ("w", &many)]), None);
    }
}
