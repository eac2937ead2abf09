//! Installs what is missing: cross tools, the Python oracles, models and data. Does nothing where
//! everything is there.

mod apt;
pub(crate) mod archive;
mod package;
mod python;

pub(crate) use package::{CIFAR, MNIST, MODELS, Pinned};
pub(crate) use python::PEERS;

use crate::Outcome;

/// Installs everything that is missing.
pub(crate) fn run() -> Outcome {
    apt::install()?;
    python::ORACLES.install()?;
    package::fetch_all()
}
