//! The text form of kernels.
//!
//! ```text
//! kernels @net ("x": f32[4,8]) -> ("y": f32[4,1])
//!
//! kernel @k0 "rowsum" (%p0: f32[4,8]) -> (%p1: f32[4,1]) {
//!   axes a0:4 | a1:8
//!     %p1[a0, 0] = reduce add from 0 of (x0 = %p0[a0, a1]) -> x0
//!       then (acc) -> mul(acc, 0.125)
//!   schedule tile(a0:4) unroll(a1:8)
//! }
//! ```
//!
//! followed by the program. Axes before `|` are parallel, those after it reduce. Axes are numbered
//! as they appear, unless a `declare` line gives another order.

mod parse;

use super::affine::write_affine;
use super::cursor::Cursor;
use super::number::write_scalar;
use super::program::{
    parse_program, parse_signature, write_consts, write_program, write_signature, write_split,
};
use super::routine::write_routine;
use super::scalar::write_body;
use super::schedule::write_schedule;
use super::tables::{Tables, write_locs};
use super::write::{text_of, write_list, write_string};
use super::{ParseError, Parsed, PrintOptions};
use crate::affine::Affine;
use crate::kernel::{
    Access, AxisId, AxisKind, Index, Kernel, KernelId, Kernels, Operand, OperandId, Outside, Role,
    Stage, Unit,
};
use crate::scalar::ScalarExpr;
use cranelift_entity::PrimaryMap;
use indexmap::IndexSet;
use parse::KernelParser;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Prints kernels, buffers and calls.
#[must_use]
pub fn print_kernels(kernels: &Kernels, options: &PrintOptions) -> String {
    text_of(|out| write_kernels(out, kernels, options))
}

/// Parses kernels, buffers and calls; everything is as written, for `verify` to check.
pub fn parse_kernels(text: &str) -> Result<Parsed<Kernels>, ParseError> {
    let c = &mut Cursor::new(text);
    c.expect("kernels")?;
    let (name, inputs, outputs) = parse_signature(c)?;
    let (mut kernels, mut names) = (PrimaryMap::new(), BTreeMap::new());
    while c.at("kernel") {
        let (name, kernel) = KernelParser::default().parse(c)?;
        names.insert(name, kernels.push(kernel));
    }
    let mut tables = Tables::default();
    let program = parse_program(c, &mut tables, &names)?;
    tables.parse(c)?;
    let (buffers, program) = program.finish(&mut tables)?;
    let (consts, locs, elided) = tables.finish(c)?;
    let ir = Kernels { name, kernels, buffers, consts, inputs, outputs, program, locs };
    Ok(Parsed { ir, elided })
}

/// Prints one kernel, as in a dump of all.
#[must_use]
pub fn print_kernel(id: KernelId, kernel: &Kernel) -> String {
    text_of(|out| write_kernel(out, id, kernel))
}

fn write_kernels(out: &mut String, kernels: &Kernels, options: &PrintOptions) -> fmt::Result {
    out.push_str("kernels ");
    write_signature(out, &kernels.name, &kernels.inputs, &kernels.outputs)?;
    out.push_str("\n\n");
    for (id, kernel) in &kernels.kernels {
        write_kernel(out, id, kernel)?;
        out.push('\n');
    }
    let split = |&id: &KernelId| kernels.kernels.get(id).map_or(0, first_write);
    let consts = write_program(out, &kernels.buffers, &kernels.program, split, options)?;
    write_consts(out, &consts, &kernels.consts, options)?;
    write_locs(out, &kernels.locs, options)
}

/// The number of operands before the first one that is written.
fn first_write(kernel: &Kernel) -> usize {
    kernel.operands.values().take_while(|o| o.role != Role::Write).count()
}

fn write_kernel(out: &mut String, id: KernelId, kernel: &Kernel) -> fmt::Result {
    write!(out, "kernel @{id} ")?;
    write_string(out, &kernel.name)?;
    out.push(' ');
    let operands: Vec<(OperandId, &Operand)> = kernel.operands.iter().collect();
    let (reads, writes) = operands.split_at(first_write(kernel));
    write_split(out, reads, writes, |out, (id, operand)| {
        let role = match operand.role {
            Role::Read if writes.iter().any(|w| w.0 == *id) => "read ",
            Role::Read | Role::Write => "",
            Role::Const => "const ",
            Role::Local => "local ",
        };
        write!(out, "{role}%{id}: {}", operand.ty)
    })?;
    out.push_str(" {\n");
    write_declaration(out, kernel)?;
    write_rows(out, kernel)?;
    kernel.stages.iter().try_for_each(|stage| write_stage(out, kernel, stage))?;
    write_routine(out, kernel)?;
    if let Some(schedule) = &kernel.schedule {
        out.push_str("  ");
        write_schedule(out, schedule)?;
        out.push('\n');
    }
    out.write_str("}\n")
}

/// All axes in numeric order, unless that is the order in which the stages show them.
fn write_declaration(out: &mut String, kernel: &Kernel) -> fmt::Result {
    let shown = |stage| kernel.parallel_axes(stage).chain(kernel.reduce_axes(stage));
    let stages = kernel.stages.iter().flat_map(shown);
    let seen: IndexSet<AxisId> = kernel.rows.iter().copied().chain(stages).collect();
    if seen.iter().copied().eq(kernel.axes.keys()) {
        return Ok(());
    }
    out.push_str("  declare");
    for (id, axis) in &kernel.axes {
        let kind = match axis.kind {
            AxisKind::Parallel => "parallel",
            AxisKind::Reduce => "reduce",
        };
        write!(out, " {kind} {id}:{}", axis.extent)?;
    }
    out.write_char('\n')
}

/// The axes outside all stages.
fn write_rows(out: &mut String, kernel: &Kernel) -> fmt::Result {
    if kernel.rows.is_empty() {
        return Ok(());
    }
    out.push_str("  rows");
    kernel.rows.iter().try_for_each(|&a| write!(out, " {a}:{}", kernel.extent(a)))?;
    out.write_char('\n')
}

fn write_stage(out: &mut String, kernel: &Kernel, stage: &Stage) -> fmt::Result {
    out.push_str("  axes");
    let extent = |axis| kernel.extent(axis);
    kernel.parallel_axes(stage).try_for_each(|a| write!(out, " {a}:{}", extent(a)))?;
    let mut bar = " |";
    for axis in kernel.reduce_axes(stage) {
        write!(out, "{} {axis}:{}", std::mem::take(&mut bar), extent(axis))?;
    }
    out.push_str("\n    ");
    write_access(out, &stage.write)?;
    out.push_str(" = ");
    if let Some(reduce) = &stage.reduce {
        write!(out, "reduce {} from ", reduce.func.info().mnemonic)?;
        write_scalar(out, reduce.init)?;
        out.push_str(" of ");
    }
    write_function(out, &[], &stage.reads, &stage.body)?;
    if !stage.epilogue.is_identity() || !stage.epilogue_reads.is_empty() {
        out.push_str("\n      then ");
        write_function(out, &["acc"], &stage.epilogue_reads, &stage.epilogue)?;
    }
    out.write_char('\n')
}

/// `(acc, x0 = %p0[a0]) -> add(acc, x0)`: free parameters, then those bound to reads.
fn write_function(
    out: &mut String,
    free: &[&str],
    reads: &[Access],
    body: &ScalarExpr,
) -> fmt::Result {
    out.push('(');
    write_list(out, free, |out, name| out.write_str(name))?;
    for (at, read) in reads.iter().enumerate() {
        let separator = if at + free.len() > 0 { ", " } else { "" };
        write!(out, "{separator}x{at} = ")?;
        write_access(out, read)?;
    }
    out.push_str(") -> ");
    let bound = (0..reads.len()).map(|at| format!("x{at}"));
    let names: Vec<String> = free.iter().map(ToString::to_string).chain(bound).collect();
    write_body(out, body, &names)
}

fn write_access(out: &mut String, access: &Access) -> fmt::Result {
    if access.unit == Unit::Word {
        out.push_str("word ");
    }
    write!(out, "%{}[", access.operand)?;
    write_list(out, &access.index, |out, index| match index {
        Index::Affine(affine) => write_place(out, affine),
        Index::Lookup(lookup) => {
            write!(out, "%{}[", lookup.operand)?;
            write_list(out, &lookup.index, write_place)?;
            out.write_char(']')
        }
    })?;
    out.push(']');
    match access.outside {
        Outside::Never => Ok(()),
        Outside::Pad(value) => {
            out.push_str(" else ");
            write_scalar(out, value)
        }
    }
}

fn write_place(out: &mut String, place: &Affine<AxisId>) -> fmt::Result {
    let terms = place.terms().iter().map(|&(axis, c)| (axis.as_u32(), c));
    write_affine(out, 'a', terms, place.constant)
}

#[cfg(test)]
mod tests;
