//! `edgecc run`: compile for this machine in memory, then execute.

use super::Outcome;
use super::arrays;
use super::exit::Exit;
use super::files::{Writer, check_writable};
use super::host::{self, HostArgs};
use super::ui::Ui;
use edgecc::host::Host;
use edgecc_ir::kernel::Port;
use edgecc_ir::tensor::Tensor;
use std::num::NonZero;
use std::path::PathBuf;

/// Run a model on this machine
#[derive(clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  edgecc run model.onnx --inputs in.npz --outputs out.npz\n",
    "  edgecc run model.onnx --dim batch=4          random inputs, prints the outputs\n\n",
    "The archives are NumPy's: np.savez('in.npz', image=x) with the names of the model's inputs.",
))]
pub(super) struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// NumPy archive with one array per input [default: random values]
    ///
    /// A state whose array is left out begins as before the first run; its next value is an output.
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// Number of threads
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZero<usize>,
    /// NumPy archive to write [default: prints the outputs]
    #[arg(long, value_name = "FILE.npz")]
    outputs: Option<PathBuf>,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    args.outputs.as_deref().map_or(Ok(()), check_writable)?;
    let arrays = args.inputs.as_deref().map(arrays::read).transpose()?;
    let compiled = args.host.compile(ui, &mut |_, _| {})?;
    let inputs = host::inputs(&compiled, arrays)?;
    let pool = host::pool(args.threads)?;
    let outputs = Host::load(&compiled)?.run_on(&pool.hooks(), &inputs)?;
    match &args.outputs {
        None => ui.print(&listing(&compiled.loops.outputs, &outputs)),
        Some(path) => {
            let mut writer = Writer::default();
            writer.add(path.clone(), arrays::encode(&compiled.loops.outputs, &outputs)?);
            writer.commit()?;
        }
    }
    Ok(Exit::Ok)
}

/// The first elements of each output.
fn listing(ports: &[Port], tensors: &[Tensor]) -> String {
    const SHOWN: usize = 16;
    let line = |(port, tensor): (&Port, &Tensor)| {
        let values: Vec<String> = tensor.iter().take(SHOWN).map(number).collect();
        let rest = if tensor.numel() > SHOWN { " …" } else { "" };
        format!("{}: {} = {}{rest}\n", port.name, port.ty, values.join(" "))
    };
    ports.iter().zip(tensors).map(line).collect()
}

fn number(value: edgecc_ir::tensor::Scalar) -> String {
    if value.elem().is_float() {
        format!("{:.6}", value.as_f64())
    } else {
        value.as_i64().to_string()
    }
}
