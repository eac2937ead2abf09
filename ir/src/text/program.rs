//! What kernels and loops share: ports, operand lists, and the program of calls over buffers.
//!
//! ```text
//! program {
//!   %b0 = input 0 : f32[1,4]
//!   %b1 = const @c0 : f32[1,4]
//!   %b2 = output 0 : f32[1,4]
//!   call @k0 (%b0, %b1) -> (%b2)
//! }
//! ```

use super::PrintOptions;
use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use super::tables::{ConstPool, LocRef, Tables, parse_loc_ref, write_const, write_loc_ref};
use super::write::{write_list, write_string, write_symbol};
use crate::kernel::{Buffer, BufferId, ConstId, Home, Port};
use crate::loc::LocId;
use cranelift_entity::PrimaryMap;
use indexmap::IndexSet;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

/// `@name ("x": f32[4]) -> ("y": f32[4])`.
pub(crate) fn write_signature(
    out: &mut String,
    name: &str,
    inputs: &[Port],
    outputs: &[Port],
) -> fmt::Result {
    write_symbol(out, name)?;
    out.push(' ');
    write_split(out, inputs, outputs, |out, port| {
        write_string(out, &port.name)?;
        write!(out, ": {}", port.ty)
    })
}

/// The counterpart of `write_signature`.
pub(crate) fn parse_signature(c: &mut Cursor<'_>) -> Parse<(String, Vec<Port>, Vec<Port>)> {
    let name = c.symbol()?;
    let inputs = c.list("(", ")", parse_port)?;
    c.expect("->")?;
    Ok((name, inputs, c.list("(", ")", parse_port)?))
}

fn parse_port(c: &mut Cursor<'_>) -> Parse<Port> {
    let name = c.string()?;
    c.expect(":")?;
    Ok(Port { name, ty: c.tensor_type()? })
}

/// `(before…) -> (after…)`.
pub(crate) fn write_split<T>(
    out: &mut String,
    before: &[T],
    after: &[T],
    item: impl Fn(&mut String, &T) -> fmt::Result,
) -> fmt::Result {
    out.push('(');
    write_list(out, before, &item)?;
    out.push_str(") -> (");
    write_list(out, after, &item)?;
    out.write_char(')')
}

/// A call as written: who, how many operands come before the arrow, the buffers, the origin.
pub(crate) struct CallLine<'a, F> {
    pub(crate) callee: F,
    pub(crate) split: usize,
    pub(crate) args: &'a [BufferId],
    pub(crate) loc: LocId,
}

/// The program and its constants; returns what the constant table has to show.
pub(crate) fn write_program<'a, F: Display>(
    out: &mut String,
    buffers: &PrimaryMap<BufferId, Buffer>,
    calls: impl Iterator<Item = CallLine<'a, F>>,
    options: &PrintOptions,
) -> Result<IndexSet<ConstId>, fmt::Error> {
    let mut consts = IndexSet::new();
    out.push_str("program {\n");
    for (id, buffer) in buffers {
        write!(out, "  %{id} = ")?;
        match buffer.home {
            Home::Input(index) => write!(out, "input {index}")?,
            Home::Output(index) => write!(out, "output {index}")?,
            Home::Const(id) => write!(out, "const @c{}", consts.insert_full(id).0)?,
            Home::Arena => out.push_str("arena"),
        }
        writeln!(out, " : {}", buffer.ty)?;
    }
    for call in calls {
        write!(out, "  call @{} ", call.callee)?;
        let (before, after) = call.args.split_at(call.split.min(call.args.len()));
        write_split(out, before, after, |out, id| write!(out, "%{id}"))?;
        write_loc_ref(out, call.loc, options)?;
        out.push('\n');
    }
    out.push_str("}\n");
    Ok(consts)
}

/// The table of the constants that a program uses, in order of first use.
pub(crate) fn write_consts(
    out: &mut String,
    used: &IndexSet<ConstId>,
    pool: &ConstPool,
    options: &PrintOptions,
) -> fmt::Result {
    let mut lines = used.iter().enumerate();
    lines.try_for_each(|(number, &id)| write_const(out, number, &pool[id], options))
}

/// A call as read.
pub(crate) struct ParsedCall<'a, F> {
    pub(crate) callee: F,
    pub(crate) args: SmallVec<[BufferId; 6]>,
    pub(crate) loc: LocRef<'a>,
}

/// A program as read.
pub(crate) struct ParsedProgram<'a, F> {
    pub(crate) buffers: PrimaryMap<BufferId, Buffer>,
    pub(crate) names: BTreeMap<&'a str, BufferId>,
    pub(crate) calls: Vec<ParsedCall<'a, F>>,
}

/// The counterpart of `write_program`; `callees` are the functions defined above it.
pub(crate) fn parse_program<'a, F: Copy>(
    c: &mut Cursor<'a>,
    tables: &mut Tables,
    callees: &BTreeMap<String, F>,
) -> Parse<ParsedProgram<'a, F>> {
    let (buffers, names) = (PrimaryMap::new(), BTreeMap::new());
    let mut program = ParsedProgram { buffers, names, calls: Vec::new() };
    c.expect("program")?;
    c.expect("{")?;
    while !c.eat("}") {
        match c.at_kind(Kind::Value) {
            true => parse_buffer(c, tables, &mut program)?,
            false => {
                let call = parse_call(c, callees, &program.names)?;
                program.calls.push(call);
            }
        }
    }
    Ok(program)
}

fn parse_buffer<'a, F>(
    c: &mut Cursor<'a>,
    tables: &mut Tables,
    program: &mut ParsedProgram<'a, F>,
) -> Parse<()> {
    let token = c.value()?;
    c.expect("=")?;
    let kind = c.peek();
    let home = match c.word("a buffer's home")? {
        "input" => Home::Input(c.integer()?),
        "output" => Home::Output(c.integer()?),
        "const" => Home::Const(tables.named(c.symbol()?)),
        "arena" => Home::Arena,
        _ => return Err(kind.error("expected `input`, `output`, `const` or `arena`")),
    };
    c.expect(":")?;
    let id = program.buffers.push(Buffer { ty: c.tensor_type()?, home });
    define(&mut program.names, token, id)
}

fn parse_call<'a, F: Copy>(
    c: &mut Cursor<'a>,
    callees: &BTreeMap<String, F>,
    buffers: &BTreeMap<&'a str, BufferId>,
) -> Parse<ParsedCall<'a, F>> {
    let line = c.peek();
    c.expect("call")?;
    let token = c.peek();
    let callee = callees.get(&c.symbol()?).copied();
    let callee =
        callee.ok_or_else(|| token.error(format!("`{}` is not defined above", token.text)))?;
    let buffer = |c: &mut Cursor<'a>| c.value().and_then(|t| lookup(buffers, t));
    let mut args = c.list("(", ")", buffer)?;
    c.expect("->")?;
    args.extend(c.list("(", ")", buffer)?);
    Ok(ParsedCall { callee, args: args.into(), loc: parse_loc_ref(c, line)? })
}

/// Gives a name its meaning, once.
pub(crate) fn define<'a, T>(
    names: &mut BTreeMap<&'a str, T>,
    token: Token<'a>,
    meaning: T,
) -> Parse<()> {
    match names.insert(token.text, meaning) {
        Some(_) => Err(token.error(format!("`{}` is defined twice", token.text))),
        None => Ok(()),
    }
}

/// The meaning of a name.
pub(crate) fn lookup<T: Copy>(names: &BTreeMap<&str, T>, token: Token<'_>) -> Parse<T> {
    let known = names.get(token.text).copied();
    known.ok_or_else(|| token.error(format!("`{}` is not defined", token.text)))
}
