//! # Room: edgecc-rt
//!
//! Purpose   the contract between a compiled model and its caller, made pleasant in Rust and C.
//! In → Out  (descriptor, entry point, tensors, workspace) → outputs or an error.
//! Owns      every number of the C ABI: layouts, element, architecture and status codes, CPU
//!           feature bits, symbol names. `edgecc.h` and `docs/abi.md` are checked against them.
//! Never     allocates, panics or keeps state on the path of a run; knows the compiler; depends
//!           on another crate. A compiled object never needs this crate to link.
//! To add    a CPU feature: a row in `feature`, a row in `cpu`, a line in `edgecc.h`. A descriptor
//!           field: a part of `reserved` in `abi`. A service: append to `abi::Services`.
//! Tests     `mod tests` in each file; `tests/c` runs a model written in C both ways.
//!
//! `cargo rustc -p edgecc-rt --release --features std --crate-type staticlib` makes
//! `libedgecc_rt.a`, the C library that goes with `include/edgecc.h`.

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![warn(clippy::undocumented_unsafe_blocks)]

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("compiled models exist for 64-bit little-endian targets only");

pub mod abi;
pub mod buffer;
pub mod cpu;
pub mod descriptor;
pub mod error;
pub mod feature;
pub mod hooks;
mod layout;
pub mod model;
pub mod status;

#[cfg(feature = "std")]
pub mod capi;
#[cfg(all(feature = "std", unix))]
pub mod load;
#[cfg(feature = "std")]
pub mod pool;

#[cfg(all(test, feature = "std"))]
mod testing;
