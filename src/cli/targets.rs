//! `edgecc targets`: the CPUs and features that code can be made for.

use super::Outcome;
use super::exit::Exit;
use super::ui::Ui;
use edgecc::target::features_of;
use edgecc_ir::target::{Arch, CPUS, Cpu};
use serde_json::json;

/// List architectures, CPUs and features
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  edgecc targets\n  edgecc targets --json")]
pub(super) struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

const ARCHS: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    match args.json {
        true => ui.json(&ARCHS.map(json)),
        false => ui.print(&ARCHS.map(text).join("\n")),
    }
    Ok(Exit::Ok)
}

fn cpus(arch: Arch) -> impl Iterator<Item = &'static Cpu> {
    CPUS.iter().filter(move |c| c.arch == arch)
}

fn text(arch: Arch) -> String {
    let mut text = format!("--target {}\n  CPUs, the first is the default:\n", arch.name());
    cpus(arch).for_each(|c| text += &format!("    {:<14} {}\n", c.name, c.doc));
    text += "  Features:\n";
    features_of(arch).for_each(|f| text += &format!("    {:<14} {}\n", f.name(), f.doc));
    text
}

fn json(arch: Arch) -> serde_json::Value {
    let cpu = |c: &Cpu| json!({ "name": c.name, "features": c.features(), "doc": c.doc });
    json!({
        "target": arch.name(),
        "cpus": cpus(arch).map(cpu).collect::<Vec<_>>(),
        "features": features_of(arch)
            .map(|f| json!({ "name": f.name(), "doc": f.doc }))
            .collect::<Vec<_>>(),
    })
}
