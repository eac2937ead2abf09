//! # Room: edgecc-rt
//!
//! **Purpose** · The contract between a compiled model and the program that calls it, and a small
//! library that makes the contract pleasant from Rust and from C.
//!
//! **In → Out** · (descriptor, entry point, tensors, workspace) → outputs or an error.
//! `libedgecc_rt.a` offers the same to C: `cargo rustc -p edgecc-rt --release --features std
//! --crate-type staticlib`, used with `include/edgecc.h`.
//!
//! **Owns** · Every number of the C ABI: struct layouts, element, architecture and status codes,
//! CPU feature bits, symbol names (`abi`, `status`, `feature`). `edgecc.h` and `docs/abi.md`
//! repeat them and are checked against this crate by its tests.
//!
//! **Never** · Allocates, panics or keeps state on the path of a run; knows IR, targets or files
//! of the compiler; depends on another crate. A compiled object never needs this crate to link.
//!
//! **To add** · A CPU feature: a row in `feature`, a row in `cpu`, a line in `edgecc.h`. A
//! descriptor field: take it from `reserved` in `abi`, then the header and `docs/abi.md`. A
//! service: append to `abi::Services`; older callers are told apart by `Services::size`.
//!
//! **Tests** · At the end of each file; `tests/c` compiles the header as C99 and C++ and runs a
//! model written in C through the loader.

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
