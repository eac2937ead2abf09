//! Constants of signal processing: window functions and the mel filter bank.

use super::Import::One;
use super::{OnnxOp, row};
use crate::code::Code;
use crate::context::{ImportCx, invalid};
use crate::tensor::elem_type;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use std::f64::consts::TAU;

pub(super) const OPS: &[OnnxOp] = &[
    row("BlackmanWindow", 17, 1..=1, One(|cx| window(cx, &[0.42, -0.5, 0.08]))).limits(SIZE),
    row("HammingWindow", 17, 1..=1, One(|cx| window(cx, &[25.0 / 46.0, -21.0 / 46.0])))
        .limits(SIZE),
    row("HannWindow", 17, 1..=1, One(|cx| window(cx, &[0.5, -0.5]))).limits(SIZE),
    row("MelWeightMatrix", 17, 5..=5, One(mel_weight_matrix)).limits("constant operands"),
];

const SIZE: &str = "constant size";

/// The longest window and the most frequencies or mel bands.
const MAX_SIZE: usize = 1 << 16;

/// Most elements of a filter bank.
const MAX_BANK: usize = 1 << 24;

fn output_type(cx: &mut ImportCx<'_>) -> Result<ElemType, Diagnostic> {
    let code = cx.int("output_datatype")?.unwrap_or(1);
    elem_type(i32::try_from(code).unwrap_or(0))
}

fn positive(cx: &ImportCx<'_>, n: usize, what: &str) -> Result<usize, Diagnostic> {
    let value = cx.const_scalar(n, what)?.and_then(|v| usize::try_from(v.as_i64()).ok());
    let value = value.filter(|v| (1..=MAX_SIZE).contains(v));
    value.ok_or_else(|| Code::ShapeMismatch.error(format!("{what} must be in 1 to {MAX_SIZE}")))
}

/// `Σ_k a_k · cos(2π·k·i / period)`.
fn window(cx: &mut ImportCx<'_>, coefficients: &[f64]) -> Result<OpId, Diagnostic> {
    let periodic = cx.flag("periodic", true)?;
    let elem = output_type(cx)?;
    let size = positive(cx, 0, "size")?;
    let period = (if periodic { size } else { size - 1 }).max(1) as f64;
    let value = |i: usize| {
        let term = |(k, a): (usize, &f64)| a * (TAU * (k * i) as f64 / period).cos();
        coefficients.iter().enumerate().map(term).sum()
    };
    let ty = TensorType::new(elem, &[size]);
    Ok(cx.emit.constant(Tensor::from_fn(ty, |i| Scalar::from_f64(elem, value(i)))))
}

/// Triangles over the frequencies of a transform, equally wide in mel (O'Shaughnessy 1987).
fn mel_weight_matrix(cx: &mut ImportCx<'_>) -> Result<OpId, Diagnostic> {
    let elem = output_type(cx)?;
    let bands = positive(cx, 0, "num_mel_bins")?;
    let length = positive(cx, 1, "dft_length")?;
    let number = |n, what| {
        let value = cx.const_scalar(n, what)?;
        Ok(value.ok_or_else(|| invalid(what, "is left out"))?.as_f64())
    };
    let rate = number(2, "sample_rate")?;
    let edges = (number(3, "lower_edge_hertz")?, number(4, "upper_edge_hertz")?);
    let frequencies = length / 2 + 1;
    if frequencies.saturating_mul(bands) > MAX_BANK {
        return Err(Code::TooLarge.error(format!("{bands} bands of {frequencies} frequencies")));
    }
    let corners = corners(bands, length, rate, edges);
    let ty = TensorType::new(elem, &[frequencies, bands]);
    let bank = Tensor::from_fn(ty, |i| {
        let (frequency, band) = ((i / bands) as i64, i % bands);
        Scalar::from_f64(elem, triangle(frequency, &corners[band..band + 3]))
    });
    Ok(cx.emit.constant(bank))
}

/// The frequency index of each band's lower corner; a band ends two corners later.
fn corners(bands: usize, length: usize, rate: f64, (low, high): (f64, f64)) -> Vec<i64> {
    let mel = |hertz: f64| 2595.0 * (hertz / 700.0).ln_1p() / std::f64::consts::LN_10;
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    let corner = |i: usize| {
        let mels = mel(low) + step * i as f64;
        let hertz = 700.0 * (mels / 2595.0 * std::f64::consts::LN_10).exp_m1();
        ((length + 1) as f64 * hertz / rate).floor() as i64
    };
    (0..bands + 2).map(corner).collect()
}

/// The height at a frequency of the triangle with three corners.
fn triangle(at: i64, corners: &[i64]) -> f64 {
    let (low, centre, high) = (corners[0], corners[1], corners[2]);
    match at {
        _ if (centre..high).contains(&at) => (high - at) as f64 / (high - centre) as f64,
        _ if at == centre => 1.0,
        _ if (low..centre).contains(&at) => (at - low) as f64 / (centre - low) as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::triangle;

    #[test]
    fn a_band_rises_to_its_centre_and_falls() {
        let heights = |corners: [i64; 3]| (0..6).map(|f| triangle(f, &corners)).collect::<Vec<_>>();
        assert_eq!(heights([0, 2, 4]), [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
        assert_eq!(heights([1, 1, 3]), [0.0, 1.0, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(heights([1, 3, 3]), [0.0, 0.0, 0.5, 1.0, 0.0, 0.0]);
    }
}
