//! A walk over the protobuf wire format before the generated parser sees the bytes.
//!
//! It tells a truncated file from a foreign one, bounds nesting, and refuses groups (deprecated,
//! never used by ONNX): the generated parser skips unknown groups by unbounded recursion.

use crate::code::Code;
use edgecc_ir::diag::Diagnostic;

/// Nesting of messages; a model without subgraphs needs 7 levels.
const MAX_DEPTH: usize = 60;

/// The message types that can contain others, `Leaf` for all that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Annotation,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    ElementType,
    MapType,
    Shape,
    Leaf,
}

/// The message in a field, if the field holds one (field numbers from `onnx.proto`).
fn child(message: Message, field: u64) -> Option<Message> {
    use Message as M;
    match (message, field) {
        (M::Model, 7) | (M::Training, 1 | 2) | (M::Attribute, 6 | 11) => Some(M::Graph),
        (M::Model, 20) => Some(M::Training),
        (M::Model, 25) => Some(M::Function),
        (M::Graph, 1) | (M::Function, 7) => Some(M::Node),
        (M::Graph, 5) | (M::Attribute, 5 | 10) | (M::Sparse, 1 | 2) => Some(M::Tensor),
        (M::Graph, 15) | (M::Attribute, 22 | 23) => Some(M::Sparse),
        (M::Graph, 11..=13) | (M::Function, 12) => Some(M::ValueInfo),
        (M::Graph, 14) => Some(M::Annotation),
        (M::Node, 5) | (M::Function, 11) => Some(M::Attribute),
        (M::ValueInfo, 2) | (M::Attribute, 14 | 15) => Some(M::Type),
        (M::Type, 1 | 8) => Some(M::TensorType),
        (M::Type, 4 | 9) => Some(M::ElementType),
        (M::Type, 5) => Some(M::MapType),
        (M::ElementType, 1) | (M::MapType, 2) => Some(M::Type),
        (M::TensorType, 2) => Some(M::Shape),
        (M::Shape, 1) | (M::Annotation, 2) | (M::ValueInfo, 4) | (M::Node, 9) => Some(M::Leaf),
        (M::Model, 8 | 14) | (M::Training, 3 | 4) | (M::Function, 9 | 14) => Some(M::Leaf),
        (M::Graph, 16) | (M::Tensor, 3 | 13 | 16) => Some(M::Leaf),
        _ => None,
    }
}

/// Why the bytes are refused.
enum Fault {
    /// A field of the outermost message ends after the file.
    Truncated,
    /// Not the protobuf wire format, or not within the limits.
    Malformed(&'static str),
}

/// Checks that the bytes are a well-formed message of bounded depth without groups.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Diagnostic> {
    let fault = match scan(bytes) {
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    Err(match fault {
        Fault::Truncated if looks_like_model(bytes) => Code::Truncated
            .error("the model ends in the middle of a field")
            .note(format!("the file has {} bytes", bytes.len()))
            .help("download or export the model again"),
        Fault::Truncated => not_onnx("a field is longer than the file"),
        Fault::Malformed(why) => not_onnx(why),
    })
}

fn not_onnx(why: &str) -> Diagnostic {
    Code::NotOnnx
        .error("the file is not an ONNX model")
        .note(why)
        .help("check that the path names the model itself")
}

/// Every exporter writes the IR version, field 1, first.
fn looks_like_model(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x08)
}

fn scan(bytes: &[u8]) -> Result<(), Fault> {
    let mut at = 0;
    let mut open = vec![(Message::Model, bytes.len())];
    while let Some(&(message, end)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let overrun = if open.len() == 1 {
            Fault::Truncated
        } else {
            Fault::Malformed("a nested message overruns")
        };
        let Some((field, skipped)) = read_field(bytes, &mut at, end)? else { return Err(overrun) };
        match child(message, field) {
            Some(inner) if skipped.is_message => {
                if open.len() == MAX_DEPTH {
                    return Err(Fault::Malformed("messages are nested too deeply"));
                }
                open.push((inner, skipped.end));
            }
            _ => at = skipped.end,
        }
    }
    Ok(())
}

/// The extent of a field's value, which starts at the cursor.
struct Value {
    end: usize,
    /// Length-delimited: may hold a message.
    is_message: bool,
}

/// Reads a tag and, if there is one, a length. `None` when the value does not end before `end`.
fn read_field(bytes: &[u8], at: &mut usize, end: usize) -> Result<Option<(u64, Value)>, Fault> {
    let Some(tag) = varint(bytes, at, end)? else { return Ok(None) };
    let length = match tag & 7 {
        0 => {
            let start = *at;
            let Some(_) = varint(bytes, at, end)? else { return Ok(None) };
            let length = *at - start;
            *at = start;
            length as u64
        }
        1 => 8,
        2 => match varint(bytes, at, end)? {
            Some(length) => length,
            None => return Ok(None),
        },
        3 | 4 => return Err(Fault::Malformed("the message contains a group")),
        5 => 4,
        _ => return Err(Fault::Malformed("a field has no known wire type")),
    };
    if tag >> 3 == 0 {
        return Err(Fault::Malformed("a field has the number 0"));
    }
    let value_end = usize::try_from(length).ok().and_then(|l| at.checked_add(l));
    Ok(value_end
        .filter(|&e| e <= end)
        .map(|e| (tag >> 3, Value { end: e, is_message: tag & 7 == 2 })))
}

fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Result<Option<u64>, Fault> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        if *at == end {
            return Ok(None);
        }
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(Some(value));
        }
    }
    Err(Fault::Malformed("a number has more than 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::check;

    fn code(bytes: &[u8]) -> Option<&'static str> {
        check(bytes).err().map(|d| d.code)
    }

    #[test]
    fn a_cut_message_is_truncated_and_foreign_bytes_are_not_onnx() {
        assert_eq!(code(&[0x08, 0x07, 0x3a, 0x05, 0x0a]), Some("truncated"));
        assert_eq!(code(b"PK\x03\x04 a zip archive"), Some("not-onnx"));
        assert_eq!(code(&[0x08, 0x07]), None);
    }

    #[test]
    fn groups_and_deep_nesting_are_refused_without_recursion() {
        assert_eq!(code(&vec![0x0b; 1 << 20]), Some("not-onnx"));
        let mut nested = Vec::new();
        for _ in 0..200 {
            let mut outer = vec![0x0a];
            let mut length = nested.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.append(&mut nested);
            nested = outer;
        }
        assert_eq!(code(&nested), None, "a nested string is not a message");
    }
}
