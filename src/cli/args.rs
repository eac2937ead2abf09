//! Options that several subcommands share.

use super::{arrays, files};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use edgecc::{
    Constant, Division, Failure, FloatMode, OptLevel, Options, Records, TargetSpec, Verify,
    WeightFormat,
};
use std::path::{Path, PathBuf};

/// The model and how its open ends are closed.
#[derive(clap::Args)]
pub(super) struct Model {
    /// ONNX file; `-` reads standard input
    #[arg(value_name = "MODEL")]
    pub(super) path: PathBuf,
    /// Prefix of symbols and types, a C identifier [default: the file's name]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Value of a symbolic dimension; with several, the object has a variant for each combination
    #[arg(long = "dim", value_name = "NAME=N[,N…]", value_parser = dim)]
    dims: Vec<(String, Vec<usize>)>,
    /// Shape of an input
    #[arg(long = "shape", value_name = "INPUT:1x3x224x224", value_parser = shape)]
    shapes: Vec<(String, Vec<usize>)>,
    /// Value of an input, which becomes a constant: a number, a list or a NumPy file
    #[arg(long = "const", value_name = "INPUT=VALUE|[V,…]|@FILE.npy", value_parser = constant)]
    consts: Vec<(String, Value)>,
    /// Input that the model keeps from run to run, and the output that replaces it
    #[arg(long = "state", value_name = "INPUT=OUTPUT", value_parser = state)]
    states: Vec<(String, String)>,
}

/// The right side of `--const`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Literal(Constant),
    File(PathBuf),
}

/// The machine that the code is for.
#[derive(clap::Args)]
#[command(next_help_heading = "Target")]
pub(super) struct Machine {
    /// x86_64, aarch64 or a triple [default: this machine]
    #[arg(long, value_name = "ARCH")]
    target: Option<String>,
    #[command(flatten)]
    cpu: Cpu,
}

/// Which CPU of the architecture.
#[derive(clap::Args)]
#[command(next_help_heading = "Target")]
pub(super) struct Cpu {
    /// Name from `edgecc targets`, `generic` or `native`
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Features to add and remove, e.g. `+dotprod,-fp16`
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    features: Vec<String>,
}

/// What the compiler does on the way.
#[derive(clap::Args)]
#[command(next_help_heading = "Optimisation and debugging")]
pub(super) struct Effort {
    /// Optimisation level; 0 leaves out the search for fusions, s keeps weights small
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = one_of(OptLevel::ALL))]
    opt_level: OptLevel,
    /// Forbid rewrites that change the bits of float results
    #[arg(long)]
    strict_float: bool,
    /// Format of weights: as in the model, where codes stay codes; f32, in which codes are decoded; or
    /// f16, which rounds those in f32
    #[arg(long, value_name = "FORMAT", default_value = "model", value_parser = one_of(WeightFormat::ALL))]
    weights: WeightFormat,
    /// Most parts of a kernel, for threads to share; 1 leaves all kernels whole
    #[arg(long, value_name = "N", default_value_t = Division::default().parts, value_parser = parts())]
    parts: u32,
    /// Schedules that `edgecc tune` has found on the machine that the code is for
    #[arg(long, value_name = "FILE")]
    schedules: Option<PathBuf>,
    /// Check the IR after every pass
    #[arg(long)]
    verify_each: bool,
    /// Write the IR after every pass to numbered files
    #[arg(long, value_name = "DIR")]
    pub(super) dump_ir: Option<PathBuf>,
    /// Print how long every pass took
    #[arg(long)]
    pub(super) time_passes: bool,
}

/// The options of the compiler that these arguments mean; fails when a file cannot be read.
pub(super) fn options(
    model: &Model,
    machine: TargetSpec,
    effort: &Effort,
) -> Result<Options, Failure> {
    let (single, several) = (with_count(model, |n| n == 1), with_count(model, |n| n > 1));
    let value = |(name, value): &(String, Value)| Ok((name.clone(), value.read()?));
    Ok(Options {
        name: model.name.clone(),
        target: machine,
        dims: single.map(|(name, values)| (name.clone(), values[0])).collect(),
        sizes: several.cloned().collect(),
        shapes: model.shapes.iter().cloned().collect(),
        consts: model.consts.iter().map(value).collect::<Result<_, Failure>>()?,
        states: model.states.iter().cloned().collect(),
        schedules: effort.schedules.as_deref().map(records).transpose()?.unwrap_or_default(),
        division: Division { parts: effort.parts, ..Division::default() },
        opt_level: effort.opt_level,
        float_mode: if effort.strict_float { FloatMode::Strict } else { FloatMode::Relaxed },
        verify: if effort.verify_each { Verify::Each } else { Verify::Default },
        weights: effort.weights,
    })
}

/// The records of a file.
fn records(path: &Path) -> Result<Records, Failure> {
    let bytes = files::read(path)?;
    Ok(Records::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))?)
}

/// The dimensions with so many values.
fn with_count(
    model: &Model,
    test: impl Fn(usize) -> bool,
) -> impl Iterator<Item = &(String, Vec<usize>)> {
    model.dims.iter().filter(move |(_, values)| test(values.len()))
}

impl Value {
    fn read(&self) -> Result<Constant, Failure> {
        match self {
            Value::Literal(constant) => Ok(constant.clone()),
            Value::File(path) => Ok(Constant::Tensor(arrays::read_npy(path)?)),
        }
    }
}

impl Machine {
    pub(super) fn spec(&self) -> TargetSpec {
        let spec = self.cpu.host_spec();
        TargetSpec { triple: self.target.clone().unwrap_or_else(|| spec.triple.clone()), ..spec }
    }
}

impl Cpu {
    /// A CPU of this machine's architecture; the default one, not the actual one, unless asked.
    pub(super) fn host_spec(&self) -> TargetSpec {
        TargetSpec {
            cpu: self.cpu.clone(),
            features: self.features.clone(),
            ..TargetSpec::default()
        }
    }
}

/// At least one part, and no more than any machine has threads for.
fn parts() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=1024)
}

/// One of the names of a table, which means the value beside it.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    table: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(table.iter().map(|(name, _)| *name)).map(|name| {
        let row = table.iter().find(|(n, _)| *n == name);
        row.expect("the parser accepts only names of the table").1
    })
}

fn dim(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, values) = text.split_once('=').ok_or("expected NAME=N, e.g. batch=1")?;
    let parse = |value: &str| value.parse().map_err(|_| format!("{value:?} is not a number"));
    Ok((name.to_owned(), values.split(',').map(parse).collect::<Result<_, String>>()?))
}

fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, dims) = text.rsplit_once(':').ok_or("expected INPUT:1x3x224x224")?;
    let parse = |d: &str| d.parse().map_err(|_| format!("{d:?} is not a number"));
    let dims = dims.split('x').filter(|d| !d.is_empty()).map(parse);
    Ok((name.to_owned(), dims.collect::<Result<_, String>>()?))
}

fn constant(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected INPUT=VALUE, e.g. rate=16000")?;
    let value = match value.strip_prefix('@') {
        Some(path) => Value::File(path.into()),
        None => Value::Literal(value.parse()?),
    };
    Ok((name.to_owned(), value))
}

fn state(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("expected INPUT=OUTPUT, e.g. h=h_next")?;
    Ok((from.to_owned(), to.to_owned()))
}

/// A size in bytes with an optional K, M or G (powers of 1024).
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err("expected a number of bytes, e.g. 65536, 64K or 2M".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{digits:?} is not a number"))?;
    count.checked_mul(unit).ok_or_else(|| "the size is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Value, constant, dim, shape, size};

    #[test]
    fn values_have_their_forms() {
        assert_eq!(dim("batch=4"), Ok(("batch".to_owned(), vec![4])));
        assert_eq!(dim("n=32,64"), Ok(("n".to_owned(), vec![32, 64])));
        assert!(dim("batch").is_err() && dim("b=x").is_err());
        assert_eq!(shape("a:b:1x2"), Ok(("a:b".to_owned(), vec![1, 2])));
        assert_eq!(shape("scalar:"), Ok(("scalar".to_owned(), vec![])));
        assert_eq!(constant("x=@a.npy"), Ok(("x".to_owned(), Value::File("a.npy".into()))));
        assert!(constant("x=[1,2]").is_ok() && constant("x").is_err() && constant("x=[").is_err());
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert!(size("9x").is_err() && size("99999999999G").is_err());
    }
}
