//! Attributes: `{groups = 2, epilogue = (x0) -> max(x0, 0)}`.
//!
//! `graph::ops::attrs!` derives the reader and writer of each op from its field list. A default is a
//! function of the op's result type and is not printed.

use super::PrintOptions;
use super::cursor::{Cursor, Parse};
use super::graph::{parse_body_graph, write_body_graph};
use super::number::{parse_scalar, write_scalar};
use super::scalar::{parse_lambda, write_lambda};
use super::write::{write_brackets, write_list};
use crate::graph::body::Body;
use crate::graph::ops::{Layout, Pick};
use crate::kernel::ConstId;
use crate::scalar::ScalarExpr;
use crate::scalar::func::ScalarFn;
use crate::tensor::Scalar;
use crate::types::{ElemType, Shape, TensorType};
use cranelift_entity::EntityRef;
use std::fmt::{self, Write};

/// The default of an attribute, given the type of the op's result.
pub(crate) type Default<T> = Option<fn(&TensorType) -> T>;

/// What the writer of an attribute knows of its op and of the dump.
#[derive(Clone, Copy)]
pub(crate) struct AttrCx<'a> {
    /// Type of the op's result.
    pub(crate) result: &'a TensorType,
    /// What the dump shows.
    pub(crate) options: &'a PrintOptions,
}

/// A type that an op's attribute can have.
pub(crate) trait Attr: Sized + PartialEq {
    /// Writes the value of an op's attribute.
    fn write(&self, out: &mut String, cx: AttrCx<'_>) -> fmt::Result;

    /// The counterpart of `write`.
    fn parse(c: &mut Cursor<'_>, result: &TensorType) -> Parse<Self>;
}

/// Writes the fields of one struct.
pub(crate) struct FieldWriter<'a> {
    out: &'a mut String,
    cx: AttrCx<'a>,
    separator: &'static str,
}

impl<'a> FieldWriter<'a> {
    pub(crate) fn new(out: &'a mut String, cx: AttrCx<'a>) -> FieldWriter<'a> {
        FieldWriter { out, cx, separator: "{" }
    }

    /// Writes a field unless it has its default.
    pub(crate) fn field<T: Attr>(
        &mut self,
        name: &str,
        value: &T,
        default: Default<T>,
    ) -> fmt::Result {
        if default.is_some_and(|d| d(self.cx.result) == *value) {
            return Ok(());
        }
        write!(self.out, "{}{name} = ", self.separator)?;
        self.separator = ", ";
        value.write(self.out, self.cx)
    }

    pub(crate) fn finish(self) -> fmt::Result {
        self.out.write_str(if self.separator == "{" { "{}" } else { "}" })
    }
}

/// Reads `{name = value, …}`; `field` reads the value of a name or refuses the name.
pub(crate) fn parse_fields<'a>(
    c: &mut Cursor<'a>,
    mut field: impl FnMut(&mut Cursor<'a>, &str) -> Parse<bool>,
) -> Parse<()> {
    if !c.at("{") {
        return Ok(());
    }
    c.nested(|c| {
        c.list("{", "}", |c| {
            let token = c.peek();
            let name = c.word("an attribute")?;
            c.expect("=")?;
            match field(c, name)? {
                true => Ok(()),
                false => Err(token.error(format!("no attribute `{name}` here"))),
            }
        })
    })
    .map(|_| ())
}

/// Reads the value of a field that was not read before.
pub(crate) fn parse_field<T: Attr>(
    c: &mut Cursor<'_>,
    slot: &mut Option<T>,
    result: &TensorType,
) -> Parse<bool> {
    if slot.is_some() {
        return Err(c.error("the attribute is given twice"));
    }
    *slot = Some(T::parse(c, result)?);
    Ok(true)
}

/// The value of a field or its default.
pub(crate) fn take_field<T: Attr>(
    c: &Cursor<'_>,
    name: &str,
    value: Option<T>,
    default: Default<T>,
    result: &TensorType,
) -> Parse<T> {
    value
        .or_else(|| default.map(|d| d(result)))
        .ok_or_else(|| c.error(format!("attribute `{name}` is missing")))
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Attr for $ty {
            fn write(&self, out: &mut String, _cx: AttrCx<'_>) -> fmt::Result {
                write!(out, "{self}")
            }

            fn parse(c: &mut Cursor<'_>, _result: &TensorType) -> Parse<$ty> {
                c.integer()
            }
        }

        impl Attr for Vec<$ty> {
            fn write(&self, out: &mut String, _cx: AttrCx<'_>) -> fmt::Result {
                write_brackets(out, self)
            }

            fn parse(c: &mut Cursor<'_>, _result: &TensorType) -> Parse<Vec<$ty>> {
                c.list("[", "]", Cursor::integer)
            }
        }
    )*};
}

integers!(u32, i32, i64);

/// Implements `Attr` for a type by an expression that writes `value` and one that reads it.
macro_rules! attr {
    ($ty:ty, |$value:ident, $out:ident| $write:expr, |$cursor:ident| $parse:expr) => {
        impl Attr for $ty {
            fn write(&self, $out: &mut String, _cx: AttrCx<'_>) -> fmt::Result {
                let $value = self;
                $write
            }

            fn parse($cursor: &mut Cursor<'_>, _result: &TensorType) -> Parse<$ty> {
                $parse
            }
        }
    };
}

attr!(bool, |v, out| write!(out, "{v}"), |c| c.word_as("`true` or `false`", |w| w.parse().ok()));
attr!(ElemType, |v, out| out.write_str(v.name()), |c| c.elem());
attr!(TensorType, |v, out| write!(out, "{v}"), |c| c.tensor_type());
attr!(Shape, |v, out| write_brackets(out, v.iter()), |c| c.shape());
attr!(Scalar, |v, out| write_scalar(out, *v), |c| parse_scalar(c));
attr!(ScalarExpr, |v, out| write_lambda(out, v), |c| parse_lambda(c));
attr!(ScalarFn, |v, out| out.write_str(v.info().mnemonic), |c| parse_func(c));
attr!(Layout, |v, out| out.write_str(v.name()), |c| c.word_as("a layout", Layout::from_name));
attr!(Vec<Pick>, |v, out| write_picks(out, v), |c| c.list("[", "]", parse_pick));
attr!(ConstId, |v, out| write!(out, "{v}"), |c| c.numbered("c").map(|n| Self::new(n as usize)));

/// `[0, by(1, 2), 3]`: dimensions, and dimensions of an index operand.
fn write_picks(out: &mut String, picks: &[Pick]) -> fmt::Result {
    out.push('[');
    write_list(out, picks, |out, pick| match pick {
        Pick::Dim(d) => write!(out, "{d}"),
        Pick::Index(dims) => {
            out.push_str("by(");
            write_list(out, dims, |out, d| write!(out, "{d}"))?;
            out.write_char(')')
        }
    })?;
    out.write_char(']')
}

fn parse_pick(c: &mut Cursor<'_>) -> Parse<Pick> {
    match c.eat("by") {
        true => Ok(Pick::Index(c.list("(", ")", Cursor::integer)?)),
        false => Ok(Pick::Dim(c.integer()?)),
    }
}

impl Attr for Body {
    fn write(&self, out: &mut String, cx: AttrCx<'_>) -> fmt::Result {
        write_body_graph(out, self.graph(), cx.options)
    }

    fn parse(c: &mut Cursor<'_>, _result: &TensorType) -> Parse<Body> {
        parse_body_graph(c).map(Body::from)
    }
}

/// The name of a scalar function.
pub(crate) fn parse_func(c: &mut Cursor<'_>) -> Parse<ScalarFn> {
    c.word_as("a scalar function", ScalarFn::from_mnemonic)
}
