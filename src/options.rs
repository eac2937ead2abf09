//! What a caller of the compiler may choose.

use edgecc_frontend::Constant;
use edgecc_passes::schedule::parts::Division;
use edgecc_passes::schedule::records::Records;
use std::collections::BTreeMap;

/// All choices of one compilation. `Options::default()` compiles for this machine's architecture
/// with the default CPU of that architecture.
///
/// ```
/// use edgecc::{Options, TargetSpec};
/// let mut options = Options { target: TargetSpec::of("aarch64"), ..Options::default() };
/// options.dims.insert("batch".to_owned(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Prefix of every symbol and type, a C identifier; made from the file's name when absent.
    pub name: Option<String>,
    /// The machine to compile for.
    pub target: TargetSpec,
    /// Values of symbolic dimensions.
    pub dims: BTreeMap<String, usize>,
    /// Several values of symbolic dimensions: the object holds the model once for each combination,
    /// and its caller chooses one.
    pub sizes: BTreeMap<String, Vec<usize>>,
    /// Shapes of inputs, instead of those in the model.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Values of inputs, which thereby become constants: `"16000".parse()`, or a tensor.
    pub consts: BTreeMap<String, Constant>,
    /// Inputs that a model keeps from run to run, with the outputs that replace them.
    pub states: BTreeMap<String, String>,
    /// How kernels are divided into parts that threads may share.
    pub division: Division,
    /// Schedules found by measuring, which kernels have instead of the planned ones.
    pub schedules: Records,
    /// How much is optimised.
    pub opt_level: OptLevel,
    /// What float rewrites may change.
    pub float_mode: FloatMode,
    /// How constant factors of sums are stored.
    pub weights: WeightFormat,
    /// When the IR is checked.
    pub verify: Verify,
}

/// A machine as a user names it; resolved by `target::resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// `x86_64`, `aarch64` or a target triple that starts with one of them.
    pub triple: String,
    /// A name of `edgecc targets`, `generic` or `native`; the architecture's default when absent.
    pub cpu: Option<String>,
    /// `+name` and `-name`, applied in order to the CPU's features.
    pub features: Vec<String>,
}

/// How much is optimised. `O1` to `O3` are alike: what makes programs faster is always done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the levels are the usual ones of compilers")]
pub enum OptLevel {
    /// No equality saturation, no transformed convolutions: for finding faults.
    O0,
    O1,
    #[default]
    O2,
    O3,
    /// No larger weights for the sake of speed.
    Os,
}

/// What float rewrites may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatMode {
    /// Sums may be reordered and multiply-adds fused, as `docs/numerics.md` says.
    #[default]
    Relaxed,
    /// Only rewrites that keep every bit.
    Strict,
}

/// How constant factors of sums (the weights of layers) are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightFormat {
    /// As the model states them: numbers in `f32`, codes as codes, which are decoded where they are
    /// multiplied. Convolutions with codes keep them, without transforms.
    #[default]
    Model,
    /// As they are computed with: codes are decoded once, when the model is compiled.
    F32,
    /// Those in `f32` in 16 bits, each rounded to the nearest number there, and read back where they
    /// are multiplied. Convolutions keep their own weights, without transforms.
    F16,
}

/// When the IR is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// After every pass in debug builds, never in release builds.
    #[default]
    Default,
    /// After every pass.
    Each,
}

impl Options {
    /// Whether convolutions may take transformed weights, which are larger, and round otherwise.
    #[must_use]
    pub fn transforms_convolutions(&self) -> bool {
        let larger = !matches!(self.opt_level, OptLevel::O0 | OptLevel::Os)
            && self.weights != WeightFormat::F16;
        larger && self.float_mode == FloatMode::Relaxed
    }

    /// Whether weights that the model states as codes stay so.
    #[must_use]
    pub fn keeps_codes(&self) -> bool {
        self.weights != WeightFormat::F32 && self.float_mode == FloatMode::Relaxed
    }
}

impl Verify {
    /// Whether each pass is followed by a check.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Verify::Each || cfg!(debug_assertions)
    }
}

impl WeightFormat {
    /// Every format with its name on the command line.
    pub const ALL: &[(&str, WeightFormat)] =
        &[("model", WeightFormat::Model), ("f32", WeightFormat::F32), ("f16", WeightFormat::F16)];
}

impl OptLevel {
    /// Every level with its spelling after `-O`.
    pub const ALL: &[(&str, OptLevel)] = &[
        ("0", OptLevel::O0),
        ("1", OptLevel::O1),
        ("2", OptLevel::O2),
        ("3", OptLevel::O3),
        ("s", OptLevel::Os),
    ];

    /// The effort of the passes, 0 to 3.
    #[must_use]
    pub fn effort(self) -> u8 {
        match self {
            OptLevel::O0 => 0,
            OptLevel::O1 => 1,
            OptLevel::O2 | OptLevel::Os => 2,
            OptLevel::O3 => 3,
        }
    }
}

impl TargetSpec {
    /// The default CPU of an architecture or triple.
    #[must_use]
    pub fn of(triple: impl Into<String>) -> TargetSpec {
        TargetSpec { triple: triple.into(), cpu: None, features: Vec::new() }
    }

    /// Exactly the machine that runs the compiler.
    #[must_use]
    pub fn native() -> TargetSpec {
        TargetSpec { cpu: Some("native".to_owned()), ..TargetSpec::default() }
    }
}

impl Default for TargetSpec {
    fn default() -> TargetSpec {
        TargetSpec::of(std::env::consts::ARCH)
    }
}

/// A C identifier made from any text: other characters become `_`, a leading digit is prefixed.
#[must_use]
pub fn identifier(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let word: String = text.chars().map(clean).collect();
    match word.chars().next() {
        None => "model".to_owned(),
        Some('0'..='9') => format!("m{word}"),
        Some(_) => word,
    }
}

/// Whether a name can be used as it is.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::{FloatMode, OptLevel, Options, WeightFormat, identifier, is_identifier};

    #[test]
    fn small_weights_and_strict_floats_keep_convolutions_as_they_are() {
        let transforms = |opt_level, float_mode| {
            Options { opt_level, float_mode, ..Options::default() }.transforms_convolutions()
        };
        assert!(transforms(OptLevel::O2, FloatMode::Relaxed));
        assert!(!transforms(OptLevel::Os, FloatMode::Relaxed));
        assert!(!transforms(OptLevel::O3, FloatMode::Strict));
        let halves = Options { weights: WeightFormat::F16, ..Options::default() };
        assert!(!halves.transforms_convolutions());
    }

    #[test]
    fn codes_stay_codes_unless_they_may_not_leave_a_sum() {
        let keeps = |weights, float_mode| {
            Options { weights, float_mode, ..Options::default() }.keeps_codes()
        };
        assert!(keeps(WeightFormat::Model, FloatMode::Relaxed));
        assert!(keeps(WeightFormat::F16, FloatMode::Relaxed));
        assert!(!keeps(WeightFormat::F32, FloatMode::Relaxed));
        assert!(!keeps(WeightFormat::Model, FloatMode::Strict));
    }

    #[test]
    fn any_text_becomes_an_identifier() {
        for (text, name) in
            [("MobileNet-v2.1", "mobilenet_v2_1"), ("3net", "m3net"), ("", "model"), ("é", "_")]
        {
            assert_eq!(identifier(text), name);
            assert!(is_identifier(name));
        }
        assert!(!is_identifier("a-b") && !is_identifier("1a") && !is_identifier(""));
    }
}
