//! Reads models and writes results: all of them or none.

use edgecc::{Code, Diagnostic, Failure};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Standard input or output.
pub(super) const DASH: &str = "-";

/// The bytes of a file, or of standard input.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || {
        if path != Path::new(DASH) {
            return fs::read(path);
        }
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let why = |e: io::Error| {
        let message = format!("cannot read {}: {}", path.display(), reason(&e));
        Code::ReadFile.error(message).into()
    };
    read().map_err(why)
}

/// Results on their way to disk.
#[derive(Default)]
pub(super) struct Writer {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Writer {
    /// Adds a file.
    pub(super) fn add(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.files.push((path, bytes));
    }

    /// The files' paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// Writes every file beside its place, then moves all into place. On an error nothing that
    /// was there before has changed, unless moving itself failed.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let mut staged = Staged::default();
        let (streams, files): (Vec<_>, Vec<_>) = self.files.iter().partition(|f| is_stream(&f.0));
        let outcome = files
            .iter()
            .try_for_each(|(path, bytes)| staged.stage(path, bytes))
            .and_then(|()| streams.iter().try_for_each(|(path, bytes)| write_stream(path, bytes)))
            .and_then(|()| staged.publish());
        outcome.map_err(Failure::from)
    }
}

/// Files that were written under temporary names; those that are not published go away.
#[derive(Default)]
struct Staged<'a>(Vec<(&'a Path, PathBuf)>);

impl<'a> Staged<'a> {
    fn stage(&mut self, path: &'a Path, bytes: &[u8]) -> Result<(), Diagnostic> {
        let temporary = temporary_name(path);
        self.0.push((path, temporary.clone()));
        fs::write(&temporary, bytes).map_err(|e| cannot_write(path, &e))
    }

    fn publish(&mut self) -> Result<(), Diagnostic> {
        for (path, temporary) in self.0.drain(..) {
            fs::rename(&temporary, path).map_err(|e| {
                discard(&temporary);
                cannot_write(path, &e)
            })?;
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, temporary)| discard(temporary));
    }
}

/// Fails when a file could not be written later, before long work begins.
pub(super) fn check_writable(path: &Path) -> Result<(), Failure> {
    if is_stream(path) {
        return Ok(());
    }
    if path.is_dir() {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(cannot_write(path, &error).into());
    }
    let probe = temporary_name(path);
    fs::write(&probe, []).map_err(|e| cannot_write(path, &e))?;
    discard(&probe);
    Ok(())
}

fn write_stream(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let written = match path == Path::new(DASH) {
        true => io::stdout().write_all(bytes),
        false => fs::write(path, bytes),
    };
    written.map_err(|e| cannot_write(path, &e))
}

/// Not a file that can be replaced: standard output, a device, a pipe.
fn is_stream(path: &Path) -> bool {
    path == Path::new(DASH) || fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// A leftover that cannot be removed harms nobody.
fn discard(temporary: &Path) {
    let _ = fs::remove_file(temporary);
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Diagnostic {
    let error = reason(error);
    Code::WriteFile.error(format!("cannot write {}: {error}", path.display()))
}

/// The system's words without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{Writer, check_writable};
    use std::fs;

    #[test]
    fn nothing_is_written_when_one_file_fails() {
        let folder = std::env::temp_dir().join(format!("edgecc-files-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let mut writer = Writer::default();
        writer.add(folder.join("a.o"), b"a".to_vec());
        writer.add(folder.join("missing/b.h"), b"b".to_vec());
        let outcome = writer.commit();
        let left = fs::read_dir(&folder).expect("just made").count();
        let refused = check_writable(&folder.join("missing/b.h"));
        fs::remove_dir_all(&folder).expect("just made");
        assert!(outcome.is_err() && refused.is_err());
        assert_eq!(left, 0);
    }
}
