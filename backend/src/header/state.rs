//! The struct of a model's state in C and Rust, laid out as the descriptor says.

use super::c::c_type;
use super::names;
use super::rust::rust_type;
use crate::interface::{Interface, StatePort};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::ElemType;
use std::fmt::Write;

/// The struct, its size and its reset function in C.
pub(super) fn c(name: &str, upper: &str, interface: &Interface) -> Result<String, Vec<Diagnostic>> {
    let fields: String = fields(interface)?.iter().map(Field::c).collect();
    let size = interface.state_bytes;
    let reset = c_reset(upper, &interface.initial_state());
    Ok(format!(
        "/* What the model keeps from one run to the next. Reset it before the first run. */
typedef struct {name}_state {{
{fields}}} {name}_state;
#define {upper}_STATE_SIZE {size}u

static inline void {name}_state_reset({name}_state *state) {{
{reset}}}

"
    ))
}

/// The struct in Rust.
pub(super) fn rust(interface: &Interface) -> Result<String, Vec<Diagnostic>> {
    let fields: String = fields(interface)?.iter().map(Field::rust).collect();
    Ok(format!(
        "edgecc_rt::state_struct! {{
    /// What the model keeps from one run to the next.
    pub struct State {{
{fields}    }}
}}
"
    ))
}

/// A member of the struct.
enum Field<'a> {
    Tensor(String, &'a StatePort),
    /// Bytes that align the next member, or the struct behind the last one.
    Gap(usize, usize),
}

/// The members without implicit gaps; C has no members of size 0.
fn fields(interface: &Interface) -> Result<Vec<Field<'_>>, Vec<Diagnostic>> {
    let ports: Vec<_> = interface.states.iter().map(|state| state.port.clone()).collect();
    let mut fields = Vec::new();
    let mut end = 0;
    let named = names::identifiers(&ports)?.into_iter().zip(&interface.states);
    for (name, state) in named.filter(|(_, state)| state.port.ty.bytes() > 0) {
        fields.extend((state.offset > end).then(|| Field::Gap(end, state.offset - end)));
        end = state.offset + state.port.ty.bytes();
        fields.push(Field::Tensor(name, state));
    }
    fields.extend(
        (interface.state_bytes > end).then(|| Field::Gap(end, interface.state_bytes - end)),
    );
    Ok(fields)
}

impl Field<'_> {
    fn c(&self) -> String {
        match self {
            Field::Gap(at, bytes) => format!("    unsigned char gap_{at}[{bytes}];\n"),
            Field::Tensor(name, state) => {
                let ty = &state.port.ty;
                format!("    {} {name}[{}]; /* {ty} */\n", c_type(ty.elem), ty.shape.numel())
            }
        }
    }

    fn rust(&self) -> String {
        match self {
            Field::Gap(at, n) => format!("        _gap_{at}: [u8; {n}] = [0; {n}],\n"),
            Field::Tensor(name, state) => {
                let (ty, count) = (&state.port.ty, state.port.ty.shape.numel());
                let elem = rust_type(ty.elem);
                let initial = rust_initial(state.initial.as_ref(), ty.elem, count);
                format!("        /// `{ty}`.\n        pub {name}: [{elem}; {count}] = {initial},\n")
            }
        }
    }
}

/// The statements that write the initial bytes; empty ones stand for zeros.
fn c_reset(upper: &str, initial: &[u8]) -> String {
    let (table, value) = match initial {
        [] => (String::new(), "0"),
        bytes => (c_table(bytes), "initial[i]"),
    };
    format!(
        "{table}    unsigned char *bytes = (unsigned char *)state;
    size_t i;
    for (i = 0; i < {upper}_STATE_SIZE; i++) {{
        bytes[i] = {value};
    }}
"
    )
}

fn c_table(bytes: &[u8]) -> String {
    let mut text = "    static const unsigned char initial[] = {\n".to_owned();
    for row in bytes.chunks(16) {
        let row: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "        {},", row.join(", "));
    }
    text + "    };\n"
}

fn rust_initial(initial: Option<&Tensor>, elem: ElemType, count: usize) -> String {
    match initial {
        None => format!("[{}; {count}]", rust_literal(Scalar::from_bits(elem, 0))),
        Some(tensor) => {
            let values: Vec<String> = tensor.iter().map(rust_literal).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// Floats that are not plain numbers keep their bits.
fn rust_literal(value: Scalar) -> String {
    match value.elem() {
        ElemType::F32 => match f32::from_bits(value.bits() as u32) {
            v if v.is_finite() => format!("{v:?}"),
            _ => format!("f32::from_bits({:#x})", value.bits()),
        },
        ElemType::F64 => match f64::from_bits(value.bits()) {
            v if v.is_finite() => format!("{v:?}"),
            _ => format!("f64::from_bits({:#x})", value.bits()),
        },
        ElemType::F16 | ElemType::Bool | ElemType::U64 => value.bits().to_string(),
        ElemType::I8
        | ElemType::U8
        | ElemType::I16
        | ElemType::U16
        | ElemType::I32
        | ElemType::U32
        | ElemType::I64 => value.as_i64().to_string(),
    }
}
