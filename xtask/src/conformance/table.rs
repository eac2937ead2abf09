//! Prints how cases ended, for people and for programs.

use super::{Row, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

const HEADER: [&str; 7] = ["", "cases", "passed", "bound", "unsupported", "wrong", "crashed"];

/// How many cases ended in each way.
#[derive(Clone, Default, Serialize)]
struct Counts {
    cases: usize,
    passed: usize,
    /// Of those that passed, how many needed inputs as constants.
    bound: usize,
    unsupported: usize,
    wrong: usize,
    crashed: usize,
}

/// Totals, counts by operator and every case, as JSON.
pub(super) fn json(rows: &[Row]) -> String {
    let value = serde_json::json!({
        "all": counts(rows.iter()),
        "listed": counts(rows.iter().filter(|row| row.case.listed)),
        "operators": by_operator(rows),
        "cases": rows,
    });
    serde_json::to_string_pretty(&value).expect("rows have only text keys")
}

/// The operators of which a case does not pass, the totals, then each wrong case.
pub(super) fn text(rows: &[Row]) -> String {
    let operators = by_operator(rows);
    let incomplete = operators.iter().filter(|(_, counts)| counts.passed < counts.cases);
    let mut lines = vec![line(HEADER.map(str::to_owned))];
    lines.extend(incomplete.map(|(operator, counts)| counts.line(operator)));
    lines.push(counts(rows.iter().filter(|row| row.case.listed)).line("listed operators"));
    lines.push(counts(rows.iter()).line("all"));
    lines.extend(rows.iter().filter_map(|row| match &row.verdict {
        Verdict::Wrong(why) => Some(format!("wrong {}: {why}", row.case.name)),
        Verdict::Crashed(why) => Some(format!("crashed {}: {why}", row.case.name)),
        Verdict::Passed | Verdict::Bound | Verdict::Unsupported(_) => None,
    }));
    lines.join("\n")
}

fn by_operator(rows: &[Row]) -> BTreeMap<&str, Counts> {
    let mut operators: BTreeMap<&str, Counts> = BTreeMap::new();
    for row in rows {
        operators.entry(&row.case.operator).or_default().add(&row.verdict);
    }
    operators
}

fn counts<'a>(rows: impl Iterator<Item = &'a Row>) -> Counts {
    let mut counts = Counts::default();
    rows.for_each(|row| counts.add(&row.verdict));
    counts
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        self.cases += 1;
        self.passed += usize::from(verdict.passed());
        match verdict {
            Verdict::Passed => {}
            Verdict::Bound => self.bound += 1,
            Verdict::Unsupported(_) => self.unsupported += 1,
            Verdict::Wrong(_) => self.wrong += 1,
            Verdict::Crashed(_) => self.crashed += 1,
        }
    }

    fn line(&self, name: &str) -> String {
        let percent = 100.0 * self.passed as f64 / self.cases.max(1) as f64;
        let numbers =
            [self.cases, self.passed, self.bound, self.unsupported, self.wrong, self.crashed];
        let [cases, passed, bound, unsupported, wrong, crashed] = numbers.map(|n| n.to_string());
        let cells = [name.to_owned(), cases, passed, bound, unsupported, wrong, crashed];
        format!("{} {percent:7.1} %", line(cells))
    }
}

fn line(cells: [String; 7]) -> String {
    let [name, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!(" {cell:>11}")).collect();
    format!("{name:28}{rest}")
}

#[cfg(test)]
mod tests {
    use super::super::{Case, Row, Verdict};
    use super::text;

    #[test]
    fn complete_operators_are_left_out() {
        let row = |operator: &str, verdict| {
            let case = Case { name: "c".to_owned(), operator: operator.to_owned(), listed: true };
            Row { case, verdict }
        };
        let rows = [
            row("Add", Verdict::Passed),
            row("Mul", Verdict::Bound),
            row("Mul", Verdict::Wrong("7 instead of 8".to_owned())),
        ];
        let text = text(&rows);
        assert!(!text.contains("Add") && text.contains("Mul") && text.contains("7 instead"));
        assert!(text.contains("50.0 %") && text.contains("66.7 %"), "{text}");
    }
}
