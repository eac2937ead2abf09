//! Rooms that are being built: the signatures that the driver relies on.

#![allow(missing_docs, clippy::unnecessary_wraps, reason = "stands in for documented items")]

pub mod backend {
    //! Headers and dumps.
    pub mod header {
        use edgecc_backend::Artifact;
        use edgecc_ir::loops::Loops;

        pub fn c(_: &Loops, _: &Artifact) -> String {
            String::new()
        }

        pub fn rust(_: &Loops, _: &Artifact) -> String {
            String::new()
        }
    }

    pub mod dump {
        use edgecc_ir::diag::{Diagnostic, Kind};
        use edgecc_ir::{loops::Loops, target::Target};

        fn missing<T>() -> Result<T, Vec<Diagnostic>> {
            Err(vec![Diagnostic::error(Kind::Unsupported, "no-dump", "not available")])
        }

        pub fn asm(_: &Loops, _: &Target) -> Result<String, Vec<Diagnostic>> {
            missing()
        }

        pub fn clif(_: &Loops, _: &Target) -> Result<String, Vec<Diagnostic>> {
            missing()
        }
    }
}
