//! The parts of an ONNX model that the importer reads, as plain data.

use crate::code::Code;
use edgecc_ir::diag::Diagnostic;
use std::collections::BTreeSet;

/// A model.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Imported operator sets: domain and version.
    pub opsets: Vec<(String, i64)>,
    /// Domain and name of model-local functions.
    pub functions: Vec<(String, String)>,
    /// The main graph.
    pub graph: GraphDef,
}

/// The main graph, or one inside a node.
#[derive(Debug, Default)]
pub(crate) struct GraphDef {
    pub nodes: Vec<Node>,
    pub initializers: Vec<TensorData>,
    /// Names of initializers in sparse form.
    pub sparse: Vec<String>,
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
}

/// One operator call. An empty input or output name stands for an operand left out.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub name: String,
    pub op_type: String,
    /// Empty for the default domain.
    pub domain: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attrs: Vec<Attr>,
    /// Names of values around the node that graphs inside it read.
    pub captured: Vec<String>,
}

impl Node {
    /// The names of all values that the node reads; empty for operands left out.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().chain(&self.captured).map(String::as_str)
    }

    /// The graph in an attribute.
    pub(crate) fn graph(&self, name: &str) -> Result<&GraphDef, Diagnostic> {
        let attr = self.attrs.iter().find(|attr| attr.name == name);
        match attr.map(|attr| &attr.value) {
            Some(AttrValue::Graph(graph)) => Ok(graph),
            Some(other) => Err(Code::BadAttribute
                .error(format!("attribute {name:?} must be a subgraph, found {}", other.kind()))),
            None => Err(Code::BadAttribute.error(format!("attribute {name:?} is missing"))),
        }
    }
}

impl GraphDef {
    /// The names that the graph reads and does not define.
    pub(crate) fn free_names(&self) -> Vec<String> {
        let inputs = self.inputs.iter().map(|input| &input.name);
        let initializers = self.initializers.iter().map(|tensor| &tensor.name);
        let results = self.nodes.iter().flat_map(|node| &node.outputs);
        let defined: BTreeSet<&str> =
            inputs.chain(initializers).chain(results).map(String::as_str).collect();
        let reads = self.nodes.iter().flat_map(Node::reads);
        let outputs = self.outputs.iter().map(|output| output.name.as_str());
        let free = reads.chain(outputs).filter(|n| !n.is_empty() && !defined.contains(n));
        free.collect::<BTreeSet<&str>>().into_iter().map(str::to_owned).collect()
    }
}

/// A named attribute.
#[derive(Debug)]
pub(crate) struct Attr {
    pub name: String,
    pub value: AttrValue,
}

/// An attribute's value.
#[derive(Debug)]
pub(crate) enum AttrValue {
    Int(i64),
    Float(f32),
    Str(Vec<u8>),
    Tensor(TensorData),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<Vec<u8>>),
    Graph(GraphDef),
    /// A kind that no supported operator reads.
    Other(&'static str),
}

impl AttrValue {
    /// Name of the kind, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            AttrValue::Int(_) => "an integer",
            AttrValue::Float(_) => "a float",
            AttrValue::Str(_) => "a string",
            AttrValue::Tensor(_) => "a tensor",
            AttrValue::Ints(_) => "a list of integers",
            AttrValue::Floats(_) => "a list of floats",
            AttrValue::Strings(_) => "a list of strings",
            AttrValue::Graph(_) => "a subgraph",
            AttrValue::Other(kind) => kind,
        }
    }
}

/// A tensor as stored; nothing is checked yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct TensorData {
    pub name: String,
    pub dims: Vec<i64>,
    /// `TensorProto.DataType`.
    pub data_type: i32,
    pub payload: Payload,
}

/// Where a tensor's elements are.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// Little-endian bytes.
    Raw(Vec<u8>),
    /// One entry per element in the typed fields; narrow types are in `I32`.
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    /// In another file: the entries of `external_data`.
    External(Vec<(String, String)>),
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::Raw(Vec::new())
    }
}

/// A graph input or output.
#[derive(Debug)]
pub(crate) struct ValueInfo {
    pub name: String,
    pub ty: ValueType,
}

/// A declared type.
#[derive(Debug)]
pub(crate) enum ValueType {
    /// Element type (`TensorProto.DataType`) and dimensions, where the rank is known.
    Tensor(i32, Option<Vec<Dim>>),
    /// Not a tensor: what it is.
    Other(&'static str),
}

/// A declared dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    Known(usize),
    Named(String),
    Unknown,
}
