//! Compiles for this machine, for the subcommands that run the result.

use super::args::{self, Cpu, Effort, Model};
use super::files;
use super::observe::Observer;
use super::ui::Ui;
use edgecc::driver::{self, Compiled, Ir, Source};
use edgecc::{Failure, Options};

/// Options of subcommands that compile for this machine.
#[derive(clap::Args)]
pub(super) struct HostArgs {
    #[command(flatten)]
    pub(super) model: Model,
    #[command(flatten)]
    cpu: Cpu,
    #[command(flatten)]
    effort: Effort,
}

impl HostArgs {
    /// Compiles; `see` is told of the IR after each pass, besides dumps and timings.
    pub(super) fn compile(
        &self,
        ui: &Ui,
        see: &mut driver::Observer<'_>,
    ) -> Result<Compiled, Failure> {
        let options = args::options(&self.model, self.cpu.host_spec(), &self.effort)?;
        compile(&self.model, &options, &self.effort, ui, see)
    }
}

/// Reads and compiles a model with everything that the options ask for on the way.
pub(super) fn compile(
    model: &Model,
    options: &Options,
    effort: &Effort,
    ui: &Ui,
    see: &mut driver::Observer<'_>,
) -> Result<Compiled, Failure> {
    let bytes = files::read(&model.path)?;
    let mut observer = Observer::new(effort)?;
    let mut both = |pass: &str, ir: Ir<'_>| {
        ui.progress(pass);
        observer.see(pass, ir);
        see(pass, ir);
    };
    let compiled = driver::compile(&Source::of_file(&bytes, &model.path), options, &mut both);
    ui.progress("");
    observer.finish(ui)?;
    let compiled = compiled?;
    ui.diagnostics(&compiled.warnings);
    Ok(compiled)
}
