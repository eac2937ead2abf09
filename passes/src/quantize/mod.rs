//! The numbers of quantisation: what values and weights become codes with.
//!
//! Purpose   scales, codes, biases and which layers to leave alone, from data that was seen.
//! In → Out  histograms, weights, products of inputs → ranges, codes, a choice of layers. Pure.
//! Owns      every formula of post-training quantisation.
//! Never     runs a model, sees ONNX, reads a file.
//! To add    a way to choose ranges: a variant of `range::Method` and its row.
//! Tests     `mod tests` in each file.

pub mod blocks;
pub mod equalize;
pub mod gram;
pub mod histogram;
pub mod range;
pub mod reconstruct;
pub mod round;
pub mod select;
pub mod shift;
pub mod weights;
pub mod width;
