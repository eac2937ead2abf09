//! Writes a model in which layers compute with quantised values: always, never, as an input of the
//! model says, or in both ways.

use super::edit::{self, Value, beside, node, with};
use super::layers::{Layer, Operand, Reach};
use super::model::{Uses, remove_dead};
use super::roles::{Role, operands, role};
use super::{Affine, LayerCodes, Plan, add_outputs};
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{ElemType, TensorType};
use onnx_protobuf::{GraphProto, NodeProto};
use std::collections::BTreeSet;

/// The largest code of a bias, so that sums of products have room beside it.
const LARGEST_BIAS: f64 = (1u32 << 30) as f64;

/// How a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// With codes.
    Codes,
    /// As in the model.
    Float,
    /// In one of the two ways, which an input chooses; another one is added to the result.
    Either,
    /// In both ways; the model goes on with the result of one.
    Both(Flow),
}

/// What a model goes on with where it has results of both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Results in `f32`.
    Float,
    /// Results on codes.
    Codes,
}

/// The boolean input that makes a layer compute in `f32`.
#[must_use]
pub fn switch(layer: &str) -> String {
    beside(layer, "float")
}

/// Whether an input is such a switch.
#[must_use]
pub fn is_switch(input: &str) -> bool {
    input.ends_with(&switch(""))
}

/// The input that is added to a layer's results: a number for each channel.
#[must_use]
pub fn shift(layer: &str) -> String {
    beside(layer, "shift")
}

/// Whether an input is added to results.
#[must_use]
pub fn is_shift(input: &str) -> bool {
    input.ends_with(&shift(""))
}

/// The result of a layer in `f32`, in a model with both.
#[must_use]
pub(super) fn float_result(layer: &str) -> String {
    beside(layer, "float_result")
}

/// The result of a layer on codes, in a model with both.
#[must_use]
pub(super) fn code_result(layer: &str) -> String {
    beside(layer, "code_result")
}

/// A graph under construction.
struct Weave<'a> {
    old: &'a GraphProto,
    uses: &'a Uses,
    plan: &'a Plan,
    nodes: Vec<NodeProto>,
    graph: GraphProto,
    /// Values and stored tensors that are already made.
    made: BTreeSet<String>,
}

/// The graph with each layer in its mode, and with further outputs.
pub(super) fn weave(
    old: &GraphProto,
    layers: &[Layer],
    plan: &Plan,
    modes: &[Mode],
    outputs: &[String],
) -> GraphProto {
    let uses = Uses::of(old);
    let graph = GraphProto { node: Vec::new(), ..old.clone() };
    let made = BTreeSet::new();
    let mut weave = Weave { old, uses: &uses, plan, nodes: Vec::new(), graph, made };
    for (at, node) in old.node.iter().enumerate() {
        let layer = layers.iter().position(|l| l.product == at || l.sum == Some(at));
        match layer {
            Some(n) if layers[n].sum.is_none_or(|sum| sum == at) => {
                weave.layer(&layers[n], modes[n], n);
            }
            Some(_) => {}
            None => weave.nodes.push(node.clone()),
        }
    }
    weave.graph.node = weave.nodes;
    add_outputs(&mut weave.graph, outputs);
    remove_dead(&mut weave.graph);
    weave.graph
}

impl Weave<'_> {
    fn layer(&mut self, layer: &Layer, mode: Mode, index: usize) {
        match mode {
            Mode::Float => self.float_layer(layer, &layer.output, index),
            Mode::Codes => self.code_layer(layer, &layer.output, index),
            Mode::Either => self.choice(layer, index),
            Mode::Both(flow) => {
                let (float, code) = (float_result(&layer.name), code_result(&layer.name));
                self.float_layer(layer, &float, index);
                self.code_layer(layer, &code, index);
                let chosen = if flow == Flow::Float { &float } else { &code };
                let name = beside(&layer.name, "choice");
                self.nodes.push(node("Identity", &name, &[chosen], &layer.output));
            }
        }
    }

    /// The layer in both ways, of which one is computed.
    fn choice(&mut self, layer: &Layer, index: usize) {
        layer.values().for_each(|value| drop(self.view(value)));
        let outside = std::mem::take(&mut self.nodes);
        let (float, code) = (float_result(&layer.name), code_result(&layer.name));
        self.float_layer(layer, &float, index);
        let float_nodes = std::mem::take(&mut self.nodes);
        self.code_layer(layer, &code, index);
        let mut code_nodes = std::mem::replace(&mut self.nodes, outside);
        for (n, value) in layer.values().enumerate() {
            let (view, own) = (beside(value, "view"), beside(&layer.name, &format!("operand{n}")));
            let operands = code_nodes.iter_mut().flat_map(|node| &mut node.input);
            operands.filter(|name| **name == view).for_each(|name| name.clone_from(&own));
            code_nodes.insert(0, self.dequantize(value, &own));
        }
        let (switch, name) = (switch(&layer.name), beside(&layer.name, "choice"));
        self.graph.input.push(edit::typed(&switch, &TensorType::new(ElemType::Bool, &[1])));
        let output = self.before_shift(layer);
        let mut choice = node("If", &name, &[&switch], &output);
        choice.attribute.push(edit::branch("then_branch", float_nodes, &float));
        choice.attribute.push(edit::branch("else_branch", code_nodes, &code));
        self.nodes.push(choice);
        if output != layer.output {
            let (name, shift) = (beside(&layer.name, "shifted"), shift(&layer.name));
            self.nodes.push(node("Add", &name, &[&output, &shift], &layer.output));
        }
    }

    /// What a layer's result is called before an input is added to it; layers without weights have
    /// none.
    fn before_shift(&mut self, layer: &Layer) -> String {
        let Some(weights) = layer.weights() else { return layer.output.clone() };
        let mut dims = vec![weights.bias.len()];
        if layer.reach != Reach::Row {
            dims.extend(vec![1; weights.values.ty.shape.rank() - 2]);
        }
        let ty = TensorType::new(ElemType::F32, &dims);
        self.graph.input.push(edit::typed(&shift(&layer.name), &ty));
        beside(&layer.name, "unshifted")
    }

    /// The layer's own nodes with their result under another name, and what the plan adds to it.
    fn float_layer(&mut self, layer: &Layer, output: &str, index: usize) {
        let mut product = self.old.node[layer.product].clone();
        let sum = layer.sum.map(|at| self.old.node[at].clone());
        let bias = self.float_bias(layer, index);
        let bias = bias.as_deref();
        if product.op_type != "MatMul" {
            if let Some(bias) = bias {
                product.input.truncate(2);
                product.input.push(bias.to_owned());
            }
        } else if sum.is_some() || bias.is_some() {
            let products = beside(&layer.name, "float_products");
            let inner = std::mem::replace(&mut product.output[0], products.clone());
            self.nodes.push(product);
            let plain = || node("Add", &beside(&layer.name, "float_sum"), &[&inner, ""], "");
            let mut sum = sum.unwrap_or_else(plain);
            for name in &mut sum.input {
                match (*name == inner, bias) {
                    (true, _) => name.clone_from(&products),
                    (false, Some(bias)) => bias.clone_into(name),
                    (false, None) => {}
                }
            }
            product = sum;
        }
        output.clone_into(&mut product.output[0]);
        self.nodes.push(product);
    }

    /// The stored bias of a layer in `f32`, where the plan adds something to its results.
    fn float_bias(&mut self, layer: &Layer, index: usize) -> Option<String> {
        let weights = layer.weights().filter(|_| self.plan.shifts.contains_key(&index))?;
        let bias = self.plan.shifted(index, &weights.bias);
        Some(self.stored(&layer.name, "float_bias", &Tensor::from_f32s(&[bias.len()], &bias)))
    }

    fn code_layer(&mut self, layer: &Layer, output: &str, index: usize) {
        let input = self.view(&layer.input);
        let mut product = self.old.node[layer.product].clone();
        product.input[0] = input;
        let codes = match &layer.operand {
            Operand::Value(other) => {
                product.input[1] = self.view(other);
                None
            }
            Operand::Weights(_) => self.plan.layers.get(index).and_then(Option::as_ref),
        };
        output.clone_into(&mut product.output[0]);
        let Some(codes) = codes else { return self.nodes.push(product) };
        product.input[1] = self.weights(layer, codes);
        let bias = self.plan.shifted(index, &codes.bias);
        if product.op_type != "MatMul" {
            self.code_bias(layer, codes, &bias, &mut product);
            return self.nodes.push(product);
        }
        self.biased_product(layer, &bias, product, output);
    }

    /// A product with the bias behind it, if there is one.
    fn biased_product(
        &mut self,
        layer: &Layer,
        bias: &[f32],
        mut product: NodeProto,
        output: &str,
    ) {
        if layer.sum.is_none() && bias.iter().all(|&b| b == 0.0) {
            return self.nodes.push(product);
        }
        let products = beside(&layer.name, "products");
        product.output[0].clone_from(&products);
        let bias = self.stored(&layer.name, "bias", &Tensor::from_f32s(&[bias.len()], bias));
        self.nodes.push(product);
        self.nodes.push(node("Add", &beside(&layer.name, "sum"), &[&products, &bias], output));
    }

    /// The bias as codes with the scale of the products.
    fn code_bias(
        &mut self,
        layer: &Layer,
        codes: &LayerCodes,
        bias: &[f32],
        product: &mut NodeProto,
    ) {
        let has_bias = product.input.get(2).is_some_and(|name| !name.is_empty());
        if !has_bias && bias.iter().all(|&b| b == 0.0) {
            return;
        }
        let unit = self.plan.affine(&layer.input).scale;
        let scales: Vec<f32> = codes.scales.iter().map(|s| s * unit).collect();
        let code = |(&b, &s): (&f32, &f32)| {
            let code = (f64::from(b) / f64::from(s)).round_ties_even();
            code.clamp(-LARGEST_BIAS, LARGEST_BIAS) as i32
        };
        let values: Vec<u8> =
            bias.iter().zip(&scales).flat_map(|(b, s)| code((b, s)).to_le_bytes()).collect();
        let ty = TensorType::new(ElemType::I32, &[bias.len()]);
        let stored = self.stored(&layer.name, "bias_codes", &Tensor::from_bytes(ty, values));
        let scale =
            self.stored(&layer.name, "bias_scale", &Tensor::from_f32s(&[scales.len()], &scales));
        let result = beside(&layer.name, "bias");
        let dequantize = node("DequantizeLinear", &result, &[&stored, &scale], &result);
        self.nodes.push(with(dequantize, "axis", Value::Int(0)));
        product.input.truncate(2);
        product.input.push(result);
    }

    /// The weights, from codes.
    fn weights(&mut self, layer: &Layer, codes: &LayerCodes) -> String {
        let channels = codes.scales.len();
        let zeros = edit::codes(
            &beside(&layer.name, "weight_zero"),
            ElemType::I8,
            &[channels],
            &vec![0; channels],
        );
        let stored = edit::codes(
            &beside(&layer.name, "weight_codes"),
            ElemType::I8,
            &codes.dims,
            &codes.codes,
        );
        let scale = self.stored(
            &layer.name,
            "weight_scale",
            &Tensor::from_f32s(&[channels], &codes.scales),
        );
        let result = beside(&layer.name, "weights");
        let operands = [stored.name.as_str(), &scale, &zeros.name];
        let dequantize = node("DequantizeLinear", &result, &operands, &result);
        self.nodes.push(with(dequantize, "axis", Value::Int(codes.axis as i64)));
        self.graph.initializer.extend([stored, zeros]);
        result
    }

    fn stored(&mut self, owner: &str, what: &str, value: &Tensor) -> String {
        let name = beside(owner, what);
        if self.made.insert(name.clone()) {
            self.graph.initializer.push(edit::stored(&name, value));
        }
        name
    }

    /// A value as it is after quantisation; its name.
    fn view(&mut self, value: &str) -> String {
        let result = beside(value, "view");
        if !self.made.insert(result.clone()) {
            return result;
        }
        let inner = self.inside(value);
        let affine = *self.plan.affine(value);
        let leader = self.plan.leader(value).to_owned();
        let scale = self.stored(&leader, "scale", &Tensor::from_f32s(&[], &[affine.scale]));
        let zero = self.stored(&leader, "zero", &zero(&affine));
        let codes = beside(value, "codes");
        self.nodes.push(node("QuantizeLinear", &codes, &[&inner, &scale, &zero], &codes));
        self.nodes.push(self.dequantize(value, &result));
        result
    }

    /// The node that makes numbers of a value's codes.
    fn dequantize(&self, value: &str, result: &str) -> NodeProto {
        let leader = self.plan.leader(value);
        let operands = [beside(value, "codes"), beside(leader, "scale"), beside(leader, "zero")];
        node("DequantizeLinear", result, &operands.each_ref().map(String::as_str), result)
    }

    /// What is quantised to make a value: the value itself, or the node before it on quantised
    /// operands.
    fn inside(&mut self, value: &str) -> String {
        let old = self.old;
        let Some(&at) = self.uses.producer.get(value) else { return value.to_owned() };
        let producer = &old.node[at];
        let role = role(old, producer);
        let count = operands(role, producer);
        let given = &producer.input[..count];
        let inputs: Vec<String> = match role {
            Role::Other => return value.to_owned(),
            Role::Moves(_) | Role::Computes(_) => {
                given.iter().map(|name| self.view(name)).collect()
            }
            Role::Bounds => given.iter().map(|name| self.inside(name)).collect(),
        };
        if inputs[..] == *given {
            return value.to_owned();
        }
        self.repeat(producer, &inputs);
        beside(value, "inside")
    }

    /// The same node with other operands and other names.
    fn repeat(&mut self, old: &NodeProto, inputs: &[String]) {
        let output =
            |name: &String| if name.is_empty() { String::new() } else { beside(name, "inside") };
        let mut copy = old.clone();
        copy.name = beside(&old.name, "inside");
        copy.output = old.output.iter().map(output).collect();
        copy.input[..inputs.len()].clone_from_slice(inputs);
        if self.made.insert(copy.output[0].clone()) {
            self.nodes.push(copy);
        }
    }
}

/// The code of zero.
fn zero(affine: &Affine) -> Tensor {
    let bytes = vec![affine.zero as u8];
    Tensor::from_bytes(TensorType::new(affine.elem, &[]), bytes)
}

#[cfg(test)]
mod tests {
    use super::super::edit::node;
    use super::super::testing::{graph, model, ops, plan, prepared, taps};
    use super::super::{FloatModel, Flow};
    use edgecc_ir::tensor::Tensor;

    /// Two convolutions with a bound and a pool between them.
    fn chain() -> FloatModel {
        let nodes = vec![
            node("Conv", "first", &["x", "v"], "a"),
            node("Relu", "relu", &["a"], "b"),
            node("GlobalMaxPool", "pool", &["b"], "c"),
            node("Conv", "second", &["c", "w"], "y"),
        ];
        prepared(&model(&[1, 2, 4, 4], &[("v", taps(3, 2)), ("w", taps(1, 3))], nodes))
    }

    #[test]
    fn codes_pass_through_what_moves_them() {
        let model = chain();
        let graph = graph(&model.quantised(&plan(&model), |_| true));
        let pair = "QuantizeLinear DequantizeLinear";
        assert_eq!(
            ops(&graph),
            format!(
                "{pair} DequantizeLinear Conv Relu {pair} GlobalMaxPool {pair} DequantizeLinear Conv"
            )
        );
    }

    #[test]
    fn a_layer_in_float_reads_values_that_are_not_quantised() {
        let model = chain();
        let graph = graph(&model.quantised(&plan(&model), |n| n == 0));
        let expected =
            "QuantizeLinear DequantizeLinear DequantizeLinear Conv Relu GlobalMaxPool Conv";
        assert_eq!(ops(&graph), expected);
    }

    #[test]
    fn a_sum_of_two_values_is_quantised_and_one_with_a_constant_is_not() {
        let stored = [("w", taps(2, 2)), ("c", Tensor::from_f32s(&[1], &[0.5]))];
        let add = |other: &str| {
            let nodes = vec![
                node("Sigmoid", "s", &["x"], "s"),
                node("Add", "add", &["s", other], "a"),
                node("Conv", "conv", &["a", "w"], "y"),
            ];
            let model = prepared(&model(&[1, 2, 4, 4], &stored, nodes));
            graph(&model.quantised(&plan(&model), |_| true))
        };
        assert!(ops(&add("x")).starts_with("Sigmoid QuantizeLinear DequantizeLinear Quant"));
        assert!(ops(&add("c")).starts_with("Sigmoid Add QuantizeLinear DequantizeLinear Deq"));
    }

    #[test]
    fn one_of_both_ways_is_chosen_by_an_input() {
        let model = chain();
        let graph = graph(&model.switchable(&plan(&model), |_| true));
        let inputs: Vec<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
        let [first, second] = ["first", "second"].map(|n| [super::switch(n), super::shift(n)]);
        assert_eq!(inputs, ["x", &first[0], &first[1], &second[0], &second[1]]);
        let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["y", "a"]);
        let choices: Vec<_> = graph.node.iter().filter(|n| n.op_type == "If").collect();
        assert_eq!(choices.len(), 2);
        let branch = |n: usize| ops(choices[0].attribute[n].g.as_ref().expect("a graph"));
        assert_eq!([branch(0), branch(1)], ["Conv", "DequantizeLinear DequantizeLinear Conv"]);
        assert!(graph.node.iter().all(|n| n.op_type != "Conv"));
    }

    #[test]
    fn shifts_are_part_of_biases_in_either_way() {
        let nodes = vec![
            node("MatMul", "plain", &["x", "w"], "a"),
            node("MatMul", "product", &["a", "w"], "p"),
            node("Add", "sum", &["p", "b"], "b1"),
            node("Gemm", "gemm", &["b1", "w"], "y"),
        ];
        let stored = [
            ("w", Tensor::from_f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
            ("b", Tensor::from_f32s(&[2], &[1.0, 2.0])),
        ];
        let model = prepared(&model(&[3, 2], &stored, nodes));
        let mut plan = plan(&model);
        plan.shifts = (0..3).map(|n| (n, vec![0.5, -0.5])).collect();
        let biases = |is_quantised: bool, name: &str| -> Vec<Vec<f32>> {
            let graph = graph(&model.quantised(&plan, |_| is_quantised));
            let stored = graph.initializer.iter().filter(|t| t.name.ends_with(name));
            stored.map(|t| super::edit::value(t).expect("stored").to_f32s()).collect()
        };
        let (plain, summed) = (vec![0.5, -0.5], vec![1.5, 1.5]);
        let float = [plain.clone(), summed.clone(), plain.clone()];
        assert_eq!(biases(false, "edgecc.float_bias"), float);
        assert_eq!(biases(true, "edgecc.bias"), [plain, summed]);
        let graph = graph(&model.quantised(&plan, |_| false));
        assert_eq!(ops(&graph), "MatMul Add MatMul Add Gemm");
    }

    #[test]
    fn results_of_both_ways_are_outputs() {
        let model = chain();
        for flow in [Flow::Float, Flow::Codes] {
            let graph = graph(&model.in_both_ways(&plan(&model), |_| true, flow));
            assert_eq!((graph.input.len(), graph.output.len()), (1, 5));
            let chosen = graph.node.iter().find(|n| n.op_type == "Identity").expect("two layers");
            let other = [super::code_result("first"), super::float_result("first")];
            assert_eq!(chosen.input[0], other[usize::from(flow == Flow::Float)]);
        }
    }
}
