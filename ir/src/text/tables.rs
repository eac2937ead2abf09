//! What stands after the body at every level: the constants and the locations.
//!
//! ```text
//! const @c0 = dense<[1, 2]> : f32[2]
//! const @c1 = hash 0x89abcdef01234567 : f32[8,1,5,5]
//! loc0 = unknown
//! loc1 = source 42 "Conv" "up/conv"
//! loc2 = text 3:14
//! loc3 = fused [loc1, loc2]
//! loc4 = derived "canonicalize" loc3
//! ```

use super::PrintOptions;
use super::cursor::{Cursor, Parse};
use super::data::{DataParser, LIST_ELEMENTS, content_hash, write_data};
use super::lex::Token;
use super::write::{write_list, write_string};
use crate::kernel::ConstId;
use crate::loc::{Loc, LocId, LocTable};
use crate::tensor::Tensor;
use crate::types::TensorType;
use cranelift_entity::{EntityRef, PrimaryMap};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What may follow a line of a table, for messages.
pub(crate) const AFTER_TABLES: &str = "`const`, a location or the end of the text";

/// The deepest chain of locations made from locations.
const MAX_LOC_DEPTH: u32 = 64;

/// A line of the constant table.
pub(crate) fn write_const(
    out: &mut String,
    number: usize,
    tensor: &Tensor,
    options: &PrintOptions,
) -> fmt::Result {
    write!(out, "const @c{number} = ")?;
    let short = tensor.numel() <= options.elide_above.max(LIST_ELEMENTS);
    match short || tensor.uniform().is_some() {
        true => write_data(out, tensor)?,
        false => write!(out, "hash {:#018x}", content_hash(tensor.bytes()))?,
    }
    writeln!(out, " : {}", tensor.ty)
}

/// The reference to a location at the end of a line.
pub(crate) fn write_loc_ref(out: &mut String, loc: LocId, options: &PrintOptions) -> fmt::Result {
    if options.locs { write!(out, " {loc}") } else { Ok(()) }
}

/// The table of locations.
pub(crate) fn write_locs(out: &mut String, locs: &LocTable, options: &PrintOptions) -> fmt::Result {
    for (id, loc) in locs.iter().filter(|_| options.locs) {
        write!(out, "{id} = ")?;
        write_loc(out, loc)?;
        out.push('\n');
    }
    Ok(())
}

fn write_loc(out: &mut String, loc: &Loc) -> fmt::Result {
    match loc {
        Loc::Unknown => out.write_str("unknown"),
        Loc::Source { index, kind, name } => {
            write!(out, "source {index} ")?;
            write_string(out, kind)?;
            out.push(' ');
            write_string(out, name)
        }
        Loc::Text { line, column } => write!(out, "text {line}:{column}"),
        Loc::Fused(parts) => {
            out.push_str("fused [");
            write_list(out, parts, |out, part| write!(out, "{part}"))?;
            out.write_char(']')
        }
        Loc::Derived(pass, from) => {
            out.push_str("derived ");
            write_string(out, pass)?;
            write!(out, " {from}")
        }
    }
}

/// A location as referred to in the text, before the table is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LocRef<'a> {
    /// An entry of the table.
    Entry(u32, Token<'a>),
    /// None given: the place in the text itself.
    Here(Token<'a>),
}

/// Reads an optional reference; `line` is where the line starts.
pub(crate) fn parse_loc_ref<'a>(c: &mut Cursor<'a>, line: Token<'a>) -> Parse<LocRef<'a>> {
    let token = c.peek();
    match c.at_numbered("loc") {
        true => Ok(LocRef::Entry(c.numbered("loc")?, token)),
        false => Ok(LocRef::Here(line)),
    }
}

/// The tables as read so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    names: BTreeMap<String, ConstId>,
    consts: PrimaryMap<ConstId, Option<Tensor>>,
    interned: BTreeMap<u64, Vec<ConstId>>,
    elided: Vec<ConstId>,
    locs: LocTable,
    loc_depths: Vec<u32>,
    data: DataParser,
}

impl Tables {
    /// The constant called `@name`.
    pub(crate) fn named(&mut self, name: String) -> ConstId {
        *self.names.entry(name).or_insert_with(|| self.consts.push(None))
    }

    /// Reads a constant's data in place and interns it.
    pub(crate) fn inline(&mut self, c: &mut Cursor<'_>, ty: &TensorType) -> Parse<ConstId> {
        let tensor = self.data.data(c, ty)?;
        let known = self.interned.entry(content_hash(tensor.bytes())).or_default();
        let same = |&&id: &&ConstId| self.consts[id].as_ref() == Some(&tensor);
        if let Some(&id) = known.iter().find(same) {
            return Ok(id);
        }
        let id = self.consts.push(Some(tensor));
        known.push(id);
        Ok(id)
    }

    /// Reads all lines of both tables, to the end of the text.
    pub(crate) fn parse(&mut self, c: &mut Cursor<'_>) -> Parse<()> {
        self.parse_lines(c)?;
        match c.at_kind(super::lex::Kind::End) {
            true => Ok(()),
            false => Err(c.expected(AFTER_TABLES)),
        }
    }

    /// Reads all lines of both tables.
    pub(crate) fn parse_lines(&mut self, c: &mut Cursor<'_>) -> Parse<()> {
        loop {
            if c.eat("const") {
                self.parse_const(c)?;
            } else if c.at_numbered("loc") {
                self.parse_loc(c)?;
            } else {
                return Ok(());
            }
        }
    }

    fn parse_const(&mut self, c: &mut Cursor<'_>) -> Parse<()> {
        let token = c.peek();
        let name = c.symbol()?;
        c.expect("=")?;
        let ty = c.type_ahead()?;
        let id = self.named(name);
        let tensor = match c.eat("hash") {
            true => {
                self.elided.push(id);
                let hash = c.integer()?;
                self.data.placeholder(c, ty, hash)?
            }
            false => self.data.data(c, &ty)?,
        };
        c.expect(":")?;
        c.tensor_type()?;
        match self.consts[id].replace(tensor) {
            Some(_) => Err(token.error("the constant is given twice")),
            None => Ok(()),
        }
    }

    fn parse_loc(&mut self, c: &mut Cursor<'_>) -> Parse<()> {
        let token = c.peek();
        if c.numbered("loc")? as usize != self.locs.len() {
            return Err(token.error(format!("expected loc{}", self.locs.len())));
        }
        c.expect("=")?;
        let loc = self.parse_loc_entry(c)?;
        let from = match &loc {
            Loc::Fused(parts) => parts.as_slice(),
            Loc::Derived(_, from) => std::slice::from_ref(from),
            Loc::Unknown | Loc::Source { .. } | Loc::Text { .. } => &[],
        };
        let depth = from.iter().map(|f| 1 + self.loc_depths[f.index()]).max().unwrap_or(0);
        if depth > MAX_LOC_DEPTH {
            return Err(token.error(format!("locations nest deeper than {MAX_LOC_DEPTH}")));
        }
        self.loc_depths.push(depth);
        self.locs.push(loc);
        Ok(())
    }

    fn parse_loc_entry(&self, c: &mut Cursor<'_>) -> Parse<Loc> {
        let token = c.peek();
        match c.word("a kind of location")? {
            "unknown" => Ok(Loc::Unknown),
            "source" => {
                Ok(Loc::Source { index: c.integer()?, kind: c.string()?, name: c.string()? })
            }
            "text" => {
                let line = c.integer()?;
                c.expect(":")?;
                Ok(Loc::Text { line, column: c.integer()? })
            }
            "fused" => Ok(Loc::Fused(c.list("[", "]", |c| self.parse_known_loc(c))?)),
            "derived" => Ok(Loc::Derived(c.string()?.into(), self.parse_known_loc(c)?)),
            _ => Err(token.error("expected `unknown`, `source`, `text`, `fused` or `derived`")),
        }
    }

    fn parse_known_loc(&self, c: &mut Cursor<'_>) -> Parse<LocId> {
        let token = c.peek();
        let number = c.numbered("loc")? as usize;
        match number < self.locs.len() {
            true => Ok(LocId::new(number)),
            false => Err(token.error("a location is made from earlier ones")),
        }
    }

    /// The location that a reference means, once the table is read.
    pub(crate) fn loc(&mut self, reference: LocRef<'_>) -> Parse<LocId> {
        match reference {
            LocRef::Entry(number, _) if (number as usize) < self.loc_depths.len() => {
                Ok(LocId::new(number as usize))
            }
            LocRef::Entry(_, token) => Err(token.error("the location has no line in the table")),
            LocRef::Here(token) => {
                Ok(self.locs.push(Loc::Text { line: token.line, column: token.column }))
            }
        }
    }

    /// The pool, the locations and the constants without data.
    pub(crate) fn finish(self, c: &Cursor<'_>) -> Parse<(ConstPool, LocTable, Vec<ConstId>)> {
        let mut pool = ConstPool::new();
        for (id, tensor) in self.consts {
            let name = || self.names.iter().find(|n| *n.1 == id).map_or("", |n| n.0);
            let missing = || c.error(format!("constant `@{}` has no line in the table", name()));
            pool.push(tensor.ok_or_else(missing)?);
        }
        Ok((pool, self.locs, self.elided))
    }
}

/// The constants of a level.
pub(crate) type ConstPool = PrimaryMap<ConstId, Tensor>;
