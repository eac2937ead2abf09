//! The house rules that no compiler checks.

mod dependencies;
mod rows;
mod size;
mod source;
mod words;

/// Fails with one line per broken rule.
fn assert_none(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}
