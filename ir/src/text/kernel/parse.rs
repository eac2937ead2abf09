//! Kernels from their text.

use crate::affine::Affine;
use crate::kernel::{
    Access, Axis, AxisId, AxisKind, Index, Kernel, Lookup, Operand, OperandId, Outside, Reduce,
    Role, Stage, Unit,
};
use crate::scalar::ScalarExpr;
use crate::text::affine::{parse_affine, parse_extent};
use crate::text::attrs::parse_func;
use crate::text::cursor::{Cursor, Parse};
use crate::text::lex::{Kind, Token};
use crate::text::number::parse_scalar;
use crate::text::program::{define, lookup};
use crate::text::routine::parse_routine;
use crate::text::scalar::parse_body;
use crate::text::schedule::{Names, parse_schedule};
use cranelift_entity::PrimaryMap;
use std::collections::BTreeMap;

/// A kernel while it is read: its names and their meanings.
#[derive(Default)]
pub(super) struct KernelParser<'a> {
    operands: PrimaryMap<OperandId, Operand>,
    operand_names: BTreeMap<&'a str, OperandId>,
    axes: PrimaryMap<AxisId, Axis>,
    axis_names: BTreeMap<&'a str, AxisId>,
}

impl<'a> KernelParser<'a> {
    /// The symbol and the kernel.
    pub(super) fn parse(mut self, c: &mut Cursor<'a>) -> Parse<(String, Kernel)> {
        c.expect("kernel")?;
        let symbol = c.symbol()?;
        let name = c.string()?;
        c.list("(", ")", |c| self.operand(c, Role::Read))?;
        c.expect("->")?;
        c.list("(", ")", |c| self.operand(c, Role::Write))?;
        c.expect("{")?;
        if c.eat("declare") {
            self.declaration(c)?;
        }
        let mut rows = Vec::new();
        if c.eat("rows") {
            while c.at_kind(Kind::Word) && !c.at("axes") && !c.at("schedule") && !c.at("routine") {
                rows.push(self.axis(c, AxisKind::Parallel)?);
            }
        }
        let mut stages = Vec::new();
        while c.eat("axes") {
            stages.push(self.stage(c)?);
        }
        let routine = if c.eat("routine") { Some(parse_routine(c, &self.operands)?) } else { None };
        let schedule = if c.at("schedule") { Some(parse_schedule(c, &self)?) } else { None };
        c.expect("}")?;
        let (operands, axes) = (self.operands, self.axes);
        Ok((symbol, Kernel { name, operands, axes, rows, stages, routine, schedule }))
    }

    fn operand(&mut self, c: &mut Cursor<'a>, default: Role) -> Parse<()> {
        let role = match () {
            () if c.eat("read") => Role::Read,
            () if c.eat("const") => Role::Const,
            () if c.eat("local") => Role::Local,
            () => default,
        };
        let token = c.value()?;
        c.expect(":")?;
        let id = self.operands.push(Operand { ty: c.tensor_type()?, role });
        define(&mut self.operand_names, token, id)
    }

    fn declaration(&mut self, c: &mut Cursor<'a>) -> Parse<()> {
        loop {
            let kind = match () {
                () if c.eat("parallel") => AxisKind::Parallel,
                () if c.eat("reduce") => AxisKind::Reduce,
                () => return Ok(()),
            };
            self.axis(c, kind)?;
        }
    }

    /// An axis with its extent; it may have been shown before.
    fn axis(&mut self, c: &mut Cursor<'a>, kind: AxisKind) -> Parse<AxisId> {
        let token = c.expect_kind(Kind::Word, "an axis")?;
        c.expect(":")?;
        let extent = parse_extent(c)?;
        if extent == 0 {
            return Err(token.error("an extent is at least 1"));
        }
        let axis = Axis { extent, kind };
        let axes = &mut self.axes;
        let id = *self.axis_names.entry(token.text).or_insert_with(|| axes.push(axis));
        match self.axes[id] == axis {
            true => Ok(id),
            false => Err(token.error("the axis had another extent or kind before")),
        }
    }

    fn stage(&mut self, c: &mut Cursor<'a>) -> Parse<Stage> {
        let mut axes = Vec::new();
        while c.at_kind(Kind::Word) {
            axes.push(self.axis(c, AxisKind::Parallel)?);
        }
        if c.eat("|") {
            while c.at_kind(Kind::Word) {
                axes.push(self.axis(c, AxisKind::Reduce)?);
            }
        }
        let write = self.access(c)?;
        c.expect("=")?;
        let reduce = if c.eat("reduce") { Some(parse_reduce(c)?) } else { None };
        let (reads, body) = self.function(c, 0)?;
        let (epilogue_reads, epilogue) = match c.eat("then") {
            true => self.function(c, 1)?,
            false => (Vec::new(), ScalarExpr::identity()),
        };
        Ok(Stage { axes, reads, body, reduce, epilogue_reads, epilogue, write })
    }

    /// A function of `free` parameters and of reads.
    fn function(&self, c: &mut Cursor<'a>, free: usize) -> Parse<(Vec<Access>, ScalarExpr)> {
        let (mut names, mut reads) = (Vec::new(), Vec::new());
        c.list("(", ")", |c| {
            names.push(c.word("a parameter")?);
            if names.len() > free {
                c.expect("=")?;
                reads.push(self.access(c)?);
            }
            Ok(())
        })?;
        if names.len() < free {
            return Err(c.error("the epilogue's first parameter is the accumulator"));
        }
        c.expect("->")?;
        Ok((reads, parse_body(c, &names)?))
    }

    fn access(&self, c: &mut Cursor<'a>) -> Parse<Access> {
        let unit = if c.eat("word") { Unit::Word } else { Unit::Element };
        let operand = self.operand_id(c)?;
        let index = c.list("[", "]", |c| match c.at_kind(Kind::Value) {
            true => {
                let operand = self.operand_id(c)?;
                let index = c.list("[", "]", |c| self.place(c))?;
                Ok(Index::Lookup(Lookup { operand, index }))
            }
            false => Ok(Index::Affine(self.place(c)?)),
        })?;
        let outside = match c.eat("else") {
            true => Outside::Pad(parse_scalar(c)?),
            false => Outside::Never,
        };
        Ok(Access { operand, index, outside, unit })
    }

    fn place(&self, c: &mut Cursor<'a>) -> Parse<Affine<AxisId>> {
        parse_affine(c, |token| lookup(&self.axis_names, token))
    }
}

impl<'a> Names<'a> for KernelParser<'a> {
    fn operand_id(&self, c: &mut Cursor<'a>) -> Parse<OperandId> {
        lookup(&self.operand_names, c.value()?)
    }

    fn axis_id(&self, c: &mut Cursor<'a>) -> Parse<AxisId> {
        let token: Token<'a> = c.expect_kind(Kind::Word, "an axis")?;
        lookup(&self.axis_names, token)
    }
}

fn parse_reduce(c: &mut Cursor<'_>) -> Parse<Reduce> {
    let func = parse_func(c)?;
    c.expect("from")?;
    let init = parse_scalar(c)?;
    c.expect("of")?;
    Ok(Reduce { func, init })
}
