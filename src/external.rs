//! Weights beside the model: byte ranges of files inside the model's folder, and nowhere else.

use edgecc_frontend::ExternalRange;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Reads a range of a file below `folder`; links that lead out of it are refused.
pub(crate) fn read(folder: &Path, range: &ExternalRange) -> Result<Vec<u8>, String> {
    let path = inside(folder, &range.location)?;
    let why = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = File::open(&path).map_err(why)?;
    let end = range.offset.checked_add(range.length as u64);
    let size = file.metadata().map_err(why)?.len();
    if end.is_none_or(|end| end > size) {
        return Err(format!(
            "{} has {size} bytes, bytes {} to {} are needed",
            path.display(),
            range.offset,
            range.offset.saturating_add(range.length as u64)
        ));
    }
    let mut bytes = vec![0; range.length];
    file.seek(SeekFrom::Start(range.offset)).map_err(why)?;
    file.read_exact(&mut bytes).map_err(why)?;
    Ok(bytes)
}

fn inside(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let canonical =
        |path: &Path| path.canonicalize().map_err(|e| format!("{}: {e}", path.display()));
    let root = canonical(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    let path = canonical(&root.join(location.replace('\\', "/")))?;
    if !path.starts_with(&root) {
        return Err(format!("{} is outside the model's folder", path.display()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::read;
    use edgecc_frontend::ExternalRange;
    use std::fs;

    fn range(location: &str, offset: u64, length: usize) -> ExternalRange {
        ExternalRange { location: location.to_owned(), offset, length }
    }

    #[test]
    fn only_ranges_inside_the_folder_are_read() {
        let root = std::env::temp_dir().join(format!("edgecc-external-{}", std::process::id()));
        let folder = root.join("model");
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        fs::write(folder.join("w.bin"), b"abcdef").expect("writable");
        fs::write(root.join("secret"), b"secret").expect("writable");
        let outcomes = [
            read(&folder, &range("w.bin", 2, 3)),
            read(&folder, &range("w.bin", 4, 3)),
            read(&folder, &range("w.bin", u64::MAX, 3)),
            read(&folder, &range("../secret", 0, 3)),
            read(&folder, &range("none", 0, 3)),
        ];
        fs::remove_dir_all(&root).expect("it was just made");
        assert_eq!(outcomes[0].as_deref(), Ok(&b"cde"[..]));
        assert!(outcomes[1..].iter().all(Result::is_err));
        assert!(outcomes[3].as_ref().is_err_and(|why| why.contains("outside")));
    }
}
