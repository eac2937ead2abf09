//! "Did you mean": the known name nearest to a misspelt one.

/// Advice that names the nearest known word, or lists all when none is near.
#[must_use]
pub fn help<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match known.iter().min_by_key(|k| distance(wrong, k)) {
        Some(name) if distance(wrong, name) <= 1 + wrong.len() / 3 => {
            format!("did you mean `{name}`?")
        }
        _ => format!("known are {}", known.join(", ")),
    }
}

/// Levenshtein distance over bytes, ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
