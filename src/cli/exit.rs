//! Exit codes: what a script may rely on.

use edgecc::{Failure, Kind};
use std::process::ExitCode;

macro_rules! exits {
    ($($variant:ident $code:literal $doc:literal;)*) => {
        /// How a command ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Exit { $(#[doc = $doc] $variant = $code),* }

        /// The table for `--help`.
        pub(super) const HELP: &str = concat!(
            "Exit codes:\n",
            $("  ", stringify!($code), ": ", $doc, "\n"),*
        );
    };
}

exits! {
    Ok 0 "success";
    Rejected 1 "the model has errors";
    Usage 2 "an option is wrong or does not fit the model";
    Unsupported 3 "the model needs something unsupported";
    Mismatch 4 "verification found a difference";
    Budget 5 "--max-arena or --max-code is exceeded";
    Io 6 "a file cannot be read or written";
    Internal 101 "a fault in edgecc itself";
}

impl Exit {
    /// The code that fits a failure.
    pub(super) fn of(failure: &Failure) -> Exit {
        if failure.diagnostics.iter().any(|d| d.code == edgecc::Code::OverBudget.name()) {
            return Exit::Budget;
        }
        match failure.kind() {
            Kind::Invalid => Exit::Rejected,
            Kind::Unsupported => Exit::Unsupported,
            Kind::Usage => Exit::Usage,
            Kind::Io => Exit::Io,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
