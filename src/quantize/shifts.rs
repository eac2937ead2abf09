//! What the results of layers are off by on average when all that comes before them is quantised,
//! and must be corrected by.

use super::Case;
use super::runner::{Arrays, Program, Session, floats};
use crate::failure::Failure;
use edgecc_frontend::quantize::shift;
use edgecc_ir::kernel::Port;
use edgecc_ir::tensor::Tensor;
use edgecc_passes::quantize::shift::{Shift, channel_means};
use std::collections::BTreeMap;

/// What is added to the channels of layers.
pub(super) type Shifts = BTreeMap<usize, Vec<f32>>;

/// Runs for all stages together.
const RUNS: usize = 1024;

/// The most examples.
const MOST: usize = 32;

/// Corrections of layers with weights, one stage of layers after the other: each sees its input as
/// it is when the layers before it are corrected. `program` is a switchable model, `switch` tells
/// which of its layers compute in `f32`.
pub(super) fn shifts(
    case: &Case<'_>,
    program: &Program,
    switch: impl Fn(&str) -> bool,
) -> Result<Shifts, Failure> {
    let mut shifts = Shifts::new();
    if !case.settings.correct_bias {
        return Ok(shifts);
    }
    let stages = case.model.stages();
    let stages: Vec<Vec<usize>> = stages.into_iter().map(|stage| usable(case, stage)).collect();
    let examples = case.some((RUNS / stages.len().max(1)).clamp(4, MOST));
    let wanted = means(case, &stages.concat(), &examples, case.calibration.session(), |_| false)?;
    for stage in &stages {
        let found =
            means(case, stage, &examples, program.session_with(&given(case, &shifts)), &switch)?;
        let corrections = stage.iter().map(|n| (*n, correction(&wanted[n], &found[n])));
        shifts.extend(corrections.filter(|(_, shifts)| shifts.iter().any(|&shift| shift != 0.0)));
    }
    Ok(shifts)
}

/// The layers of a stage that can be quantised.
fn usable(case: &Case<'_>, stage: Vec<usize>) -> Vec<usize> {
    stage.into_iter().filter(|&n| case.is_layer(n)).collect()
}

/// The inputs of a switchable model that correct its layers.
pub(super) fn given(case: &Case<'_>, shifts: &Shifts) -> Arrays {
    let layers = &case.model.layers;
    let array = |(&n, shifts): (&usize, &Vec<f32>)| {
        (shift(&layers[n].name), Tensor::from_f32s(&[shifts.len()], shifts))
    };
    shifts.iter().map(array).collect()
}

/// For some layers the means of the channels of their results, in each of some examples.
fn means(
    case: &Case<'_>,
    layers: &[usize],
    examples: &[usize],
    mut session: Session<'_>,
    switch: impl Fn(&str) -> bool,
) -> Result<BTreeMap<usize, Vec<Vec<f64>>>, Failure> {
    let mut means: BTreeMap<usize, Vec<Vec<f64>>> =
        layers.iter().map(|&n| (n, Vec::new())).collect();
    for &example in examples {
        let values = session.run(&case.data.examples[example], &switch)?;
        for (&n, means) in &mut means {
            let layer = &case.model.layers[n];
            let value = &values[place(session.outputs(), &layer.output)];
            let dims = &value.ty.shape;
            means.push(channel_means(&floats(value), dims, layer.channel_axis(dims.rank())));
        }
    }
    Ok(means)
}

fn place(ports: &[Port], name: &str) -> usize {
    let place = ports.iter().position(|port| port.name == name);
    place.expect("the results of layers are outputs of these models")
}

/// What takes the means that were found to those that are wanted.
fn correction(wanted: &[Vec<f64>], found: &[Vec<f64>]) -> Vec<f32> {
    let mut shift = Shift::new(wanted.first().map_or(0, Vec::len));
    for (wanted, found) in wanted.iter().zip(found) {
        shift.add(found.iter().zip(wanted).map(|(found, wanted)| found - wanted));
    }
    shift.correction()
}

#[cfg(test)]
mod tests {
    use super::super::assess::Data;
    use super::super::calibrate::Calibration;
    use super::super::{Case, Settings, plan, runner::Program};
    use super::{Shifts, shifts};
    use crate::driver::{Source, prepare_quantisation};
    use crate::options::Options;
    use edgecc_ir::tensor::Tensor;
    use edgecc_passes::quantize::range::Method;
    use onnx_protobuf::{
        GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    };

    /// Two products with the identity, and between them the absolute value of numbers above zero.
    fn model() -> Vec<u8> {
        let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
            op_type: op.to_owned(),
            name: output.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        };
        let stored = |name: &str, dims: &[i64], values: &[f32]| TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: 1,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        };
        let mut input = ValueInfoProto { name: "x".to_owned(), ..Default::default() };
        let mut kind = onnx_protobuf::type_proto::Tensor { elem_type: 1, ..Default::default() };
        let dim = |size: i64| {
            let mut dim = onnx_protobuf::tensor_shape_proto::Dimension::new();
            dim.set_dim_value(size);
            dim
        };
        kind.shape.mut_or_insert_default().dim = vec![dim(8), dim(2)];
        input.type_.mut_or_insert_default().set_tensor_type(kind);
        let graph = GraphProto {
            name: "test".to_owned(),
            node: vec![
                node("Gemm", &["x", "w", "b"], "first"),
                node("Abs", &["first"], "above"),
                node("Gemm", &["above", "w", "b"], "second"),
            ],
            initializer: vec![
                stored("w", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
                stored("b", &[2], &[0.0, 0.0]),
            ],
            input: vec![input],
            output: vec![ValueInfoProto { name: "second".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { version: 13, ..Default::default() }],
            graph: Some(graph).into(),
            ..Default::default()
        };
        model.write_to_bytes().expect("writable")
    }

    /// The corrections when the bias of the first layer's first channel is off by `error` on codes.
    fn found(error: f32, is_float: bool) -> Shifts {
        let (options, settings) = (Options::default(), Settings::default());
        let bytes = model();
        let source = Source { bytes: &bytes, stem: "test", folder: None };
        let model = prepare_quantisation(&source, &options).expect("a model");
        let example = |n: usize| {
            let values: Vec<f32> =
                (0..16).map(|i| 1.0 + ((n * 16 + i) * 37 % 64) as f32 / 64.0).collect();
            [("x".to_owned(), Tensor::from_f32s(&[8, 2], &values))].into()
        };
        let data = Data { examples: (0..4).map(example).collect(), labels: None };
        let calibration = Calibration::seen(&model, &options, &settings, &data, &mut |_| {})
            .expect("the examples fit");
        let case = Case {
            model: &model,
            options: &options,
            settings: &settings,
            data: &data,
            calibration: &calibration,
        };
        let mut plan =
            plan::plan(&model, &settings, &calibration.grids(Method::MinMax), &calibration);
        plan.layers[0].as_mut().expect("it has weights").bias[0] += error;
        let program =
            Program::new(&model.switchable(&plan, |_| true), &options).expect("it compiles");
        shifts(&case, &program, |_| is_float).expect("it runs")
    }

    #[test]
    fn a_layer_is_corrected_where_it_is_wrong_and_those_behind_it_are_not() {
        let step = 2.0 / 255.0;
        let shifts = found(0.25, false);
        assert!((shifts[&0][0] + 0.25).abs() < step, "{shifts:?}");
        let others = shifts[&0][1..].iter().chain(shifts.get(&1).into_iter().flatten());
        assert!(others.into_iter().all(|shift| shift.abs() < step), "{shifts:?}");
    }

    #[test]
    fn layers_in_f32_have_nothing_to_correct() {
        assert_eq!(found(0.25, true), Shifts::new());
    }
}
