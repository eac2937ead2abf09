//! The text form of schedules: `schedule order(a0, a1) tile(a1:4) vector(a1:4) pack(%p1 by a1:12)`.

use super::cursor::{Cursor, Parse};
use super::kernel::KernelParser;
use super::write::write_list;
use crate::kernel::AxisId;
use crate::kernel::schedule::{Pack, Schedule};
use std::fmt::{self, Write};

/// A schedule's line; empty clauses are left out.
pub(crate) fn write_schedule(out: &mut String, schedule: &Schedule) -> fmt::Result {
    out.push_str("  schedule");
    write_clause(out, "order", &schedule.order, |out, axis| write!(out, "{axis}"))?;
    write_clause(out, "tile", &schedule.tile, write_factor)?;
    write_clause(out, "vector", &schedule.vector, write_factor)?;
    write_clause(out, "unroll", &schedule.unroll, write_factor)?;
    write_clause(out, "peel", &schedule.peel, |out, axis| write!(out, "{axis}"))?;
    write_clause(out, "pack", &schedule.pack, |out, pack| {
        write!(out, "%{} by ", pack.operand)?;
        write_factor(out, &(pack.axis, pack.block))
    })?;
    write_clause(out, "parts", &schedule.parts, write_factor)?;
    out.write_char('\n')
}

fn write_factor(out: &mut String, (axis, factor): &(AxisId, u32)) -> fmt::Result {
    write!(out, "{axis}:{factor}")
}

fn write_clause<T>(
    out: &mut String,
    name: &str,
    items: &[T],
    item: impl Fn(&mut String, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(out, " {name}(")?;
    write_list(out, items, item)?;
    out.write_char(')')
}

/// The counterpart of `write_schedule`.
pub(crate) fn parse_schedule<'a>(c: &mut Cursor<'a>, kernel: &KernelParser<'a>) -> Parse<Schedule> {
    c.expect("schedule")?;
    let mut schedule = Schedule::default();
    let axis = |c: &mut Cursor<'a>| kernel.axis_id(c);
    let factor = |c: &mut Cursor<'a>| parse_factor(c, kernel);
    while !c.at("}") {
        let token = c.peek();
        match c.word("a clause or `}`")? {
            "order" => schedule.order = c.list("(", ")", axis)?,
            "tile" => schedule.tile = c.list("(", ")", factor)?,
            "vector" => schedule.vector = c.list("(", ")", factor)?,
            "unroll" => schedule.unroll = c.list("(", ")", factor)?,
            "peel" => schedule.peel = c.list("(", ")", axis)?,
            "pack" => schedule.pack = c.list("(", ")", |c| parse_pack(c, kernel))?,
            "parts" => schedule.parts = c.list("(", ")", factor)?,
            other => return Err(token.error(format!("no clause is called `{other}`"))),
        }
    }
    Ok(schedule)
}

fn parse_factor<'a>(c: &mut Cursor<'a>, kernel: &KernelParser<'a>) -> Parse<(AxisId, u32)> {
    let axis = kernel.axis_id(c)?;
    c.expect(":")?;
    Ok((axis, c.integer()?))
}

fn parse_pack<'a>(c: &mut Cursor<'a>, kernel: &KernelParser<'a>) -> Parse<Pack> {
    let operand = kernel.operand_id(c)?;
    c.expect("by")?;
    let (axis, block) = parse_factor(c, kernel)?;
    Ok(Pack { operand, axis, block })
}
