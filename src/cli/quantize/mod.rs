//! `edgecc quantize`: a model in `f32` and examples to a model with 8-bit codes.

mod data;
mod html;
mod plain;
mod show;

use super::Outcome;
use super::args::{self, Effort, Model, one_of};
use super::exit::Exit;
use super::files::{self, Writer, check_writable};
use super::host;
use super::ui::Ui;
use clap::ValueEnum;
use edgecc::driver::Source;
use edgecc::quantize::{Data, Measure, Report, Settings, ValueCodes, quantize};
use edgecc::{Failure, Options, TargetSpec};
use edgecc_passes::quantize::range::Method;
use std::path::{Path, PathBuf};

/// Quantise a model to 8-bit integers
///
/// Convolutions and products of matrices compute with 8-bit codes afterwards, which takes a quarter
/// of the memory and less time. Examples of the model's inputs decide the scales: the model runs on
/// them, compiled for this machine. The result is an ONNX model with QuantizeLinear and
/// DequantizeLinear that edgecc compiles to integer arithmetic, and that other runtimes read.
///
/// Two ways need no examples: --weights-only stores weights as codes and computes in f32, --dynamic
/// finds the scales of values in each run.
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc quantize model.onnx --data calibration.npz -o model.int8.onnx\n",
    "  edgecc quantize model.onnx --data examples/ --report report.html\n",
    "  edgecc quantize model.onnx --data labelled.npz --max-drop 1%     keeps layers in f32 as needed\n",
    "  edgecc quantize model.onnx --data text.npz --max-drop 0 --measure decisions\n",
    "  edgecc quantize model.onnx --data calibration.npz --keep /head/Gemm --ranges mse\n",
    "  edgecc quantize model.onnx --weights-only int4 -o model.int4.onnx\n",
    "  edgecc quantize model.onnx --dynamic --keep /head/Gemm\n\n",
    "The archive has an array for each input of the model, with a further dimension in front that\n",
    "counts examples: np.savez('calibration.npz', image=x) with x of shape [100,3,32,32] for an input\n",
    "of [1,3,32,32]. A folder has an archive for each example. 100 examples are usually enough; they\n",
    "should be like those of real use and not be those that the result is judged by.\n\n",
    "An array of integers called `labels` holds the right class of each example; --max-drop then counts\n",
    "wrong answers. Without it --max-drop is how far the outputs may be from those in f32, or with\n",
    "--measure decisions the share of decisions that may change, which needs no labels.",
))]
pub(super) struct Args {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    effort: Effort,
    /// Examples: a NumPy archive, or a folder with one for each
    #[arg(
        long,
        value_name = "FILE.npz|DIR",
        required_unless_present_any = ["weights_only", "dynamic"]
    )]
    data: Option<PathBuf>,
    /// The array with the right classes
    #[arg(long, value_name = "NAME", default_value = LABELS)]
    labels: String,
    /// The model to write [default: NAME.int8.onnx or NAME.int4.onnx]
    #[arg(short, value_name = "FILE.onnx")]
    output: Option<PathBuf>,
    #[command(flatten)]
    method: Choices,
    #[command(flatten)]
    plain: plain::Plain,
    /// Most that may be lost, e.g. 1% or 0.01; layers stay in f32 until it is kept
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_drop: Option<f64>,
    /// What --max-drop is about: how far outputs are from those in f32 (with labels, how many more
    /// answers are wrong), or how many decisions are others than in f32: places of the largest
    /// element along the last dimension of the first output
    #[arg(long, value_name = "MEASURE", default_value = "outputs", requires = "max_drop")]
    measure: What,
    /// Layers that stay in f32, by the names of their nodes
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    keep: Vec<String>,
    /// Write what each layer loses, as HTML or JSON by the name's end
    #[arg(long, value_name = "FILE.html|FILE.json")]
    report: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Quantisation on the way to an object.
#[derive(clap::Args)]
#[command(next_help_heading = "Quantisation")]
pub(super) struct Given {
    /// Quantise the model first, as `edgecc quantize` does
    #[arg(long, value_name = "CODES", requires = "data")]
    quantize: Option<Width>,
    /// Examples: a NumPy archive, or a folder with one for each
    #[arg(long, value_name = "FILE.npz|DIR", requires = "quantize")]
    data: Option<PathBuf>,
}

/// The codes of a quantised model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Width {
    Int8,
}

impl Given {
    /// The quantised model, if one is asked for.
    pub(super) fn apply(
        &self,
        source: &Source<'_>,
        options: &Options,
        ui: &Ui,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (Some(Width::Int8), Some(data)) = (self.quantize, &self.data) else { return Ok(None) };
        host::check_size(options)?;
        let data = data::read(data, LABELS)?;
        let settings = Settings::default();
        let result = quantize(source, options, &settings, &data, &mut |text| ui.progress(text))?;
        Ok(Some(result.model))
    }
}

/// The array with the right classes, unless another is named.
const LABELS: &str = "labels";

/// How codes are found.
#[derive(clap::Args)]
#[command(next_help_heading = "Method")]
struct Choices {
    /// How ranges of values are chosen [default: the method with the least loss on the examples]
    #[arg(long, value_name = "METHOD", value_parser = one_of(Method::ALL))]
    ranges: Option<Method>,
    /// Codes of values: unsigned, signed, or signed with the code 0 for zero
    #[arg(long, value_name = "CODES", default_value = "u8")]
    values: Values,
    /// Round each weight to the nearest code instead of so that results change least
    #[arg(long)]
    nearest: bool,
    /// Leave the channels of values as they are instead of making them alike
    #[arg(long)]
    keep_channels: bool,
    /// Leave biases as they are instead of making up for the mean error
    #[arg(long)]
    keep_bias: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Values {
    U8,
    I8,
    Symmetric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Outputs,
    Decisions,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let path = output(args);
    args.report.iter().chain([&path]).try_for_each(|path| check_writable(path))?;
    let options = args::options(&args.model, TargetSpec::default(), &args.effort)?;
    if let Some(scheme) = args.plain.scheme() {
        return plain::run(args, scheme, &options, ui);
    }
    host::check_size(&options)?;
    let bytes = files::read(&args.model.path)?;
    let data = match &args.data {
        Some(path) => data::read(path, &args.labels)?,
        None => Data::default(),
    };
    let source = Source::of_file(&bytes, &args.model.path);
    let result =
        quantize(&source, &options, &settings(args), &data, &mut |text| ui.progress(text))?;
    ui.progress("");
    let mut writer = Writer::default();
    for path in &args.report {
        writer.add(path.clone(), page(path, &args.model.path, &result.report).into_bytes());
    }
    writer.add(path, result.model);
    writer.commit()?;
    match args.json {
        true => ui.json(&result.report),
        false => ui.print(&show::text(&result.report)),
    }
    Ok(Exit::Ok)
}

fn settings(args: &Args) -> Settings {
    let method = &args.method;
    Settings {
        ranges: method.ranges,
        codes: match method.values {
            Values::U8 => ValueCodes::U8,
            Values::I8 => ValueCodes::I8,
            Values::Symmetric => ValueCodes::Symmetric,
        },
        reconstruct: !method.nearest,
        equalize: !method.keep_channels,
        correct_bias: !method.keep_bias,
        max_drop: args.max_drop,
        measure: match args.measure {
            What::Outputs => Measure::Outputs,
            What::Decisions => Measure::Decisions,
        },
        keep: args.keep.clone(),
    }
}

fn output(args: &Args) -> PathBuf {
    let stem = args.model.path.file_stem().and_then(|s| s.to_str()).unwrap_or("model");
    let name = || PathBuf::from(format!("{stem}.{}.onnx", args.plain.suffix()));
    args.output.clone().unwrap_or_else(name)
}

/// The report in the form that a file's name asks for.
fn page(path: &Path, model: &Path, report: &Report) -> String {
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    match path.extension().is_some_and(|e| e == "json") {
        true => serde_json::to_string_pretty(report).expect("reports have string keys only") + "\n",
        false => html::page(&name, report),
    }
}

/// A share, in percent or not.
fn share(text: &str) -> Result<f64, String> {
    let (digits, unit) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let number = digits.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.map(|n| n / unit).ok_or_else(|| "expected a share, e.g. 1% or 0.01".to_owned())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_percents_or_parts() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("-1").is_err() && share("x%").is_err());
    }
}
