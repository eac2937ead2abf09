//! The text form of schedules: `schedule order(a0, a1) tile(a1:4) vector(a1:4) pack(%p1 by a1:12)`.

use super::cursor::{Cursor, Parse, ParseError};
use super::lex::Kind;
use super::write::{text_of, write_list};
use crate::kernel::schedule::{Pack, Schedule};
use crate::kernel::{AxisId, OperandId};
use std::fmt::{self, Write};

/// A schedule alone, on a line without its end; axes and operands have their numbers as names.
#[must_use]
pub fn print_schedule(schedule: &Schedule) -> String {
    text_of(|out| write_schedule(out, schedule))
}

/// The counterpart of `print_schedule`, for a verifier to check against a kernel.
pub fn parse_schedule_line(text: &str) -> Result<Schedule, ParseError> {
    let c = &mut Cursor::new(text);
    let schedule = parse_schedule(c, &Numbers)?;
    if c.at_kind(Kind::End) { Ok(schedule) } else { Err(c.expected("the end of the line")) }
}

/// What the names of axes and operands mean.
pub(crate) trait Names<'a> {
    fn axis_id(&self, c: &mut Cursor<'a>) -> Parse<AxisId>;
    fn operand_id(&self, c: &mut Cursor<'a>) -> Parse<OperandId>;
}

/// Names as printed: `a3`, `%p1`.
struct Numbers;

impl<'a> Names<'a> for Numbers {
    fn axis_id(&self, c: &mut Cursor<'a>) -> Parse<AxisId> {
        c.numbered("a").map(AxisId::from_u32)
    }

    fn operand_id(&self, c: &mut Cursor<'a>) -> Parse<OperandId> {
        let token = c.value()?;
        let number = token.text.strip_prefix("%p").and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| token.error("expected an operand such as `%p0`"))?;
        Ok(OperandId::from_u32(number))
    }
}

/// A schedule; empty clauses are left out.
pub(crate) fn write_schedule(out: &mut String, schedule: &Schedule) -> fmt::Result {
    out.push_str("schedule");
    write_clause(out, "order", &schedule.order, |out, axis| write!(out, "{axis}"))?;
    write_clause(out, "tile", &schedule.tile, write_factor)?;
    write_clause(out, "vector", &schedule.vector, write_factor)?;
    write_clause(out, "unroll", &schedule.unroll, write_factor)?;
    write_clause(out, "peel", &schedule.peel, |out, axis| write!(out, "{axis}"))?;
    write_clause(out, "matrix", &schedule.matrix, write_factor)?;
    write_clause(out, "pack", &schedule.pack, |out, pack| {
        write!(out, "%{} by ", pack.operand)?;
        write_factor(out, &(pack.axis, pack.block))
    })?;
    write_clause(out, "parts", &schedule.parts, write_factor)
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
pub(crate) fn parse_schedule<'a>(c: &mut Cursor<'a>, names: &impl Names<'a>) -> Parse<Schedule> {
    c.expect("schedule")?;
    let mut schedule = Schedule::default();
    let axis = |c: &mut Cursor<'a>| names.axis_id(c);
    let factor = |c: &mut Cursor<'a>| parse_factor(c, names);
    while !c.at("}") && !c.at_kind(Kind::End) {
        let token = c.peek();
        match c.word("a clause or `}`")? {
            "order" => schedule.order = c.list("(", ")", axis)?,
            "tile" => schedule.tile = c.list("(", ")", factor)?,
            "vector" => schedule.vector = c.list("(", ")", factor)?,
            "unroll" => schedule.unroll = c.list("(", ")", factor)?,
            "peel" => schedule.peel = c.list("(", ")", axis)?,
            "matrix" => schedule.matrix = c.list("(", ")", factor)?,
            "pack" => schedule.pack = c.list("(", ")", |c| parse_pack(c, names))?,
            "parts" => schedule.parts = c.list("(", ")", factor)?,
            other => return Err(token.error(format!("no clause is called `{other}`"))),
        }
    }
    Ok(schedule)
}

fn parse_factor<'a>(c: &mut Cursor<'a>, names: &impl Names<'a>) -> Parse<(AxisId, u32)> {
    let axis = names.axis_id(c)?;
    c.expect(":")?;
    Ok((axis, c.integer()?))
}

fn parse_pack<'a>(c: &mut Cursor<'a>, names: &impl Names<'a>) -> Parse<Pack> {
    let operand = names.operand_id(c)?;
    c.expect("by")?;
    let (axis, block) = parse_factor(c, names)?;
    Ok(Pack { operand, axis, block })
}

#[cfg(test)]
mod tests {
    use super::{parse_schedule_line, print_schedule};

    #[test]
    fn a_schedule_alone_reads_back_as_itself() {
        let text = "schedule order(a1, a0) tile(a0:4, a1:8) vector(a1:4) unroll(a2:2) peel(a0) \
                    matrix(a0:2) pack(%p1 by a1:8)";
        let schedule = parse_schedule_line(text).expect("well formed");
        assert_eq!(print_schedule(&schedule), text);
        for bad in ["schedule tile(b0:4)", "schedule tile(a0:4) }", "schedule pack(%x by a0:1)"] {
            assert!(parse_schedule_line(bad).is_err(), "{bad}");
        }
    }
}
