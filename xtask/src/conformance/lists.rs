//! What must pass, and which wrong results are known and why.

use super::{Row, Verdict};
use crate::{Outcome, paths};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The names of cases that pass, sorted. A name is never taken off.
const PASSING: &str = "tests/onnx/passing.txt";

/// Lines `case: reason` for wrong results and crashes.
const KNOWN: &str = "tests/onnx/known.txt";

/// Both lists.
pub(super) struct Lists {
    passing: BTreeSet<String>,
    known: BTreeMap<String, String>,
}

impl Lists {
    /// Reads both files.
    pub(super) fn read() -> Outcome<Lists> {
        let lines = |path| {
            let text = fs::read_to_string(paths::file(path));
            text.map_err(|e| format!("cannot read {path}: {e}"))
        };
        let known = lines(KNOWN)?;
        let known = known.lines().filter_map(|line| line.split_once(": "));
        Ok(Lists {
            passing: lines(PASSING)?.lines().map(str::to_owned).collect(),
            known: known.map(|(case, why)| (case.to_owned(), why.to_owned())).collect(),
        })
    }

    /// Adds what passes, then checks the rest.
    pub(super) fn bless(mut self, rows: &[Row]) -> Outcome {
        self.passing.extend(passed(rows).map(str::to_owned));
        let lines: String = self.passing.iter().map(|name| format!("{name}\n")).collect();
        fs::write(paths::file(PASSING), lines)
            .map_err(|e| format!("cannot write {PASSING}: {e}"))?;
        self.check(rows)
    }

    /// Fails if a case does not end as the lists say.
    pub(super) fn check(&self, rows: &[Row]) -> Outcome {
        let broken: Vec<String> = rows.iter().filter_map(|row| self.broken(row)).collect();
        let new = passed(rows).filter(|&name| !self.passing.contains(name)).count();
        if new > 0 {
            eprintln!("{new} cases pass that are not in {PASSING}; --bless adds them");
        }
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }

    fn broken(&self, row: &Row) -> Option<String> {
        let name = &row.case.name;
        let (must_pass, known) = (self.passing.contains(name), self.known.contains_key(name));
        match &row.verdict {
            Verdict::Passed | Verdict::Bound if known => {
                Some(format!("{name} passes but is in {KNOWN}"))
            }
            Verdict::Passed | Verdict::Bound => None,
            Verdict::Wrong(why) | Verdict::Crashed(why) if must_pass || !known => {
                Some(format!("{name}: {why}"))
            }
            Verdict::Unsupported(why) if must_pass => Some(format!("{name} passed before: {why}")),
            Verdict::Wrong(_) | Verdict::Crashed(_) | Verdict::Unsupported(_) => None,
        }
    }
}

fn passed(rows: &[Row]) -> impl Iterator<Item = &str> {
    rows.iter().filter(|row| row.verdict.passed()).map(|row| row.case.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::{Case, Row, Verdict};
    use super::Lists;

    fn row(name: &str, verdict: Verdict) -> Row {
        let case = Case { name: name.to_owned(), operator: "Add".to_owned(), listed: true };
        Row { case, verdict }
    }

    #[test]
    fn what_passed_must_pass_and_what_is_wrong_must_be_known() {
        let why = || "why".to_owned();
        let lists = Lists {
            passing: ["old".to_owned()].into(),
            known: [("known".to_owned(), why())].into(),
        };
        let good = [
            row("old", Verdict::Passed),
            row("new", Verdict::Bound),
            row("known", Verdict::Wrong(why())),
            row("other", Verdict::Unsupported(why())),
        ];
        assert_eq!(lists.check(&good), Ok(()));
        for bad in [
            row("old", Verdict::Unsupported(why())),
            row("other", Verdict::Crashed(why())),
            row("known", Verdict::Passed),
        ] {
            assert!(lists.check(&[bad]).is_err());
        }
    }
}
