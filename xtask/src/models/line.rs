//! Lines of tables of models: a name, an origin, and the arguments of the reference.

use crate::Outcome;

/// A line of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// Before the colon of the origin: an archive's key, or a word that the table explains.
    pub(crate) archive: &'a str,
    /// After the colon.
    pub(crate) path: &'a str,
    pub(crate) args: Vec<String>,
}

/// The lines of a table, without those that start with `#`.
pub(crate) fn parse<'a>(table: &str, text: &'a str) -> Outcome<Vec<Line<'a>>> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| line(row).ok_or_else(|| format!("{table}: no name and origin in {row:?}")))
        .collect()
}

fn line(text: &str) -> Option<Line<'_>> {
    let mut words = text.split_whitespace();
    let name = words.next()?;
    let (archive, path) = words.next()?.split_once(':')?;
    Some(Line { name, archive, path, args: words.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_has_a_name_an_origin_and_arguments() {
        let lines = parse("a table", "# note\na  pip:b/c.onnx  --low 1\n").expect("one line");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((line.name, line.archive, line.path), ("a", "pip", "b/c.onnx"));
        assert_eq!(line.args, ["--low", "1"]);
        assert_eq!(
            parse("a table", "alone"),
            Err("a table: no name and origin in \"alone\"".into())
        );
    }
}
