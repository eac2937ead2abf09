//! What kernels and loops share: ports, operand lists, and the program over buffers.
//!
//! ```text
//! program {
//!   %b0 = input 0 : f32[8,4]
//!   %b1 = const @c0 : f32[1,4]
//!   %b2 = input 1 : bool[]
//!   %b3 = output 0 : f32[8,4]
//!   %b4 = const @c1 : i64[4]
//!   repeat n0 in 0..8 while %b2 {
//!     call @k0 (%b0[n0*4], %b1) -> (%b3[n0*4])
//!   }
//!   parallel n1 in 0..4 call @k2 (%b4[n1], %b0) -> (%b3)
//!   if %b2 {
//!     call @k1 () -> (%b3)
//!   } else {
//!   }
//! }
//! ```
//!
//! A place in brackets is the number of an element. Counters are numbered as they appear.

use super::PrintOptions;
use super::affine::{parse_affine, parse_extent, write_affine};
use super::cursor::{Cursor, Parse, ParseError};
use super::lex::{Kind, Token};
use super::tables::{ConstPool, LocRef, Tables, parse_loc_ref, write_const, write_loc_ref};
use super::write::{write_list, write_string, write_symbol};
use crate::kernel::{Buffer, BufferId, ConstId, Home, Port};
use crate::loc::LocId;
use crate::program::{Branch, Call, CounterId, Parallel, Place, Program, Repeat, Step, map_steps};
use cranelift_entity::{EntityRef, PrimaryMap};
use indexmap::IndexSet;
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

/// The program and its constants; `split` is how many operands of a function come before the
/// arrow. Returns what the constant table has to show.
pub(crate) fn write_program<F: Display>(
    out: &mut String,
    buffers: &PrimaryMap<BufferId, Buffer>,
    program: &Program<F>,
    split: impl Fn(&F) -> usize,
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
    let mut writer = StepWriter { program, split: &split, options, counters: IndexSet::new() };
    writer.block(out, &program.steps, 1)?;
    out.push_str("}\n");
    Ok(consts)
}

struct StepWriter<'a, F, S> {
    program: &'a Program<F>,
    split: &'a S,
    options: &'a PrintOptions,
    /// The counters in the order of their numbers.
    counters: IndexSet<CounterId>,
}

impl<F: Display, S: Fn(&F) -> usize> StepWriter<'_, F, S> {
    fn block(&mut self, out: &mut String, steps: &[Step<F>], depth: usize) -> fmt::Result {
        for step in steps {
            write!(out, "{:1$}", "", 2 * depth)?;
            match step {
                Step::Call(call) => self.call(out, call)?,
                Step::Parallel(Parallel { counter, call }) => {
                    out.push_str("parallel ");
                    self.counter(out, *counter)?;
                    out.push(' ');
                    self.call(out, call)?;
                }
                Step::Repeat(repeat) => {
                    self.repeat(out, repeat)?;
                    self.nested(out, &repeat.body, depth)?;
                }
                Step::If(branch) => {
                    out.push_str("if ");
                    self.place(out, &branch.test)?;
                    self.nested(out, &branch.then, depth)?;
                    out.push_str(" else");
                    self.nested(out, &branch.otherwise, depth)?;
                }
            }
            out.push('\n');
        }
        Ok(())
    }

    fn nested(&mut self, out: &mut String, steps: &[Step<F>], depth: usize) -> fmt::Result {
        out.push_str(" {\n");
        self.block(out, steps, depth + 1)?;
        write!(out, "{:1$}}}", "", 2 * depth)
    }

    fn call(&self, out: &mut String, call: &Call<F>) -> fmt::Result {
        write!(out, "call @{} ", call.callee)?;
        let split = (self.split)(&call.callee).min(call.args.len());
        let (before, after) = call.args.split_at(split);
        write_split(out, before, after, |out, place| self.place(out, place))?;
        write_loc_ref(out, call.loc, self.options)
    }

    fn repeat(&mut self, out: &mut String, repeat: &Repeat<F>) -> fmt::Result {
        out.push_str("repeat ");
        self.counter(out, repeat.counter)?;
        repeat.test.iter().try_for_each(|test| {
            out.push_str(" while ");
            self.place(out, test)
        })
    }

    fn counter(&mut self, out: &mut String, counter: CounterId) -> fmt::Result {
        let number = self.counters.insert_full(counter).0;
        write!(out, "n{number} in 0..{}", self.program.counters[counter])
    }

    fn place(&self, out: &mut String, place: &Place) -> fmt::Result {
        write!(out, "%{}", place.buffer)?;
        if place.is_start() {
            return Ok(());
        }
        let number = |counter| self.counters.get_index_of(&counter).unwrap_or(usize::MAX) as u32;
        let terms = place.offset.terms().iter();
        let mut terms: Vec<(u32, i64)> = terms.map(|&(c, step)| (number(c), step)).collect();
        terms.sort_unstable();
        out.push('[');
        write_affine(out, 'n', terms, place.offset.constant)?;
        out.write_char(']')
    }
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

/// A program as read: its calls' origins are not looked up yet.
pub(crate) struct ParsedProgram<'a, F> {
    pub(crate) buffers: PrimaryMap<BufferId, Buffer>,
    pub(crate) names: BTreeMap<&'a str, BufferId>,
    program: Program<(F, LocRef<'a>)>,
    counters: BTreeMap<&'a str, CounterId>,
}

/// The counterpart of `write_program`; `callees` are the functions defined above it.
pub(crate) fn parse_program<'a, F: Copy>(
    c: &mut Cursor<'a>,
    tables: &mut Tables,
    callees: &BTreeMap<String, F>,
) -> Parse<ParsedProgram<'a, F>> {
    let mut parsed = ParsedProgram {
        buffers: PrimaryMap::new(),
        names: BTreeMap::new(),
        program: Program::default(),
        counters: BTreeMap::new(),
    };
    c.expect("program")?;
    c.expect("{")?;
    while c.at_kind(Kind::Value) {
        parse_buffer(c, tables, &mut parsed)?;
    }
    parsed.program.steps = parsed.block(c, callees)?;
    Ok(parsed)
}

impl<'a, F: Copy> ParsedProgram<'a, F> {
    /// The buffers and the program, once the table of locations is read.
    pub(crate) fn finish(
        self,
        tables: &mut Tables,
    ) -> Parse<(PrimaryMap<BufferId, Buffer>, Program<F>)> {
        let call = |(tables, unknown): &mut (&mut Tables, Option<ParseError>),
                    call: &Call<(F, LocRef<'a>)>| {
            let (callee, origin) = call.callee;
            let loc = tables.loc(origin).unwrap_or_else(|error| {
                unknown.get_or_insert(error);
                LocId::new(0)
            });
            Call { callee, args: call.args.clone(), loc }
        };
        let mut cx = (tables, None);
        let steps = map_steps(&self.program.steps, &mut cx, &call, &|_, place| place.clone());
        let program = Program { counters: self.program.counters, steps };
        cx.1.map_or(Ok((self.buffers, program)), Err)
    }

    /// The steps up to the closing brace.
    fn block(
        &mut self,
        c: &mut Cursor<'a>,
        callees: &BTreeMap<String, F>,
    ) -> Parse<Vec<Step<(F, LocRef<'a>)>>> {
        let mut steps = Vec::new();
        while !c.eat("}") {
            steps.push(c.nested(|c| self.step(c, callees))?);
        }
        Ok(steps)
    }

    fn step(
        &mut self,
        c: &mut Cursor<'a>,
        callees: &BTreeMap<String, F>,
    ) -> Parse<Step<(F, LocRef<'a>)>> {
        if c.eat("repeat") {
            let counter = self.counter(c)?;
            let test = if c.eat("while") { Some(self.place(c)?) } else { None };
            c.expect("{")?;
            return Ok(Step::Repeat(Repeat { counter, test, body: self.block(c, callees)? }));
        }
        if c.eat("if") {
            let test = self.place(c)?;
            c.expect("{")?;
            let then = self.block(c, callees)?;
            c.expect("else")?;
            c.expect("{")?;
            return Ok(Step::If(Branch { test, then, otherwise: self.block(c, callees)? }));
        }
        if c.eat("parallel") {
            let counter = self.counter(c)?;
            return Ok(Step::Parallel(Parallel { counter, call: self.call(c, callees)? }));
        }
        self.call(c, callees).map(Step::Call)
    }

    fn counter(&mut self, c: &mut Cursor<'a>) -> Parse<CounterId> {
        let token = c.expect_kind(Kind::Word, "a counter")?;
        c.expect("in")?;
        let start = c.peek();
        if c.integer::<u32>()? != 0 {
            return Err(start.error("a counter starts at 0"));
        }
        c.expect("..")?;
        let counter = self.program.counters.push(parse_extent(c)?);
        define(&mut self.counters, token, counter)?;
        Ok(counter)
    }

    fn call(
        &self,
        c: &mut Cursor<'a>,
        callees: &BTreeMap<String, F>,
    ) -> Parse<Call<(F, LocRef<'a>)>> {
        let line = c.peek();
        c.expect("call")?;
        let token = c.peek();
        let callee = callees.get(&c.symbol()?).copied();
        let callee =
            callee.ok_or_else(|| token.error(format!("`{}` is not defined above", token.text)))?;
        let mut args = c.list("(", ")", |c| self.place(c))?;
        c.expect("->")?;
        args.extend(c.list("(", ")", |c| self.place(c))?);
        let origin = parse_loc_ref(c, line)?;
        Ok(Call { callee: (callee, origin), args, loc: LocId::new(0) })
    }

    fn place(&self, c: &mut Cursor<'a>) -> Parse<Place> {
        let buffer = lookup(&self.names, c.value()?)?;
        if !c.eat("[") {
            return Ok(buffer.into());
        }
        let offset = parse_affine(c, |token| lookup(&self.counters, token))?;
        c.expect("]")?;
        Ok(Place { buffer, offset })
    }
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

#[cfg(test)]
mod tests {
    use super::super::{PrintOptions, parse_kernels, print_kernels};

    const STRUCTURED: &str = "\
kernels @m () -> ()

kernel @k0 \"k\" (%p0: f32[2]) -> (%p1: f32[2]) {
  axes a0:2
    %p1[a0] = (x0 = %p0[a0]) -> x0
}

program {
  %b0 = arena : f32[40]
  %b1 = input 0 : bool[]
  parallel n0 in 0..3 call @k0 (%b0[n0*2]) -> (%b0[n0*2+8])
  if %b1 {
    repeat n1 in 0..5 while %b1 {
      repeat n2 in 0..2 {
        call @k0 (%b0[-n1*8+n2*4+32]) -> (%b0[2])
      }
    }
  } else {
  }
}
";

    #[test]
    fn structured_programs_round_trip() {
        let parsed = parse_kernels(STRUCTURED).expect("legal text");
        assert_eq!(print_kernels(&parsed.ir, &PrintOptions::default()), STRUCTURED);
    }

    #[test]
    fn ill_formed_programs_are_errors() {
        for (step, message) in [
            ("repeat n in 1..2 {}", "2:13: a counter starts at 0"),
            ("repeat n in 0..2 {} repeat n in 0..2 {}", "2:28: `n` is defined twice"),
            ("if %b {}", "2:4: `%b` is not defined"),
            ("repeat n in 0..2 { call @k () -> ()", "2:25: `@k` is not defined above"),
        ] {
            let text = format!("kernels @m () -> () program {{\n{step}\n}}");
            assert_eq!(parse_kernels(&text).expect_err(step).to_string(), message);
        }
    }
}
