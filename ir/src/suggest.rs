//! "Did you mean": the known name nearest to a misspelt one.

/// Advice that names the nearest known name, or lists the known ones when none is near. `what` says
/// in the plural what they are names of.
#[must_use]
pub fn help<'a>(what: &str, wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().min_by_key(|k| distance(wrong, k));
    match nearest {
        None => format!("there are no {what}"),
        Some(name) if is_near(wrong, name) => format!("did you mean {name:?}?"),
        Some(_) => format!("known are {}", list(&known)),
    }
}

/// At most a third of the letters differ, and not all of them.
fn is_near(wrong: &str, name: &str) -> bool {
    let edits = distance(wrong, name);
    edits <= wrong.len().div_ceil(3) && edits < wrong.len()
}

/// Quoted names, at most ten.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(10).map(|n| format!("{n:?}")).collect();
    let rest = if names.len() > 10 { ", …" } else { "" };
    format!("{}{rest}", quoted.join(", "))
}

/// Levenshtein distance over bytes, ignoring ASCII case; long names count as far.
fn distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > 256 {
        return usize::MAX;
    }
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

#[cfg(test)]
mod tests {
    use super::{distance, help};

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("batch", "bacth"), 2);
        assert_eq!(distance("N", "n"), 0);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["batch", "height"];
        assert_eq!(help("dimensions", "bach", known.into_iter()), "did you mean \"batch\"?");
        assert_eq!(help("dimensions", "xyz", known.into_iter()), "known are \"batch\", \"height\"");
    }
}
