//! Everything that can go wrong between a caller and a model.

use core::fmt;

use crate::abi::{ABI_VERSION, Arch};
use crate::feature;
use crate::model::MAX_PORTS;
use crate::status::Status;

/// Why a model was refused or a run did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The descriptor is not one.
    Descriptor(Malformed),
    /// The model is for another instruction set.
    Arch(Arch),
    /// The processor lacks these features, as bits of [`crate::feature`].
    Cpu(u64),
    /// The model has so many inputs or outputs that a safe run cannot list them.
    TooManyPorts(usize),
    /// The number of tensors is not the model's.
    Count {
        /// Which list.
        port: Port,
        /// What the model has.
        expected: usize,
        /// What the caller gave.
        found: usize,
    },
    /// A tensor's buffer has the wrong length.
    Size {
        /// Which buffer.
        at: Place,
        /// Bytes that the model takes.
        expected: u64,
        /// Bytes that the caller gave.
        found: usize,
    },
    /// A buffer does not start at a multiple of its alignment.
    Align {
        /// Which buffer.
        at: Place,
        /// The alignment in bytes.
        required: usize,
    },
    /// The model returned an error of its own.
    Run(Status),
    /// The model returned a code that this library does not know.
    UnknownStatus(i32),
}

/// Why bytes are not a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It or its table of tensors is null or not at a multiple of 8.
    Address,
    /// Something lies beyond the end.
    Truncated,
    /// The first bytes are not the magic.
    Magic,
    /// Another version of the ABI.
    Version(u32),
    /// An unknown architecture code.
    Arch(u32),
    /// An alignment is not a power of two.
    Align(u32),
    /// A string is not UTF-8 or not followed by zero.
    Text,
    /// The type, rank or size of a tensor contradicts the rest of it.
    Tensor {
        /// Its place among the inputs and outputs together.
        index: usize,
    },
    /// The initial state has another size than the state, or a state lies outside of it.
    State,
    /// Something does not fit the width of its field.
    TooLarge,
}

/// A list of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The inputs.
    Input,
    /// The outputs.
    Output,
}

/// A buffer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A tensor, by list and index.
    Tensor(Port, usize),
    /// The workspace.
    Workspace,
    /// What the model keeps between runs.
    State,
}

impl Error {
    /// The nearest status code, for callers that speak C.
    pub const fn status(self) -> Status {
        match self {
            Error::Descriptor(_) => Status::Abi,
            Error::Arch(_) | Error::Cpu(_) => Status::Cpu,
            Error::Size { at: Place::Workspace, .. } => Status::Workspace,
            Error::Size { at: Place::State, .. } => Status::State,
            Error::TooManyPorts(_) | Error::Count { .. } | Error::Size { .. } => Status::Dim,
            Error::Align { .. } => Status::Align,
            Error::Run(status) => status,
            Error::UnknownStatus(_) => Status::Abi,
        }
    }
}

impl From<Malformed> for Error {
    fn from(why: Malformed) -> Self {
        Error::Descriptor(why)
    }
}

impl core::error::Error for Error {}

impl core::error::Error for Malformed {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Descriptor(why) => write!(f, "the model's descriptor is invalid: {why}"),
            Error::Arch(arch) => write!(f, "the model is compiled for {}", arch.name()),
            Error::Cpu(missing) => write_missing(f, missing),
            Error::TooManyPorts(count) => {
                write!(f, "the model has {count} tensors on one side, the limit is {MAX_PORTS}")
            }
            Error::Count { port, expected, found } => {
                write!(f, "the model has {expected} {port}s, the call {found}")
            }
            Error::Size { at, expected, found } => {
                write!(f, "{at} takes {expected} bytes, the buffer has {found}")
            }
            Error::Align { at, required } => {
                write!(f, "{at} must be aligned to {required} bytes")
            }
            Error::Run(status) => write!(f, "the model refused the call: {status}"),
            Error::UnknownStatus(code) => write!(f, "the model returned unknown code {code}"),
        }
    }
}

fn write_missing(f: &mut fmt::Formatter<'_>, missing: u64) -> fmt::Result {
    f.write_str("the model needs CPU features that are not available:")?;
    feature::names(missing).try_for_each(|name| write!(f, " {name}"))
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Malformed::Address => f.write_str("it or its tensors are not at a multiple of 8"),
            Malformed::Truncated => f.write_str("it ends too early"),
            Malformed::Magic => f.write_str("it does not start with the magic bytes"),
            Malformed::Version(found) => {
                write!(f, "it has ABI version {found}, this library reads {ABI_VERSION}")
            }
            Malformed::Arch(code) => write!(f, "architecture code {code} is unknown"),
            Malformed::Align(align) => write!(f, "alignment {align} is no power of two"),
            Malformed::Text => f.write_str("a string is not UTF-8 with a zero behind it"),
            Malformed::Tensor { index } => write!(f, "tensor {index} is inconsistent"),
            Malformed::State => f.write_str("its states and their memory do not fit"),
            Malformed::TooLarge => f.write_str("a value does not fit its field"),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Port::Input => "input",
            Port::Output => "output",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tensor(port, index) => write!(f, "{port} {index}"),
            Place::Workspace => f.write_str("the workspace"),
            Place::State => f.write_str("the state"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Place, Port};
    use crate::feature::{X86_AVX2, X86_FMA};

    #[test]
    fn messages_name_the_thing() {
        let text = Error::Cpu(X86_AVX2 | X86_FMA).to_string();
        assert!(text.ends_with("not available: avx2 fma"), "{text}");
        let at = Place::Tensor(Port::Output, 1);
        let text = Error::Size { at, expected: 40, found: 39 }.to_string();
        assert_eq!(text, "output 1 takes 40 bytes, the buffer has 39");
    }
}
