//! Activation functions by name, with their parameters.

use crate::context::{ImportCx, invalid};
use crate::emit::Body;
use crate::ops::elementwise::{hard_sigmoid, relu, sigmoid, softplus, softsign};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::scalar::NodeId;
use edgecc_ir::scalar::func::ScalarFn as F;

/// An activation function.
#[derive(Clone, Copy)]
pub(super) struct Activation {
    function: fn(&mut Body<'_>, NodeId, f32, f32) -> NodeId,
    alpha: f32,
    beta: f32,
}

/// Name, function, and the default parameters, where the function has some.
struct Row {
    name: &'static str,
    function: fn(&mut Body<'_>, NodeId, f32, f32) -> NodeId,
    alpha: Option<f32>,
    beta: Option<f32>,
}

const fn plain(name: &'static str, function: fn(&mut Body<'_>, NodeId, f32, f32) -> NodeId) -> Row {
    Row { name, function, alpha: None, beta: None }
}

const ROWS: &[Row] = &[
    plain("Relu", |b, x, _, _| relu(b, x)),
    plain("Sigmoid", |b, x, _, _| sigmoid(b, x)),
    plain("Softplus", |b, x, _, _| softplus(b, x)),
    plain("Softsign", |b, x, _, _| softsign(b, x)),
    plain("Tanh", |b, x, _, _| b.f1(F::Tanh, x)),
    Row { alpha: Some(1.0), beta: Some(0.0), ..plain("Affine", affine) },
    Row { alpha: Some(1.0), ..plain("Elu", elu) },
    Row { alpha: Some(0.2), beta: Some(0.5), ..plain("HardSigmoid", hard_sigmoid) },
    Row { alpha: Some(0.01), ..plain("LeakyRelu", leaky_relu) },
    Row { alpha: Some(1.0), beta: Some(1.0), ..plain("ScaledTanh", scaled_tanh) },
    Row { alpha: Some(1.0), ..plain("ThresholdedRelu", thresholded_relu) },
];

/// The activations of all directions: those of the attributes, or the defaults. Functions with
/// parameters take theirs from the lists in turn.
pub(super) fn read(
    cx: &mut ImportCx<'_>,
    defaults: &[&str],
    directions: usize,
) -> Result<Vec<Activation>, Diagnostic> {
    let names = match cx.strings("activations")? {
        Some(names) => names,
        None => defaults.repeat(directions).into_iter().map(str::to_owned).collect(),
    };
    let mut alphas = cx.floats("activation_alpha")?.unwrap_or_default().into_iter();
    let mut betas = cx.floats("activation_beta")?.unwrap_or_default().into_iter();
    if names.len() != defaults.len() * directions {
        return Err(invalid("activations", "does not have one name per gate and direction"));
    }
    let named = names.iter().map(|name| {
        let row = ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name));
        let row = row.ok_or_else(|| invalid("activations", format!("names {name:?}")))?;
        let alpha = row.alpha.map_or(0.0, |default| alphas.next().unwrap_or(default));
        let beta = row.beta.map_or(0.0, |default| betas.next().unwrap_or(default));
        Ok(Activation { function: row.function, alpha, beta })
    });
    named.collect()
}

impl Activation {
    /// The function of a value.
    pub(super) fn apply(self, b: &mut Body<'_>, x: NodeId) -> NodeId {
        (self.function)(b, x, self.alpha, self.beta)
    }
}

fn affine(b: &mut Body<'_>, x: NodeId, alpha: f32, beta: f32) -> NodeId {
    let (alpha, beta) = (b.num(f64::from(alpha)), b.num(f64::from(beta)));
    let scaled = b.mul(alpha, x);
    b.sum(scaled, beta)
}

fn elu(b: &mut Body<'_>, x: NodeId, alpha: f32, _beta: f32) -> NodeId {
    let (power, one, alpha) = (b.f1(F::Exp, x), b.num(1.0), b.num(f64::from(alpha)));
    let shifted = b.sub(power, one);
    let low = b.mul(alpha, shifted);
    negative_or_same(b, x, low)
}

fn leaky_relu(b: &mut Body<'_>, x: NodeId, alpha: f32, _beta: f32) -> NodeId {
    let alpha = b.num(f64::from(alpha));
    let low = b.mul(alpha, x);
    negative_or_same(b, x, low)
}

fn scaled_tanh(b: &mut Body<'_>, x: NodeId, alpha: f32, beta: f32) -> NodeId {
    let (alpha, beta) = (b.num(f64::from(alpha)), b.num(f64::from(beta)));
    let scaled = b.mul(beta, x);
    let curved = b.f1(F::Tanh, scaled);
    b.mul(alpha, curved)
}

fn thresholded_relu(b: &mut Body<'_>, x: NodeId, alpha: f32, _beta: f32) -> NodeId {
    let (zero, alpha) = (b.num(0.0), b.num(f64::from(alpha)));
    let below = b.f2(F::Lt, x, alpha);
    b.select(below, zero, x)
}

fn negative_or_same(b: &mut Body<'_>, x: NodeId, low: NodeId) -> NodeId {
    let zero = b.num(0.0);
    let negative = b.f2(F::Lt, x, zero);
    b.select(negative, low, x)
}
