//! The C side: `edgecc.h` against the Rust definitions, and a model written in C through the
//! loader. Where there is no C compiler, only the header's text is checked.

mod compiler;
mod header;
mod run;
