//! Einstein summation: any product of tensors summed over named dimensions.

use super::Import::One;
use super::{ANY, OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::emit::Emit;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::graph::ops::MatMul;
use edgecc_ir::scalar::func::ScalarFn as F;
use edgecc_ir::types::Shape;
use std::collections::BTreeMap;

pub(super) const OPS: &[OnnxOp] = &[row("Einsum", 12, 1..=ANY, One(einsum))];

/// A dimension's name: an ASCII letter, or below 64 the place of a dimension under the ellipsis,
/// counted from the left of the longest one.
type Label = u8;

/// A value whose dimensions have distinct names.
struct Term {
    value: OpId,
    labels: Vec<Label>,
}

/// Extents by name.
type Extents = BTreeMap<Label, usize>;

fn einsum(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let equation = cx.string("equation", "")?;
    let equation: String = equation.split_whitespace().collect();
    let operands = cx.inputs()?;
    let ranks: Vec<usize> = operands.iter().map(|&x| cx.emit.rank(x)).collect();
    let (inputs, output) = parse(&equation, &ranks)?;
    let extents = extents(cx.emit, &operands, &inputs)?;
    let mut terms = Vec::new();
    for (&value, labels) in operands.iter().zip(inputs) {
        terms.push(named(cx.emit, Term { value, labels }, &extents)?);
    }
    contract_all(cx.emit, terms, &output, &extents)
}

/// The names of each operand's dimensions and of the result's.
fn parse(equation: &str, ranks: &[usize]) -> Result<(Vec<Vec<Label>>, Vec<Label>), Diagnostic> {
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != ranks.len() {
        return Err(fault(format!("has {} terms for {} operands", terms.len(), ranks.len())));
    }
    let hidden = |(term, &rank): (&&str, &usize)| {
        let letters = term.bytes().filter(u8::is_ascii_alphabetic).count();
        rank.saturating_sub(letters)
    };
    let longest = terms.iter().zip(ranks).filter(|(t, _)| t.contains('.')).map(hidden).max();
    let ellipsis: Vec<Label> = (0..longest.unwrap_or(0).min(64) as u8).collect();
    let mut inputs = Vec::new();
    for (term, &rank) in terms.iter().zip(ranks) {
        let own = hidden((term, &rank)).min(ellipsis.len());
        let labels = labels(term, &ellipsis[ellipsis.len() - own..])?;
        if labels.len() != rank {
            return Err(fault(format!("names {} dimensions of {rank} in {term:?}", labels.len())));
        }
        inputs.push(labels);
    }
    let output = match right {
        Some(right) => labels(right, &ellipsis)?,
        None => implicit(&inputs, &ellipsis),
    };
    check_output(&inputs, &output)?;
    Ok((inputs, output))
}

fn fault(why: String) -> Diagnostic {
    invalid("equation", why)
}

fn labels(term: &str, ellipsis: &[Label]) -> Result<Vec<Label>, Diagnostic> {
    let parts: Vec<&str> = term.split("...").collect();
    let letters = |part: &str| part.bytes().all(|b| b.is_ascii_alphabetic());
    if parts.len() > 2 || !parts.iter().all(|part| letters(part)) {
        return Err(fault(format!("has the malformed term {term:?}")));
    }
    let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Ok(bytes.join(ellipsis))
}

/// The ellipsis, then the letters that occur once, in order.
fn implicit(inputs: &[Vec<Label>], ellipsis: &[Label]) -> Vec<Label> {
    let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
    inputs.iter().flatten().for_each(|&l| *counts.entry(l).or_default() += 1);
    let once = counts.into_iter().filter(|(l, n)| l.is_ascii_alphabetic() && *n == 1);
    ellipsis.iter().copied().chain(once.map(|(l, _)| l)).collect()
}

fn check_output(inputs: &[Vec<Label>], output: &[Label]) -> Result<(), Diagnostic> {
    let known = |l: &Label| inputs.iter().flatten().any(|i| i == l);
    let repeated = |(n, l): (usize, &Label)| output[..n].contains(l);
    if !output.iter().all(known) || output.iter().enumerate().any(repeated) {
        return Err(fault("has a result with an unknown or repeated dimension".to_owned()));
    }
    Ok(())
}

/// The extent of each name; 1 gives way to any other.
fn extents(emit: &Emit, operands: &[OpId], inputs: &[Vec<Label>]) -> Result<Extents, Diagnostic> {
    let mut extents = Extents::new();
    for (&x, labels) in operands.iter().zip(inputs) {
        for (&label, &extent) in labels.iter().zip(&*emit.shape(x)) {
            let known = extents.entry(label).or_insert(extent);
            if *known == 1 {
                *known = extent;
            }
            if extent != *known && extent != 1 {
                return Err(Code::ShapeMismatch.error(format!(
                    "a dimension of the equation has the extents {known} and {extent}"
                )));
            }
        }
    }
    Ok(extents)
}

/// Takes diagonals of repeated names; drops dimensions that are repeated to their name's extent.
fn named(emit: &mut Emit, mut term: Term, extents: &Extents) -> Result<Term, Diagnostic> {
    let shape = emit.shape(term.value);
    let stays = |d: usize| shape[d] != 1 || extents[&term.labels[d]] == 1;
    let kept: Vec<usize> = (0..shape.rank()).filter(|&d| stays(d)).collect();
    let dims: Vec<usize> = kept.iter().map(|&d| shape[d]).collect();
    term.value = emit.reshape(term.value, &dims)?;
    term.labels = kept.iter().map(|&d| term.labels[d]).collect();
    while let Some((first, second)) = repeated(&term.labels) {
        term = diagonal(emit, &term, first, second)?;
    }
    Ok(term)
}

fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    let earlier = |d: usize| labels[..d].iter().position(|l| *l == labels[d]);
    (0..labels.len()).find_map(|d| earlier(d).map(|e| (e, d)))
}

/// The diagonal of two dimensions, as the last one: every `n + 1`-st element of a matrix.
fn diagonal(emit: &mut Emit, term: &Term, first: usize, second: usize) -> Result<Term, Diagnostic> {
    let label = term.labels[first];
    let rest: Vec<usize> = (0..term.labels.len()).filter(|&d| d != first && d != second).collect();
    let perm = rest.iter().chain(&[first, second]).map(|&d| d as u32).collect();
    let x = emit.transpose(term.value, perm)?;
    let shape = emit.shape(x);
    let (outer, n) = (&shape[..rest.len()], shape[rest.len()]);
    let flat = emit.reshape(x, &[outer, &[n * n]].concat())?;
    let value = emit.slice(flat, rest.len(), (0, n as i64 + 1), n)?;
    let labels = rest.iter().map(|&d| term.labels[d]).chain([label]).collect();
    Ok(Term { value, labels })
}

/// Multiplies from the left and sums each name away as soon as nothing needs it.
fn contract_all(
    emit: &mut Emit,
    terms: Vec<Term>,
    output: &[Label],
    extents: &Extents,
) -> Result<OpId, Diagnostic> {
    let mut terms = terms.into_iter();
    let mut acc = terms.next().ok_or_else(|| Code::MissingInput.error("no operands"))?;
    while let Some(next) = terms.next() {
        let later = terms.as_slice().iter().flat_map(|term| &term.labels);
        let needed: Vec<Label> = output.iter().chain(later).copied().collect();
        let wanted = |other: &Term| [needed.as_slice(), &other.labels].concat();
        let left = sum_away(emit, &acc, &wanted(&next))?;
        let right = sum_away(emit, &next, &wanted(&left))?;
        acc = multiply(emit, &left, &right, &needed, extents)?;
    }
    let acc = sum_away(emit, &acc, output)?;
    spread(emit, &acc, output, extents)
}

/// Sums over the dimensions whose names are not needed.
fn sum_away(emit: &mut Emit, term: &Term, needed: &[Label]) -> Result<Term, Diagnostic> {
    let is_kept = |d: &usize| needed.contains(&term.labels[*d]);
    let (kept, dims): (Vec<usize>, Vec<usize>) = (0..term.labels.len()).partition(is_kept);
    let sum = emit.reduce(F::Add, term.value, &dims)?;
    let shape = emit.shape(sum);
    let extents: Vec<usize> = kept.iter().map(|&d| shape[d]).collect();
    let labels = kept.iter().map(|&d| term.labels[d]).collect();
    Ok(Term { value: emit.reshape(sum, &extents)?, labels })
}

/// Dimensions in the order of `labels`, all of which the term has.
fn ordered(emit: &mut Emit, term: &Term, labels: &[Label]) -> Result<OpId, Diagnostic> {
    let place = |l: &Label| term.labels.iter().position(|t| t == l).map(|d| d as u32);
    let perm = labels.iter().filter_map(place).collect();
    emit.transpose(term.value, perm)
}

/// The product of two terms, summed over the common names that nothing needs: a matrix product
/// over groups of dimensions, or an element-wise one when there is nothing to sum.
fn multiply(
    emit: &mut Emit,
    left: &Term,
    right: &Term,
    needed: &[Label],
    extents: &Extents,
) -> Result<Term, Diagnostic> {
    let (common, rows): (Vec<Label>, Vec<Label>) =
        left.labels.iter().partition(|l| right.labels.contains(l));
    let (batch, summed): (Vec<Label>, Vec<Label>) =
        common.into_iter().partition(|l| needed.contains(l));
    let columns: Vec<Label> =
        right.labels.iter().copied().filter(|l| !left.labels.contains(l)).collect();
    let labels = [batch.as_slice(), &rows, &columns].concat();
    if summed.is_empty() {
        let (a, b) =
            (spread(emit, left, &labels, extents)?, spread(emit, right, &labels, extents)?);
        return Ok(Term { value: emit.map(&[a, b], |b, p| b.mul(p[0], p[1]))?, labels });
    }
    let a = ordered(emit, left, &[batch.as_slice(), &rows, &summed].concat())?;
    let b = ordered(emit, right, &[batch.as_slice(), &summed, &columns].concat())?;
    let size = |labels: &[Label]| -> usize { labels.iter().map(|l| extents[l]).product() };
    let [stack, m, k, n] = [&batch, &rows, &summed, &columns].map(|group| size(group));
    let (a, b) = (emit.reshape(a, &[stack, m, k])?, emit.reshape(b, &[stack, k, n])?);
    let product = emit.op(MatMul::plain(), &[a, b])?;
    let dims: Vec<usize> = labels.iter().map(|l| extents[l]).collect();
    Ok(Term { value: emit.reshape(product, &dims)?, labels })
}

/// The term with exactly these dimensions in this order; those that it lacks are repeated.
fn spread(
    emit: &mut Emit,
    term: &Term,
    labels: &[Label],
    extents: &Extents,
) -> Result<OpId, Diagnostic> {
    let shape: Shape = labels.iter().map(|l| extents[l]).collect();
    let value = ordered(emit, term, labels)?;
    let own = (0..labels.len() as u32).filter(|&d| term.labels.contains(&labels[d as usize]));
    emit.broadcast_at(value, own.collect(), &shape)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_result_that_is_not_stated_has_the_names_that_occur_once() {
        let (inputs, output) = parse("ij,kj", &[2, 2]).expect("well-formed");
        assert_eq!((inputs.concat(), output), (b"ijkj".to_vec(), b"ik".to_vec()));
    }

    #[test]
    fn ellipses_are_aligned_on_the_right() {
        let (inputs, output) = parse("...ij,...jk->...ik", &[4, 3]).expect("well-formed");
        assert_eq!(inputs, [vec![0, 1, b'i', b'j'], vec![1, b'j', b'k']]);
        assert_eq!(output, [0, 1, b'i', b'k']);
    }

    #[test]
    fn malformed_equations_are_refused() {
        for equation in ["i", "ij->k", "ij->ii", "i.j->i", "ij,k->i", "......->"] {
            assert!(parse(equation, &[2]).is_err(), "{equation}");
        }
    }
}
