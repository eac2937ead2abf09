//! Runs cases, each in its process, on all cores.

use super::case::{RESULT, Run};
use crate::Outcome;
use crate::command::command;
use crate::models::oracle::parse;
use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After this a case is taken for hanging; the slowest takes a few seconds on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// How each case ended.
pub(super) fn run(folder: &Path, cases: &[String]) -> Outcome<Vec<(String, Run)>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || cases.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(claim)
            .map(|name| Ok((name.clone(), run_one(&folder.join(name))?)))
            .collect::<Outcome<Vec<_>>>()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().expect("a worker reports its failures")).collect()
    });
    parts.into_iter().try_fold(Vec::new(), |mut all, part: Outcome<Vec<_>>| {
        all.extend(part?);
        Ok(all)
    })
}

fn run_one(folder: &Path) -> Outcome<Run> {
    let (result, said) = (folder.join(RESULT), folder.join("stderr"));
    let _ = fs::remove_file(&result);
    let program = env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let stderr = File::create(&said).map_err(|e| format!("{}: {e}", said.display()))?;
    let mut child = command(program, ["conformance", "--case"])
        .arg(folder)
        .stderr(stderr)
        .spawn()
        .map_err(|e| format!("cannot start a case: {e}"))?;
    let status = wait(&mut child)?;
    match fs::read_to_string(&result) {
        Ok(json) if status.is_some_and(|s| s.success()) => parse(&json),
        _ => Ok(Run::Crashed(cause(status, &said))),
    }
}

/// The status of a process, none if it was ended at the limit.
fn wait(child: &mut Child) -> Outcome<Option<ExitStatus>> {
    let start = Instant::now();
    let failed = |e: std::io::Error| format!("cannot wait for a case: {e}");
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    child.kill().and_then(|()| child.wait()).map_err(failed)?;
    Ok(None)
}

fn cause(status: Option<ExitStatus>, said: &Path) -> String {
    let Some(status) = status else { return format!("no end within {} s", LIMIT.as_secs()) };
    let said = fs::read_to_string(said).unwrap_or_default();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let start = lines.iter().position(|l| l.contains("panicked at")).unwrap_or(0);
    format!("{status}: {}", lines[start..].iter().take(2).copied().collect::<Vec<_>>().join(" "))
}
