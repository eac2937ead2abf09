//! What is in a compiled model: the summary after a compilation and the metadata beside an object.

pub mod layer;

use edgecc_backend::Artifact;
use edgecc_backend::metadata::{Metadata, TensorMetadata};
use edgecc_ir::loops::Loops;
use layer::Layer;
use serde::Serialize;
use std::collections::BTreeMap;

/// Facts about a compiled model; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// The compiler's name and version.
    pub producer: String,
    /// Architecture.
    pub arch: String,
    /// CPU.
    pub cpu: String,
    /// CPU features that the code may use.
    pub features: Vec<String>,
    /// Inputs in call order.
    pub inputs: Vec<TensorFacts>,
    /// Outputs in call order.
    pub outputs: Vec<TensorFacts>,
    /// What the caller keeps between runs.
    pub states: Vec<TensorFacts>,
    /// Size of that.
    pub state_bytes: usize,
    /// Multiply-adds of one run.
    pub macs: u64,
    /// Constant tensors.
    pub weights_bytes: u64,
    /// Machine code.
    pub code_bytes: u64,
    /// The object file.
    pub object_bytes: u64,
    /// Workspace that a caller provides.
    pub arena_bytes: u64,
    /// The workspace that no plan can go below.
    pub arena_lower_bound: u64,
    /// Alignment of the workspace.
    pub arena_align: u32,
    /// Bound of the stack below the caller.
    pub stack_bytes: u32,
    /// The kernel calls in the order of the program.
    pub layers: Vec<Layer>,
    /// The sizes of a model that has several; the facts above are of the one with the most work,
    /// but for the memory, which is enough for each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<SizeFacts>,
}

/// One of several sizes of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeFacts {
    /// Its name.
    pub name: String,
    /// The values of the dimensions.
    pub dims: BTreeMap<String, usize>,
    /// Multiply-adds of one run.
    pub macs: u64,
    /// Workspace.
    pub arena_bytes: u64,
    /// Bound of the stack below the caller.
    pub stack_bytes: u32,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorFacts {
    /// Name in the model.
    pub name: String,
    /// Name in generated code.
    pub identifier: String,
    /// Element type.
    pub elem: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Size of the dense tensor.
    pub bytes: usize,
}

impl Report {
    /// The backend's facts, with the layers and the sizes that only a plan knows.
    #[must_use]
    pub fn new(meta: Metadata, layers: Vec<Layer>, loops: &Loops, code: &Artifact) -> Report {
        Report {
            name: meta.name,
            producer: meta.producer,
            arch: meta.arch.to_owned(),
            cpu: meta.cpu,
            features: meta.features,
            inputs: meta.inputs.into_iter().map(tensor_facts).collect(),
            outputs: meta.outputs.into_iter().map(tensor_facts).collect(),
            states: meta.states.into_iter().map(tensor_facts).collect(),
            state_bytes: meta.state_bytes,
            macs: meta.macs,
            weights_bytes: meta.weights_bytes,
            code_bytes: meta.text_bytes,
            object_bytes: code.object.len() as u64,
            arena_bytes: meta.arena_bytes,
            arena_lower_bound: loops.plan.as_ref().map_or(0, |p| p.lower_bound as u64),
            arena_align: meta.arena_align,
            stack_bytes: meta.stack_bytes,
            layers,
            sizes: Vec::new(),
        }
    }

    /// The short summary for people; ends with a newline.
    #[must_use]
    pub fn summary(&self) -> String {
        let tensors = |ts: &[TensorFacts]| {
            ts.iter().map(TensorFacts::to_string).collect::<Vec<_>>().join(", ")
        };
        let arena = match self.arena_bytes == self.arena_lower_bound {
            true => format!("{} bytes, the least possible", self.arena_bytes),
            false => format!("{} bytes, at least {}", self.arena_bytes, self.arena_lower_bound),
        };
        let rows = [
            ("inputs", tensors(&self.inputs)),
            ("outputs", tensors(&self.outputs)),
            ("states", tensors(&self.states)),
            ("multiply-adds", count(self.macs)),
            ("weights", size(self.weights_bytes)),
            ("code", size(self.code_bytes)),
            ("arena", arena),
            ("stack", format!("{} bytes", self.stack_bytes)),
            ("needs", self.needs()),
            ("heaviest", self.heaviest().join("\n")),
            ("sizes", self.sizes.iter().map(SizeFacts::line).collect::<Vec<_>>().join("\n")),
        ];
        let head = format!("{} for {} ({})\n", self.name, self.arch, self.cpu);
        let said = rows.iter().filter(|(_, value)| !value.is_empty());
        said.fold(head, |text, (label, value)| text + &row(label, value))
    }

    fn needs(&self) -> String {
        match self.features.as_slice() {
            [] => "nothing beyond the baseline".to_owned(),
            features => features.join(" "),
        }
    }

    /// The three layers with the most multiply-adds, with their shares.
    fn heaviest(&self) -> Vec<String> {
        let mut layers: Vec<&Layer> = self.layers.iter().filter(|l| l.macs > 0).collect();
        layers.sort_by_key(|l| std::cmp::Reverse(l.macs));
        let share = |l: &Layer| 100.0 * l.macs as f64 / self.macs.max(1) as f64;
        layers.iter().take(3).map(|l| format!("{:>4.1} %  {}", share(l), l.title())).collect()
    }
}

impl SizeFacts {
    fn line(&self) -> String {
        let arena = size(self.arena_bytes);
        format!("{}: {} multiply-adds, arena {arena}", self.name, count(self.macs))
    }
}

impl std::fmt::Display for TensorFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}[{}]", self.name, self.elem, dims.join(","))
    }
}

fn tensor_facts(tensor: TensorMetadata) -> TensorFacts {
    TensorFacts {
        name: tensor.name,
        identifier: tensor.identifier,
        elem: tensor.ty.elem.to_string(),
        shape: tensor.ty.shape.to_vec(),
        bytes: tensor.ty.bytes(),
    }
}

fn row(label: &str, value: &str) -> String {
    let mut lines = value.lines();
    let first = format!("  {label:<14} {}\n", lines.next().unwrap_or("-"));
    lines.fold(first, |text, line| text + &format!("  {:<14} {line}\n", ""))
}

/// `12.3 M`: three digits and a decimal prefix.
#[must_use]
pub fn count(n: u64) -> String {
    let scaled = |unit: f64, word| format!("{:.1} {word}", n as f64 / unit);
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => scaled(1e3, "k"),
        1_000_000..1_000_000_000 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

/// `49.2 KiB`; small sizes in bytes.
#[must_use]
pub fn size(bytes: u64) -> String {
    let scaled = |unit: f64, word| format!("{:.1} {word}", bytes as f64 / unit);
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => scaled(1024.0, "KiB"),
        _ => scaled(1_048_576.0, "MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::{count, row, size};

    #[test]
    fn numbers_are_short() {
        assert_eq!((count(999), count(12_345_678)), ("999".to_owned(), "12.3 M".to_owned()));
        assert_eq!((size(352), size(50_400)), ("352 bytes".to_owned(), "49.2 KiB".to_owned()));
    }

    #[test]
    fn rows_align() {
        assert_eq!(row("code", "a\nb"), "  code           a\n                 b\n");
    }
}
