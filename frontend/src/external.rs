//! Weights in other files: which locations are allowed, and what to ask the caller for.

use crate::code::Code;
use edgecc_ir::diag::Diagnostic;

/// A byte range of a file next to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalRange {
    /// A relative path inside the model's folder, without `..`; `/` or `\` separates.
    pub location: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: usize,
}

/// Reads a range, or says why it cannot. Links that leave the folder are the reader's to refuse.
pub type ExternalReader<'a> = dyn Fn(&ExternalRange) -> Result<Vec<u8>, String> + 'a;

/// A reader for models that must be in one file.
pub fn no_external_data(_range: &ExternalRange) -> Result<Vec<u8>, String> {
    Err("external data is not available here".to_owned())
}

/// Reads `length` bytes as the `external_data` entries of a tensor say.
pub(crate) fn read(
    entries: &[(String, String)],
    length: usize,
    reader: &ExternalReader<'_>,
) -> Result<Vec<u8>, Diagnostic> {
    let range = parse(entries, length)?;
    let fail = |note: String| {
        Code::ExternalData
            .error(format!("cannot read the external data {:?}", range.location))
            .note(note)
            .help("keep the data file where the exporter put it, beside the model")
    };
    let bytes = reader(&range).map_err(fail)?;
    if bytes.len() != length {
        return Err(fail(format!("{length} bytes are needed, {} were read", bytes.len())));
    }
    Ok(bytes)
}

fn parse(entries: &[(String, String)], length: usize) -> Result<ExternalRange, Diagnostic> {
    let entry = |key| entries.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let location = entry("location").unwrap_or_default();
    if let Some(why) = refusal(location) {
        return Err(Code::ExternalData
            .error(format!("the external data location {location:?} is refused"))
            .note(why)
            .help("use a path inside the model's folder, or embed the weights in the model"));
    }
    let number = |key| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(Code::InvalidModel
            .error(format!("the external data {location:?} has a {key} that is not a number"))),
    };
    let offset = number("offset")?.unwrap_or(0);
    match number("length")? {
        Some(stored) if stored != length as u64 => Err(Code::InvalidModel.error(format!(
            "the external data {location:?} has {stored} bytes, the tensor needs {length}"
        ))),
        _ => Ok(ExternalRange { location: location.to_owned(), offset, length }),
    }
}

/// Why a location is not inside the model's folder on every host, judged by its spelling.
fn refusal(location: &str) -> Option<&'static str> {
    let mut parts = location.split(['/', '\\']);
    match () {
        () if location.is_empty() => Some("it is empty"),
        () if location.contains('\0') => Some("it contains a null character"),
        () if location.starts_with(['/', '\\']) || location.contains(':') => {
            Some("it is an absolute path")
        }
        () if parts.any(|p| p == "..") => Some("it leaves the model's folder"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn only_paths_below_the_model_are_allowed() {
        for good in ["weights.bin", "data/w.bin", "./w.bin", "a..b"] {
            assert_eq!(refusal(good), None, "{good}");
        }
        for bad in
            ["", "/etc/passwd", "../w.bin", "a/../../w", "a\\..\\w", "C:\\w", "\\\\h\\w", "w\0"]
        {
            assert!(refusal(bad).is_some(), "{bad}");
        }
    }
}
