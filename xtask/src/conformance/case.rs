//! One case in a process of its own: whatever the compiler or its code does ends with it.

use crate::models::oracle::parse;
use crate::{Outcome, paths};
use edgecc::driver::{self, Compiled, Source};
use edgecc::host::Host;
use edgecc::{Failure, Options};
use edgecc_ir::kernel::Port;
use edgecc_ir::tensor::Tensor;
use edgecc_ir::types::{ElemType, TensorType};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file in a case's folder that says how the case ended.
pub(super) const RESULT: &str = "result.json";

/// How a case ended before its outputs are judged.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Run {
    /// The outputs are in the folder `got`.
    Outputs(Vec<Output>),
    /// The compiler's diagnostics.
    Refused(Vec<Problem>),
    /// The process died: how.
    Crashed(String),
}

/// An output that was written.
#[derive(Deserialize, Serialize)]
pub(super) struct Output {
    name: String,
    elem: String,
    shape: Vec<usize>,
}

/// A diagnostic of the compiler.
#[derive(Deserialize, Serialize)]
pub(super) struct Problem {
    code: String,
    message: String,
    at: String,
}

/// What the script says about an input.
#[derive(Deserialize)]
struct Input {
    name: String,
    /// The file in the folder `in`.
    file: String,
    /// ONNX's number of the element type.
    elem: u32,
    shape: Vec<usize>,
    /// Whether the compiler gets its value as a constant.
    bound: bool,
}

/// Compiles and runs the case in `folder`.
pub(super) fn run(folder: &Path) -> Outcome {
    let inputs: Vec<Input> = parse(&String::from_utf8_lossy(&read(&folder.join("case.json"))?))?;
    let model = read(&folder.join("model.onnx"))?;
    let source = Source { bytes: &model, stem: "model", folder: None };
    let run = match driver::compile(&source, &options(&inputs, folder)?, &mut |_, _| {}) {
        Err(failure) => refused(&failure),
        Ok(compiled) => execute(&compiled, &inputs, folder)?,
    };
    let json = serde_json::to_vec(&run).expect("a run has only text keys");
    write(&folder.join(RESULT), &json)
}

/// The shapes of all inputs and the values of those that are constants.
fn options(inputs: &[Input], folder: &Path) -> Outcome<Options> {
    let (bound, free): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| input.bound);
    let value = |input: &Input| Ok((input.name.clone(), input.load(folder)?.into()));
    Ok(Options {
        shapes: free.iter().map(|input| (input.name.clone(), input.shape.clone())).collect(),
        consts: bound.into_iter().map(value).collect::<Outcome<_>>()?,
        ..Options::default()
    })
}

impl Input {
    fn load(&self, folder: &Path) -> Outcome<Tensor> {
        let elem = ElemType::from_onnx_code(self.elem);
        let elem = elem.ok_or_else(|| format!("element type {} of {}", self.elem, self.name))?;
        let ty = TensorType::new(elem, &self.shape);
        let bytes = read(&folder.join("in").join(&self.file))?;
        if bytes.len() == ty.bytes() {
            return Ok(Tensor::from_bytes(ty, bytes));
        }
        Err(format!("{} bytes do not fit {ty}", bytes.len()))
    }
}

/// The first diagnostic in words.
pub(super) fn first(problems: &[Problem]) -> String {
    let text = |p: &Problem| format!("{}: {} at {}", p.code, p.message, p.at);
    problems.first().map(text).unwrap_or_default()
}

fn execute(compiled: &Compiled, inputs: &[Input], folder: &Path) -> Outcome<Run> {
    let load = |port: &Port| {
        let input = inputs.iter().find(|input| input.name == port.name);
        input.ok_or_else(|| format!("no value for the input {}", port.name))?.load(folder)
    };
    let inputs = compiled.loops.inputs.iter().map(load).collect::<Outcome<Vec<_>>>()?;
    let results = match Host::load(compiled).and_then(|host| host.run(&inputs)) {
        Ok(results) => results,
        Err(failure) => return Ok(refused(&failure)),
    };
    paths::create(&folder.join("got"))?;
    for (i, tensor) in results.iter().enumerate() {
        write(&folder.join("got").join(i.to_string()), tensor.bytes())?;
    }
    let output = |port: &Port| Output {
        name: port.name.clone(),
        elem: port.ty.elem.to_string(),
        shape: port.ty.shape.to_vec(),
    };
    Ok(Run::Outputs(compiled.loops.outputs.iter().map(output).collect()))
}

fn refused(failure: &Failure) -> Run {
    let problem = |d: &edgecc::Diagnostic| Problem {
        code: d.code.to_owned(),
        message: d.message.clone(),
        at: d.at.clone(),
    };
    Run::Refused(failure.diagnostics.iter().map(problem).collect())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Outcome {
    fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
