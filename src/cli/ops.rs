//! `edgecc ops`: the supported ONNX operators.

use super::Outcome;
use super::exit::Exit;
use super::ui::Ui;
use serde_json::json;

/// List the supported ONNX operators
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  edgecc ops\n  edgecc ops --json | jq '.[].name'")]
pub(super) struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Outcome {
    let rows = edgecc_frontend::supported_ops();
    if args.json {
        let rows: Vec<_> = rows
            .map(|r| json!({ "domain": r.domain, "name": r.name, "since": r.since, "limits": r.limits }))
            .collect();
        ui.json(&rows);
    } else {
        ui.print("operator                  since opset  limits\n");
        for r in rows {
            let name = if r.domain.is_empty() {
                r.name.to_owned()
            } else {
                format!("{}.{}", r.domain, r.name)
            };
            ui.print(&format!("{name:<25} {:>11}  {}\n", r.since, r.limits));
        }
    }
    Ok(Exit::Ok)
}
