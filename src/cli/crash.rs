//! Faults of the compiler itself: one message that tells what to report, and exit code 101.

use super::exit::Exit;
use super::ui::Ui;
use edgecc::{Code, Diagnostic};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `body`; a panic inside becomes a message.
pub(super) fn guard(ui: &Ui, body: impl FnOnce() -> Exit) -> Exit {
    let seen = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&seen);
    panic::set_hook(Box::new(move |info| {
        let at = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no message");
        *note.lock().unwrap_or_else(PoisonError::into_inner) = format!("{what} ({at})");
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    drop(panic::take_hook());
    outcome.unwrap_or_else(|_| {
        let message = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ui.diagnostics(&[report(&message)]);
        Exit::Internal
    })
}

fn report(message: &str) -> Diagnostic {
    let args: Vec<String> = std::env::args().collect();
    let help = match args.iter().position(|a| a.starts_with("--dump-ir")) {
        Some(_) => {
            "the last files in the folder of --dump-ir show the IR around the pass that failed; \
                    please report them"
                .to_owned()
        }
        None => format!(
            "`{} --dump-ir DIR --verify-each` leaves the IR around the pass that failed in the last \
             files in DIR; please report them",
            args.join(" ")
        ),
    };
    Code::Internal
        .error(message)
        .note(format!("this is a fault in edgecc {}", env!("CARGO_PKG_VERSION")))
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn the_message_says_how_to_report() {
        let d = report("G4 at op3: wrong type");
        assert_eq!((d.code, d.message.as_str()), ("internal", "G4 at op3: wrong type"));
        assert!(d.help.is_some_and(|h| h.contains("--dump-ir DIR")));
    }
}
