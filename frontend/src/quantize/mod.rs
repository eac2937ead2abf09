//! Quantisation of ONNX models: which layers there are, and models in which they compute with
//! codes, in the standard form of `QuantizeLinear` and `DequantizeLinear`.
//!
//! Purpose   rewrites models; what the scales and the codes are is decided elsewhere.
//! In → Out  a model → `FloatModel`; with a `Plan` → the bytes of another model.
//! Owns      which operators are layers (`layers`), and how codes pass through others (`roles`).
//! Never     runs a model, looks at data.
//! To add    an operator that moves or computes on codes: a row in `roles`. A change of an
//!           operator between versions: a row in `upgrade`.
//! Tests     `mod tests` in each file; `tests/cli`; `cargo xtask quantise`.
//!
//! A layer computes with codes or in `f32`. What lies between layers is computed in `f32`, except
//! where all that reads it is quantised and the operator moves codes or computes on them: then its
//! operands are quantised too. A value that is read in both forms is computed in both.

mod affine;
mod branches;
mod dynamic;
mod edit;
mod fold;
mod layers;
mod model;
mod roles;
mod scale;
mod stages;
mod stored;
#[cfg(test)]
mod testing;
mod upgrade;
mod weave;

pub use layers::{Layer, Operand, Reach, Weights, Window};
pub use stored::StoredCodes;
pub use weave::{Flow, is_shift, is_switch, shift, switch};

use crate::code::Code;
use crate::{ImportOptions, proto, tensor, wire};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::types::ElemType;
use model::Uses;
use onnx_protobuf::{GraphProto, Message, ModelProto, TensorProto, ValueInfoProto};
use roles::Views;
use std::collections::{BTreeMap, BTreeSet};
use weave::{Mode, code_result, float_result, weave};

/// The operator set in which scales per channel appeared.
const OPSET: i64 = 13;

/// The IR version that belongs to it.
const IR_VERSION: i64 = 7;

/// A model in `f32` with the form that quantisation starts from: weights are stored, what can be
/// part of a convolution is.
#[derive(Clone, Debug)]
pub struct FloatModel {
    proto: ModelProto,
    /// In the order of nodes.
    pub layers: Vec<Layer>,
}

/// How the elements of a value become codes: `round(x / scale) + zero`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// `i8` or `u8`.
    pub elem: ElemType,
    /// Positive.
    pub scale: f32,
    /// The code of zero.
    pub zero: i32,
}

/// The codes of a layer's weights, and its bias.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCodes {
    /// As the weights'.
    pub dims: Vec<usize>,
    /// From -128 to 127, the code of zero is 0.
    pub codes: Vec<i32>,
    /// One for each channel.
    pub scales: Vec<f32>,
    /// The dimension of channels.
    pub axis: usize,
    /// In `f32`, one for each channel.
    pub bias: Vec<f32>,
}

/// Scales and codes for all layers of a model.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Values that share a scale have one representative.
    pub leaders: BTreeMap<String, String>,
    /// By representative.
    pub values: BTreeMap<String, Affine>,
    /// One for each layer; nothing for layers without weights.
    pub layers: Vec<Option<LayerCodes>>,
    /// What is added to the results of layers with weights, whether they compute with codes or not:
    /// a number for each channel.
    pub shifts: BTreeMap<usize, Vec<f32>>,
}

impl Plan {
    fn leader<'a>(&'a self, value: &'a str) -> &'a str {
        self.leaders.get(value).map_or(value, String::as_str)
    }

    fn affine(&self, value: &str) -> &Affine {
        &self.values[self.leader(value)]
    }

    /// A bias and what is added to the results of the layer.
    fn shifted(&self, layer: usize, bias: &[f32]) -> Vec<f32> {
        match self.shifts.get(&layer) {
            Some(shifts) => bias.iter().zip(shifts).map(|(b, s)| b + s).collect(),
            None => bias.to_vec(),
        }
    }
}

/// Reads a model; weights in other files come inside. `options` are those of an import.
///
/// # Errors
/// When the model cannot be read, or is too old.
pub fn prepare(bytes: &[u8], options: &ImportOptions<'_>) -> Result<FloatModel, Vec<Diagnostic>> {
    wire::check(bytes).map_err(|problem| vec![problem])?;
    let mut proto = ModelProto::parse_from_bytes(bytes).map_err(|e| {
        vec![Code::NotOnnx.error("the file is not an ONNX model").note(e.to_string())]
    })?;
    let opset = model::opset(&proto);
    if opset < upgrade::OLDEST {
        let message = format!("models of opset {opset} cannot be quantised");
        let help = format!("convert the model to opset {} or newer", upgrade::OLDEST);
        return Err(vec![Code::UnsupportedOpset.error(message).help(help)]);
    }
    let Some(graph) = proto.graph.as_mut() else {
        return Err(vec![Code::NotOnnx.error("the file is not an ONNX model")]);
    };
    load_external(graph, options).map_err(|problem| vec![problem])?;
    let given = fold::given(graph, options);
    hide_defaults(graph, options);
    upgrade::upgrade(&mut proto, OPSET);
    fold::fold(&mut proto, &given);
    while proto.graph.as_mut().is_some_and(|graph| branches::inline(graph, &given)) {
        fold::fold(&mut proto, &given);
    }
    proto.ir_version = proto.ir_version.max(IR_VERSION);
    let graph = proto.graph.as_mut().expect("it was there before");
    affine::fold(graph);
    model::remove_dead(graph);
    name_nodes(graph);
    let layers = layers::layers(graph);
    Ok(FloatModel { proto, layers })
}

impl FloatModel {
    /// The model.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        written(&self.proto)
    }

    /// How many outputs it has.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.proto.graph.output.len()
    }

    /// The values that are quantised when certain layers are, each with the representative of those
    /// that share its scale.
    #[must_use]
    pub fn views(&self, is_quantised: impl Fn(usize) -> bool) -> BTreeMap<String, String> {
        let graph = &self.proto.graph;
        let uses = Uses::of(graph);
        let mut views = Views::new(graph, &uses);
        let layers = self.layers.iter().enumerate().filter(|(n, _)| is_quantised(*n));
        layers.flat_map(|(_, layer)| layer.values()).for_each(|value| views.add(value));
        views.groups()
    }

    /// Whether the channels of a layer's input can be scaled.
    #[must_use]
    pub fn is_scalable(&self, value: &str) -> bool {
        let graph = &self.proto.graph;
        scale::is_scalable(graph, &Uses::of(graph), value)
    }

    /// The same function with the channels of layers' inputs divided by factors, for which the
    /// layers' weights make up.
    #[must_use]
    pub fn scaled(&self, factors: &BTreeMap<String, Vec<f32>>) -> FloatModel {
        let mut proto = self.proto.clone();
        let graph = proto.graph.as_mut().expect("a prepared model has a graph");
        scale::scale(graph, &self.layers, factors);
        model::remove_dead(graph);
        let layers = layers::layers(graph);
        FloatModel { proto, layers }
    }

    /// The model with certain layers quantised.
    #[must_use]
    pub fn quantised(&self, plan: &Plan, is_quantised: impl Fn(usize) -> bool) -> Vec<u8> {
        let mode = |n| if is_quantised(n) { Mode::Codes } else { Mode::Float };
        let modes: Vec<Mode> = (0..self.layers.len()).map(mode).collect();
        self.woven(plan, &modes, &[])
    }

    /// A model in which the input `switch` of each of certain layers chooses how it computes. The
    /// input `shift` of those with weights is added to their results, which are further outputs.
    #[must_use]
    pub fn switchable(&self, plan: &Plan, is_quantised: impl Fn(usize) -> bool) -> Vec<u8> {
        let mode = |n| if is_quantised(n) { Mode::Either } else { Mode::Float };
        let modes: Vec<Mode> = (0..self.layers.len()).map(mode).collect();
        let has_shift =
            |(n, layer): &(usize, &Layer)| is_quantised(*n) && layer.weights().is_some();
        let shifted = self.layers.iter().enumerate().filter(has_shift);
        let results: Vec<String> = shifted.map(|(_, layer)| layer.output.clone()).collect();
        self.woven(plan, &modes, &results)
    }

    /// Layers with weights that depend on none of the same list, only on those of lists before.
    #[must_use]
    pub fn stages(&self) -> Vec<Vec<usize>> {
        stages::stages(&self.proto.graph, &self.layers)
    }

    /// A model that computes certain layers in both ways. Its further outputs are their
    /// `float_result` and `code_result`, one layer after the other.
    #[must_use]
    pub fn in_both_ways(
        &self,
        plan: &Plan,
        is_quantised: impl Fn(usize) -> bool,
        flow: Flow,
    ) -> Vec<u8> {
        let mode = |n| if is_quantised(n) { Mode::Both(flow) } else { Mode::Float };
        let modes: Vec<Mode> = (0..self.layers.len()).map(mode).collect();
        let both = self.layers.iter().zip(&modes).filter(|(_, mode)| **mode != Mode::Float);
        let results =
            both.flat_map(|(layer, _)| [float_result(&layer.name), code_result(&layer.name)]);
        self.woven(plan, &modes, &results.collect::<Vec<_>>())
    }

    /// The model with further outputs.
    #[must_use]
    pub fn with_outputs(&self, outputs: &[String]) -> Vec<u8> {
        let mut proto = self.proto.clone();
        add_outputs(proto.graph.as_mut().expect("a prepared model has a graph"), outputs);
        written(&proto)
    }

    fn woven(&self, plan: &Plan, modes: &[Mode], outputs: &[String]) -> Vec<u8> {
        let graph = weave(&self.proto.graph, &self.layers, plan, modes, outputs);
        let proto = ModelProto { graph: Some(graph).into(), ..self.proto.clone() };
        written(&proto)
    }
}

fn written(proto: &ModelProto) -> Vec<u8> {
    proto.write_to_bytes().expect("messages in memory can be written")
}

/// Adds outputs that are not there yet.
fn add_outputs(graph: &mut GraphProto, names: &[String]) {
    let mut known: BTreeSet<String> =
        graph.output.iter().map(|output| output.name.clone()).collect();
    for name in names.iter().filter(|name| known.insert((*name).clone())) {
        graph.output.push(ValueInfoProto { name: name.clone(), ..Default::default() });
    }
}

/// Reads weights that are stored outside.
fn load_external(graph: &mut GraphProto, options: &ImportOptions<'_>) -> Result<(), Diagnostic> {
    for stored in graph.initializer.iter_mut().filter(|t| !t.external_data.is_empty()) {
        let data = proto::convert_tensor(stored.clone());
        let place = format!("initializer {:?}", stored.name);
        let (value, _) = tensor::decode(data, options.external).map_err(|p| p.at(place))?;
        let plain = edit::stored(&stored.name, &value);
        *stored = TensorProto { data_type: stored.data_type, ..plain };
    }
    Ok(())
}

/// Inputs that only give a name to a stored tensor go; a state stays.
fn hide_defaults(graph: &mut GraphProto, options: &ImportOptions<'_>) {
    let stored: BTreeSet<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
    graph
        .input
        .retain(|input| !stored.contains(&input.name) || options.states.contains(&input.name));
}

/// Gives each node a name that no other has.
fn name_nodes(graph: &mut GraphProto) {
    let mut names = BTreeSet::new();
    for (at, node) in graph.node.iter_mut().enumerate() {
        if node.name.is_empty() {
            node.name = format!("{}_{at}", node.op_type);
        }
        while !names.insert(node.name.clone()) {
            node.name += "_";
        }
    }
}
