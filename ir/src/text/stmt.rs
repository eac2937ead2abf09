//! The text form of loop functions and their statements.

use super::affine::{parse_affine, parse_extent, write_affine};
use super::attrs;
use super::codes::{TABLE, parse_table, write_table};
use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use super::number::{parse_scalar_or, write_number, write_scalar};
use super::program::{define, lookup, write_split};
use super::write::{text_of, write_list, write_string};
use crate::affine::Affine;
use crate::loops::matrix::{MatrixSum, Place};
use crate::loops::{
    Block, Carried, Expr, FuncId, Guard, IfResult, IndexId, LoopFn, Param, ParamAccess, ParamId,
    Stmt, VType, ValueId,
};
use crate::scalar::func::ScalarFn;
use crate::types::ElemType;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Prints one function, as in a dump of all.
#[must_use]
pub fn print_func(id: FuncId, func: &LoopFn) -> String {
    text_of(|out| write_func(out, id, func))
}

/// The number of parameters before the first one that is written.
pub(crate) fn first_write(func: &LoopFn) -> usize {
    func.params.values().take_while(|p| p.access == ParamAccess::Read).count()
}

pub(crate) fn write_func(out: &mut String, id: FuncId, func: &LoopFn) -> fmt::Result {
    write!(out, "func @{id} ")?;
    write_string(out, &func.name)?;
    out.push(' ');
    let params: Vec<(ParamId, &Param)> = func.params.iter().collect();
    let (reads, writes) = params.split_at(first_write(func));
    write_split(out, reads, writes, |out, (id, param)| {
        let access = match param.access {
            ParamAccess::Read if writes.iter().any(|w| w.0 == *id) => "read ",
            ParamAccess::Read | ParamAccess::Write => "",
            ParamAccess::ReadWrite => "update ",
        };
        write!(out, "{access}%{id}: {}", param.ty)
    })?;
    out.push_str(" {\n");
    let mut writer = FuncWriter {
        func,
        values: SecondaryMap::new(),
        indices: SecondaryMap::new(),
        next_value: 0,
        next_index: 0,
        indent: 1,
    };
    writer.block(out, &func.body)?;
    out.write_str("}\n")
}

/// Numbers values and indices as they appear.
struct FuncWriter<'a> {
    func: &'a LoopFn,
    values: SecondaryMap<ValueId, Option<u32>>,
    indices: SecondaryMap<IndexId, Option<u32>>,
    next_value: u32,
    next_index: u32,
    indent: usize,
}

fn number_of<K: EntityRef>(
    numbers: &mut SecondaryMap<K, Option<u32>>,
    next: &mut u32,
    key: K,
) -> u32 {
    *numbers[key].get_or_insert_with(|| std::mem::replace(next, *next + 1))
}

impl FuncWriter<'_> {
    fn block(&mut self, out: &mut String, block: &Block) -> fmt::Result {
        block.iter().try_for_each(|stmt| {
            self.indent(out);
            self.stmt(out, stmt)?;
            out.write_char('\n')
        })
    }

    fn indent(&self, out: &mut String) {
        out.extend(std::iter::repeat_n("  ", self.indent));
    }

    fn stmt(&mut self, out: &mut String, stmt: &Stmt) -> fmt::Result {
        match stmt {
            Stmt::Let { value, expr } => self.definition(out, *value, expr),
            Stmt::Store { param, index, value, lanes } => {
                out.push_str("store ");
                self.value(out, *value)?;
                out.push_str(", ");
                self.address(out, *param, index)?;
                if *lanes == 1 { Ok(()) } else { write!(out, " lanes {lanes}") }
            }
            Stmt::Prefetch { param, index } => {
                out.push_str("prefetch ");
                self.address(out, *param, index)
            }
            Stmt::Matrix(sum) => self.matrix(out, sum),
            Stmt::Index { index, value } => {
                self.range(out, "index", *index)?;
                out.push_str(" = ");
                self.value(out, *value)
            }
            Stmt::For { index, carried, body } => self.for_loop(out, *index, carried, body),
            Stmt::If { guards, then, results } => self.guarded(out, guards, then, results),
        }
    }

    fn matrix(&mut self, out: &mut String, sum: &MatrixSum) -> fmt::Result {
        self.range(out, "matrix", sum.row)?;
        write!(out, " by {}", sum.tile_rows)?;
        for &step in &sum.steps {
            self.range(out, " sum", step)?;
        }
        write!(out, " {} ", sum.dot.info().mnemonic)?;
        for (place, between) in [(&sum.codes, ", "), (&sum.words, " to "), (&sum.to, "")] {
            self.address(out, place.param, &place.index)?;
            out.push_str(between);
        }
        write!(out, " columns {}", sum.columns)
    }

    fn for_loop(
        &mut self,
        out: &mut String,
        index: IndexId,
        carried: &[Carried],
        body: &Block,
    ) -> fmt::Result {
        self.range(out, "for", index)?;
        self.results(out, " carry", carried, |this, out, c| {
            this.typed(out, c.inner)?;
            out.push_str(" = ");
            this.value(out, c.init)
        })?;
        self.braces(out, body)?;
        self.results(out, " next", carried, |this, out, c| {
            this.typed(out, c.result)?;
            out.push_str(" = ");
            this.value(out, c.next)
        })
    }

    fn range(&mut self, out: &mut String, keyword: &str, index: IndexId) -> fmt::Result {
        let number = number_of(&mut self.indices, &mut self.next_index, index);
        write!(out, "{keyword} i{number} in 0..{}", self.func.indices[index])
    }

    fn guarded(
        &mut self,
        out: &mut String,
        guards: &[Guard],
        then: &Block,
        results: &[IfResult],
    ) -> fmt::Result {
        out.push_str("if");
        for (at, guard) in guards.iter().enumerate() {
            out.push_str(if at > 0 { " and 0 <= " } else { " 0 <= " });
            self.affine(out, &guard.expr)?;
            write!(out, " < {}", guard.extent)?;
        }
        self.braces(out, then)?;
        self.results(out, " yield", results, |this, out, r| {
            this.typed(out, r.result)?;
            out.push_str(" = ");
            this.value(out, r.then)?;
            out.push_str(" else ");
            this.value(out, r.otherwise)
        })
    }

    fn results<T>(
        &mut self,
        out: &mut String,
        keyword: &str,
        items: &[T],
        mut item: impl FnMut(&mut Self, &mut String, &T) -> fmt::Result,
    ) -> fmt::Result {
        if items.is_empty() {
            return Ok(());
        }
        write!(out, "{keyword} (")?;
        write_list(out, items, |out, value| item(self, out, value))?;
        out.write_char(')')
    }

    fn braces(&mut self, out: &mut String, block: &Block) -> fmt::Result {
        out.push_str(" {\n");
        self.indent += 1;
        self.block(out, block)?;
        self.indent -= 1;
        self.indent(out);
        out.write_char('}')
    }

    fn value(&mut self, out: &mut String, value: ValueId) -> fmt::Result {
        write!(out, "%v{}", number_of(&mut self.values, &mut self.next_value, value))
    }

    fn values(&mut self, out: &mut String, values: &[ValueId]) -> fmt::Result {
        write_list(out, values, |out, &value| self.value(out, value))
    }

    fn typed(&mut self, out: &mut String, value: ValueId) -> fmt::Result {
        self.value(out, value)?;
        write!(out, ": {}", self.func.values[value])
    }

    fn address(
        &mut self,
        out: &mut String,
        param: ParamId,
        index: &[Affine<IndexId>],
    ) -> fmt::Result {
        write!(out, "%{param}[")?;
        write_list(out, index, |out, expr| self.affine(out, expr))?;
        out.write_char(']')
    }

    fn affine(&mut self, out: &mut String, expr: &Affine<IndexId>) -> fmt::Result {
        let number = |i: IndexId| number_of(&mut self.indices, &mut self.next_index, i);
        let mut number = number;
        let mut terms: Vec<(u32, i64)> =
            expr.terms().iter().map(|&(index, c)| (number(index), c)).collect();
        terms.sort_unstable();
        write_affine(out, 'i', terms, expr.constant)
    }

    fn definition(&mut self, out: &mut String, value: ValueId, expr: &Expr) -> fmt::Result {
        self.typed(out, value)?;
        let ty = self.func.values[value];
        out.push_str(" = ");
        match expr {
            Expr::Const(number) if number.elem() == ty.elem => {
                out.push_str("const ");
                write_number(out, *number)
            }
            Expr::Const(number) => {
                out.push_str("const ");
                write_scalar(out, *number)?;
                if number.elem() == ElemType::F32 { out.write_str(":f32") } else { Ok(()) }
            }
            Expr::Load { param, index, lanes } => {
                out.push_str("load ");
                self.address(out, *param, index)?;
                if *lanes == ty.lanes { Ok(()) } else { write!(out, " lanes {lanes}") }
            }
            Expr::IndexValue(of) => {
                out.push_str("index_value ");
                self.affine(out, of)
            }
            Expr::Splat(scalar) => self.operation(out, "splat", &[*scalar]),
            Expr::SplatLane(vector, lane) => {
                self.operation(out, "splat_lane", &[*vector])?;
                write!(out, ", {lane}")
            }
            Expr::Extract(vector, lane) => {
                self.operation(out, "extract", &[*vector])?;
                write!(out, ", {lane}")
            }
            Expr::Pack(lanes) => self.operation(out, "pack", lanes),
            Expr::Apply(func, args) => self.operation(out, func.info().mnemonic, args),
            Expr::Cast(arg) => self.operation(out, "cast", &[*arg]),
            Expr::Lookup(table, arg) => {
                write_table(out, table)?;
                out.push(' ');
                self.value(out, *arg)
            }
            Expr::ReduceLanes(func, vector) => {
                write!(out, "reduce_lanes {} ", func.info().mnemonic)?;
                self.value(out, *vector)
            }
        }
    }

    fn operation(&mut self, out: &mut String, name: &str, args: &[ValueId]) -> fmt::Result {
        write!(out, "{name} ")?;
        self.values(out, args)
    }
}

/// The counterpart of `write_func`: the symbol and the function.
pub(crate) fn parse_func(c: &mut Cursor<'_>) -> Parse<(String, LoopFn)> {
    c.expect("func")?;
    let symbol = c.symbol()?;
    let name = c.string()?;
    let mut parser = FuncParser::default();
    c.list("(", ")", |c| parser.param(c, ParamAccess::Read))?;
    c.expect("->")?;
    c.list("(", ")", |c| parser.param(c, ParamAccess::Write))?;
    let body = parser.block(c)?;
    let mut values = PrimaryMap::with_capacity(parser.types.len());
    for &(token, ty) in parser.types.values() {
        let missing = || token.error(format!("`{}` is not defined", token.text));
        values.push(ty.ok_or_else(missing)?);
    }
    let (params, indices) = (parser.params, parser.extents);
    Ok((symbol, LoopFn { name, params, values, indices, body }))
}

/// A function while it is read. Names get their ids where they first appear, so that a use before
/// the definition is left for the verifier to find.
#[derive(Default)]
struct FuncParser<'a> {
    params: PrimaryMap<ParamId, Param>,
    param_names: BTreeMap<&'a str, ParamId>,
    types: PrimaryMap<ValueId, (Token<'a>, Option<VType>)>,
    value_names: BTreeMap<&'a str, ValueId>,
    extents: PrimaryMap<IndexId, usize>,
    index_names: BTreeMap<&'a str, IndexId>,
}

impl<'a> FuncParser<'a> {
    fn param(&mut self, c: &mut Cursor<'a>, default: ParamAccess) -> Parse<()> {
        let access = match () {
            () if c.eat("read") => ParamAccess::Read,
            () if c.eat("update") => ParamAccess::ReadWrite,
            () => default,
        };
        let token = c.value()?;
        c.expect(":")?;
        let id = self.params.push(Param { ty: c.tensor_type()?, access });
        define(&mut self.param_names, token, id)
    }

    fn block(&mut self, c: &mut Cursor<'a>) -> Parse<Block> {
        c.nested(|c| {
            c.expect("{")?;
            let mut block = Block::new();
            while !c.eat("}") {
                block.push(self.stmt(c)?);
            }
            Ok(block)
        })
    }

    fn stmt(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        if c.at_kind(Kind::Value) {
            return self.definition(c);
        }
        let token = c.peek();
        match c.word("a statement")? {
            "store" => self.store(c),
            "prefetch" => {
                let (param, index) = self.address(c)?;
                Ok(Stmt::Prefetch { param, index })
            }
            "matrix" => self.matrix(c),
            "index" => {
                let index = self.range(c)?;
                c.expect("=")?;
                Ok(Stmt::Index { index, value: self.value(c)? })
            }
            "for" => self.for_loop(c),
            "if" => self.guarded(c),
            other => Err(token.error(format!("no statement starts with `{other}`"))),
        }
    }

    fn matrix(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        let row = self.range(c)?;
        c.expect("by")?;
        let tile_rows = c.integer()?;
        let mut steps = SmallVec::new();
        while c.eat("sum") {
            steps.push(self.range(c)?);
        }
        let dot = attrs::parse_func(c)?;
        let codes = self.place(c)?;
        c.expect(",")?;
        let words = self.place(c)?;
        c.expect("to")?;
        let to = self.place(c)?;
        c.expect("columns")?;
        let columns = c.integer()?;
        let sum = MatrixSum { row, tile_rows, steps, columns, dot, codes, words, to };
        Ok(Stmt::Matrix(Box::new(sum)))
    }

    fn place(&mut self, c: &mut Cursor<'a>) -> Parse<Place> {
        let (param, index) = self.address(c)?;
        Ok(Place { param, index })
    }

    fn store(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        let value = self.value(c)?;
        c.expect(",")?;
        let (param, index) = self.address(c)?;
        let lanes = if c.eat("lanes") { c.integer()? } else { 1 };
        Ok(Stmt::Store { param, index, value, lanes })
    }

    fn for_loop(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        let index = self.range(c)?;
        let entry = self.results(c, "carry", |this, c| Ok((this.result(c)?, this.value(c)?)))?;
        let body = self.block(c)?;
        let exit = self.results(c, "next", |this, c| Ok((this.result(c)?, this.value(c)?)))?;
        if entry.len() != exit.len() {
            return Err(c.error("`next` must have an entry for each carried value"));
        }
        let carried = entry.into_iter().zip(exit).map(|((inner, init), (result, next))| Carried {
            init,
            inner,
            next,
            result,
        });
        Ok(Stmt::For { index, carried: carried.collect(), body })
    }

    /// `i0 in 0..16`; two statements may share an index if their extents are equal.
    fn range(&mut self, c: &mut Cursor<'a>) -> Parse<IndexId> {
        let token = c.expect_kind(Kind::Word, "an index")?;
        c.expect("in")?;
        if c.integer::<u8>()? != 0 {
            return Err(token.error("an index starts at 0"));
        }
        c.expect("..")?;
        let extent = parse_extent(c)?;
        let extents = &mut self.extents;
        let id = *self.index_names.entry(token.text).or_insert_with(|| extents.push(extent));
        match self.extents[id] == extent {
            true => Ok(id),
            false => Err(token.error("the index had another extent before")),
        }
    }

    fn guarded(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        let mut guards = Vec::new();
        while !c.at("{") {
            if !guards.is_empty() {
                c.expect("and")?;
            }
            guards.push(self.guard(c)?);
        }
        let then = self.block(c)?;
        let results = self.results(c, "yield", |this, c| {
            let (result, then) = (this.result(c)?, this.value(c)?);
            c.expect("else")?;
            Ok(IfResult { then, otherwise: this.value(c)?, result })
        })?;
        Ok(Stmt::If { guards, then, results })
    }

    fn guard(&mut self, c: &mut Cursor<'a>) -> Parse<Guard> {
        let token = c.peek();
        if c.integer::<u8>()? != 0 {
            return Err(token.error("a guard's lower bound is 0"));
        }
        c.expect("<=")?;
        let expr = self.affine(c)?;
        c.expect("<")?;
        Ok(Guard { expr, extent: parse_extent(c)? })
    }

    fn results<T>(
        &mut self,
        c: &mut Cursor<'a>,
        keyword: &str,
        mut item: impl FnMut(&mut Self, &mut Cursor<'a>) -> Parse<T>,
    ) -> Parse<Vec<T>> {
        if c.eat(keyword) { c.list("(", ")", |c| item(self, c)) } else { Ok(Vec::new()) }
    }

    /// `%v4: f32x4 =`
    fn result(&mut self, c: &mut Cursor<'a>) -> Parse<ValueId> {
        let token = c.peek();
        let value = self.value(c)?;
        c.expect(":")?;
        let ty = parse_vtype(c)?;
        c.expect("=")?;
        let known = self.types[value].1.get_or_insert(ty);
        match *known == ty {
            true => Ok(value),
            false => Err(token.error("the value had another type before")),
        }
    }

    fn value(&mut self, c: &mut Cursor<'a>) -> Parse<ValueId> {
        let token = c.value()?;
        let types = &mut self.types;
        Ok(*self.value_names.entry(token.text).or_insert_with(|| types.push((token, None))))
    }

    /// Values after commas; the first comma is optional.
    fn values(&mut self, c: &mut Cursor<'a>) -> Parse<Vec<ValueId>> {
        let mut values = Vec::new();
        while values.is_empty() || c.eat(",") {
            values.push(self.value(c)?);
        }
        Ok(values)
    }

    fn address(&mut self, c: &mut Cursor<'a>) -> Parse<(ParamId, Vec<Affine<IndexId>>)> {
        let param = lookup(&self.param_names, c.value()?)?;
        Ok((param, c.list("[", "]", |c| self.affine(c))?))
    }

    fn affine(&self, c: &mut Cursor<'a>) -> Parse<Affine<IndexId>> {
        parse_affine(c, |token| lookup(&self.index_names, token))
    }

    fn definition(&mut self, c: &mut Cursor<'a>) -> Parse<Stmt> {
        let value = self.result(c)?;
        let ty = self.types[value].1.expect("`result` sets the type");
        let token = c.peek();
        let expr = match c.word("an operation")? {
            "const" => Expr::Const(parse_scalar_or(c, ty.elem)?),
            "load" => {
                let (param, index) = self.address(c)?;
                let lanes = if c.eat("lanes") { c.integer()? } else { ty.lanes };
                Expr::Load { param, index, lanes }
            }
            "index_value" => Expr::IndexValue(self.affine(c)?),
            "splat" => Expr::Splat(self.value(c)?),
            "splat_lane" => Expr::SplatLane(self.value(c)?, parse_lane(c)?),
            "extract" => Expr::Extract(self.value(c)?, parse_lane(c)?),
            "pack" => Expr::Pack(self.values(c)?.into()),
            "cast" => Expr::Cast(self.value(c)?),
            TABLE => Expr::Lookup(parse_table(c)?, self.value(c)?),
            "reduce_lanes" => Expr::ReduceLanes(attrs::parse_func(c)?, self.value(c)?),
            name => {
                let func = ScalarFn::from_mnemonic(name);
                let unknown = || token.error(format!("no operation is called `{name}`"));
                let func = func.ok_or_else(unknown)?;
                Expr::Apply(func, self.values(c)?.into())
            }
        };
        Ok(Stmt::Let { value, expr })
    }
}

fn parse_lane(c: &mut Cursor<'_>) -> Parse<u8> {
    c.expect(",")?;
    c.integer()
}

/// `f32` or `f32x4`.
fn parse_vtype(c: &mut Cursor<'_>) -> Parse<VType> {
    c.word_as("a type such as `f32x4`", |word| {
        let (elem, lanes) = word.split_once('x').unwrap_or((word, "1"));
        Some(VType { elem: ElemType::from_name(elem)?, lanes: lanes.parse().ok()? })
    })
}
