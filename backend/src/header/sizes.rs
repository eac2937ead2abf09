//! Sources for one object that holds a model in several sizes: those of each size, and functions that
//! pick one by the values of its dimensions.

use super::c::{c_type, close, header, open, status_enum};
use super::rust::rust_type;
use super::{names, state};
use crate::Artifact;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::Port;
use edgecc_ir::loops::Loops;
use std::fmt::Write;

/// A model in several sizes.
#[derive(Clone, Debug)]
pub struct Sizes<'a> {
    /// The name of all together; each size has a longer one.
    pub name: &'a str,
    /// The names of the dimensions that differ.
    pub dims: Vec<&'a str>,
    /// The sizes; at least one.
    pub variants: Vec<Variant<'a>>,
}

/// One size. All of a model have the same names and element types, and the same states.
#[derive(Clone, Debug)]
pub struct Variant<'a> {
    /// The program.
    pub loops: &'a Loops,
    /// What it was compiled to.
    pub artifact: &'a Artifact,
    /// The values of the dimensions.
    pub values: Vec<usize>,
}

/// The names that the generated items of all sizes share.
struct Names {
    dims: Vec<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    has_state: bool,
}

impl Sizes<'_> {
    fn first(&self) -> &Artifact {
        self.variants[0].artifact
    }

    fn most<T: Ord>(&self, of: impl Fn(&Artifact) -> T) -> T {
        self.variants.iter().map(|v| of(v.artifact)).max().expect("there is a size")
    }

    fn names(&self) -> Result<Names, Vec<Diagnostic>> {
        let interface = &self.first().interface;
        Ok(Names {
            dims: self.dims.iter().map(|dim| names::identifier(dim)).collect(),
            inputs: names::identifiers(&interface.inputs)?,
            outputs: names::identifiers(&interface.outputs)?,
            has_state: !interface.states.is_empty(),
        })
    }
}

/// The C header. Fails when names of tensors collide.
pub fn c(sizes: &Sizes<'_>) -> Result<String, Vec<Diagnostic>> {
    let names = sizes.names()?;
    let (name, upper) = (sizes.name, sizes.name.to_ascii_uppercase());
    let mut h = String::new();
    for variant in &sizes.variants {
        h += &(header(variant.loops, variant.artifact)? + "\n");
    }
    open(&mut h, name, &upper);
    let interface = &sizes.first().interface;
    h += &format!(
        "/* Of the largest size. */
#define {upper}_WORKSPACE_SIZE {}u
#define {upper}_WORKSPACE_ALIGN {}u
#define {upper}_MAX_STACK {}u

",
        sizes.most(|a| a.arena_bytes),
        sizes.most(|a| a.arena_align),
        sizes.most(|a| a.stack_bytes),
    );
    let dims = names.dims.iter().map(|dim| format!("    size_t {dim};\n")).collect();
    c_struct(&mut h, &format!("{name}_dims"), dims);
    c_struct(
        &mut h,
        &format!("{name}_inputs"),
        c_fields("const ", &interface.inputs, &names.inputs),
    );
    c_struct(&mut h, &format!("{name}_outputs"), c_fields("", &interface.outputs, &names.outputs));
    if names.has_state {
        h += &state::c(name, &upper, interface)?;
    }
    status_enum(&mut h, name, &upper);
    h += &c_workspace(sizes, &names);
    h += &c_run(sizes, &names, &upper);
    close(&mut h, &upper);
    Ok(h)
}

fn c_struct(h: &mut String, name: &str, fields: String) {
    let fields = if fields.is_empty() { "    char none;\n".to_owned() } else { fields };
    let _ = writeln!(h, "typedef struct {name} {{\n{fields}}} {name};\n");
}

fn c_fields(access: &str, ports: &[Port], names: &[String]) -> String {
    let field =
        |(port, name): (&Port, &String)| format!("    {access}{} *{name};\n", c_type(port.ty.elem));
    ports.iter().zip(names).map(field).collect()
}

fn c_condition(names: &Names, values: &[usize]) -> String {
    let tests: Vec<String> = names
        .dims
        .iter()
        .zip(values)
        .map(|(dim, value)| format!("dims->{dim} == {value}u"))
        .collect();
    tests.join(" && ")
}

fn c_workspace(sizes: &Sizes<'_>, names: &Names) -> String {
    let case = |variant: &Variant<'_>| {
        let (test, upper) =
            (c_condition(names, &variant.values), variant.loops.name.to_ascii_uppercase());
        format!("    if ({test}) {{\n        return {upper}_WORKSPACE_SIZE;\n    }}\n")
    };
    let cases: String = sizes.variants.iter().map(case).collect();
    format!(
        "/* Bytes of workspace of one size, exact; SIZE_MAX if there is none with these dimensions. */
static inline size_t {0}_workspace_size(const {0}_dims *dims) {{
{cases}    return SIZE_MAX;
}}

",
        sizes.name
    )
}

fn c_run(sizes: &Sizes<'_>, names: &Names, upper: &str) -> String {
    let name = sizes.name;
    let (param, state) = match names.has_state {
        true => (format!("{name}_state *state, "), "state_of_size, "),
        false => (String::new(), ""),
    };
    let case = |variant: &Variant<'_>| {
        let (own, test) = (&variant.loops.name, c_condition(names, &variant.values));
        let copy = |what: &str, fields: &[String]| {
            let parts: Vec<String> = fields.iter().map(|f| format!("{what}->{f}")).collect();
            if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
        };
        let (ins, outs) = (copy("inputs", &names.inputs), copy("outputs", &names.outputs));
        let cast = match names.has_state {
            true => format!("        {own}_state *state_of_size = ({own}_state *)(void *)state;\n"),
            false => String::new(),
        };
        format!(
            "    if ({test}) {{
        const {own}_inputs ins = {{{ins}}};
        const {own}_outputs outs = {{{outs}}};
{cast}        return ({name}_status){own}_run(&ins, &outs, {state}workspace, workspace_size);
    }}
"
        )
    };
    let cases: String = sizes.variants.iter().map(case).collect();
    format!(
        "/* Runs the size with these dimensions; ERR_DIM if there is none. */
static inline {name}_status {name}_run(const {name}_dims *dims, const {name}_inputs *inputs,
                                       const {name}_outputs *outputs, {param}
                                       void *workspace, size_t workspace_size) {{
    if (!dims || !inputs || !outputs) {{
        return {upper}_ERR_NULL;
    }}
{cases}    return {upper}_ERR_DIM;
}}

"
    )
}

/// The Rust module. Fails when names of tensors collide.
pub fn rust(sizes: &Sizes<'_>) -> Result<String, Vec<Diagnostic>> {
    let names = sizes.names()?;
    let interface = &sizes.first().interface;
    let state = match names.has_state {
        true => state::rust(interface)? + "\n",
        false => String::new(),
    };
    let fields: String = names
        .dims
        .iter()
        .map(|dim| format!("    /// A dimension.\n    pub {dim}: usize,\n"))
        .collect();
    Ok(format!(
        "{}
/// The dimensions that choose a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {{
{fields}}}

{}
{}
{state}{}
{}",
        rust_head(sizes),
        rust_struct("Inputs", "&'a ", &interface.inputs, &names.inputs),
        rust_struct("Outputs", "&'a mut ", &interface.outputs, &names.outputs),
        rust_load(sizes, &names),
        rust_run(&names),
    ))
}

fn rust_head(sizes: &Sizes<'_>) -> String {
    format!(
        "// Model `{}` in {} sizes. Generated by edgecc; `include!` it into a module of its own.

use edgecc_rt::buffer::{{as_bytes, as_bytes_mut}};
use edgecc_rt::error::Error;
use edgecc_rt::hooks::Hooks;
use edgecc_rt::model::{{Buffers, Model}};

/// Bytes of workspace of the largest size; `load` one and ask `info` for its own.
#[allow(dead_code)]
pub const WORKSPACE_SIZE: usize = {};
/// Alignment of the workspace.
#[allow(dead_code)]
pub const WORKSPACE_ALIGN: usize = {};
/// A workspace for every size.
#[allow(dead_code)]
pub type Workspace = edgecc_rt::buffer::Workspace<WORKSPACE_SIZE>;
",
        sizes.name,
        sizes.variants.len(),
        sizes.most(|a| a.arena_bytes),
        sizes.most(|a| a.arena_align),
    )
}

fn rust_struct(ty: &str, access: &str, ports: &[Port], names: &[String]) -> String {
    let field = |(port, name): (&Port, &String)| {
        format!(
            "    /// Dense and row-major.\n    pub {name}: {access}[{}],\n",
            rust_type(port.ty.elem)
        )
    };
    let fields: String = ports.iter().zip(names).map(field).collect();
    let lifetime = if ports.is_empty() { "" } else { "<'a>" };
    format!("/// Tensors of any size; a run checks it.\npub struct {ty}{lifetime} {{\n{fields}}}\n")
}

fn rust_load(sizes: &Sizes<'_>, names: &Names) -> String {
    let mut text = String::new();
    let mut arms = String::new();
    for variant in &sizes.variants {
        let own = &variant.loops.name;
        let _ = writeln!(
            text,
            "edgecc_rt::link_model! {{ fn load_{own}, edgecc_{own}_info, edgecc_{own}_run }}"
        );
        let fields: Vec<String> =
            names.dims.iter().zip(&variant.values).map(|(dim, v)| format!("{dim}: {v}")).collect();
        let _ = writeln!(arms, "        Dims {{ {} }} => load_{own}(),", fields.join(", "));
    }
    text + &format!(
        "
/// The model in a size, if there is one and this machine can run it.
pub fn load(dims: Dims) -> Result<Model<'static>, Error> {{
    match dims {{
{arms}        Dims {{ .. }} => Err(Error::Run(edgecc_rt::status::Status::Dim)),
    }}
}}
"
    )
}

fn rust_run(names: &Names) -> String {
    let list = |function: &str, what: &str, names: &[String]| -> String {
        let parts: Vec<String> =
            names.iter().map(|name| format!("{function}({what}.{name})")).collect();
        parts.join(", ")
    };
    let of = |names: &[String]| if names.is_empty() { "" } else { "<'_>" };
    let (param, memory) = match names.has_state {
        true => ("\n    state: &mut State,", "state.as_bytes_mut()"),
        false => ("", "&mut []"),
    };
    format!(
        "/// Runs a loaded size.
pub fn run_on(
    model: &Model<'_>,
    inputs: &Inputs{},
    outputs: &mut Outputs{},{param}
    workspace: &mut [u8],
) -> Result<(), Error> {{
    let buffers = Buffers {{
        inputs: &[{}],
        outputs: &mut [{}],
        state: {memory},
        workspace,
    }};
    model.run_with(&Hooks::NONE, buffers)
}}
",
        of(&names.inputs),
        of(&names.outputs),
        list("as_bytes", "inputs", &names.inputs),
        list("as_bytes_mut", "outputs", &names.outputs),
    )
}
