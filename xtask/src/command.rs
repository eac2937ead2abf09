//! Running programs: to the terminal, or captured, with the whole command in each failure.

use crate::Outcome;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fmt};

/// A command that has not run yet.
pub(crate) fn command<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Runs with the terminal's own input and output.
pub(crate) fn show(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|e| cannot_start(command, &e))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", Words(command))) }
}

/// Runs and gives standard output; a failure tells what the program printed.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|e| cannot_start(command, &e))?;
    if !output.status.success() {
        return Err(failed(command, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs in silence; a failure tells what the program printed.
pub(crate) fn quiet(command: &mut Command) -> Outcome {
    capture(command).map(drop)
}

/// Where a program is, if it is on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The lossless text of a path that came from this process.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the workspace are UTF-8")
}

fn cannot_start(command: &Command, why: &std::io::Error) -> String {
    format!("cannot start {}: {why}", Words(command))
}

fn failed(command: &Command, output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let text = format!("{}\n{}", out.trim_end(), err.trim_end());
    format!("{} failed: {}\n{}", Words(command), output.status, text.trim())
}

/// A command as one would type it.
struct Words<'a>(&'a Command);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}", self.0.get_program().to_string_lossy())?;
        self.0.get_args().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))?;
        f.write_str("`")
    }
}

#[cfg(test)]
mod tests {
    use super::{capture, command, find};

    #[test]
    fn failures_tell_the_command_and_what_it_said() {
        let why = capture(&mut command("sh", ["-c", "echo no >&2; exit 3"])).expect_err("exit 3");
        assert!(why.contains("`sh -c") && why.contains("no") && why.contains('3'), "{why}");
        let why = capture(&mut command("no-such-program", [""; 0])).expect_err("not there");
        assert!(why.contains("cannot start `no-such-program`"), "{why}");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
