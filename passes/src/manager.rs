//! Runs the passes of one level in order, verifying and observing each.

use edgecc_ir::target::Target;
use std::cell::RefCell;

/// A rewrite within one level; it cannot fail.
#[derive(Debug)]
pub struct Pass<L> {
    /// Name for `--pass`, dumps and remarks.
    pub name: &'static str,
    /// One line for `edgecc passes`.
    pub doc: &'static str,
    /// The rewrite.
    pub run: fn(&mut L, &PassCx<'_>),
}

/// What the manager must know about a level.
pub trait Level {
    /// Checks every numbered invariant; the message names the first broken one.
    fn verify(&self) -> Result<(), String>;

    /// Equal for equal programs; cheap, so constants count by identity and not by content.
    fn fingerprint(&self) -> u64;
}

/// Everything that a pass may ask.
#[derive(Debug)]
pub struct PassCx<'a> {
    /// The machine that code is made for.
    pub target: &'a Target,
    /// The user's choices.
    pub options: &'a PassOptions,
    /// What was not optimised and why, in the order of discovery.
    pub remarks: RefCell<Vec<Remark>>,
}

/// Choices that change what passes do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassOptions {
    /// Forbids rewrites that reorder float arithmetic.
    pub strict_float: bool,
    /// 0 to 3; at 0 only what later levels rely on runs.
    pub opt_level: u8,
    /// When the level's verifier runs.
    pub verify: VerifyPolicy,
}

/// When the level's verifier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyPolicy {
    /// Before the first pass and after every pass.
    Each,
    /// Never.
    Never,
}

/// A missed optimisation, for `--remarks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remark {
    /// The pass that says it.
    pub pass: &'static str,
    /// One sentence without a final full stop.
    pub message: String,
}

/// A moment in a pass's run, for dumps and timings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// About to run.
    Before,
    /// Done.
    After {
        /// Whether the program differs from before.
        changed: bool,
    },
}

impl Default for PassOptions {
    fn default() -> PassOptions {
        let verify = if cfg!(debug_assertions) { VerifyPolicy::Each } else { VerifyPolicy::Never };
        PassOptions { strict_float: false, opt_level: 2, verify }
    }
}

impl<'a> PassCx<'a> {
    /// A context without remarks.
    #[must_use]
    pub fn new(target: &'a Target, options: &'a PassOptions) -> PassCx<'a> {
        PassCx { target, options, remarks: RefCell::default() }
    }

    /// Records a missed optimisation.
    pub fn remark(&self, pass: &'static str, message: impl Into<String>) {
        self.remarks.borrow_mut().push(Remark { pass, message: message.into() });
    }
}

/// Runs `passes` in order and returns how many changed the program.
///
/// `observe` sees the level before and after each pass; the caller prints, dumps or times there.
///
/// # Panics
/// When the verifier rejects a pass's result: a bug in that pass.
pub fn run_passes<'p, L: Level + 'p>(
    level: &mut L,
    passes: impl IntoIterator<Item = &'p Pass<L>>,
    cx: &PassCx<'_>,
    mut observe: impl FnMut(&Pass<L>, Moment, &L),
) -> usize {
    check(level, "the input", cx);
    let mut changes = 0;
    for pass in passes {
        observe(pass, Moment::Before, level);
        let before = level.fingerprint();
        (pass.run)(level, cx);
        let changed = level.fingerprint() != before;
        changes += usize::from(changed);
        check(level, pass.name, cx);
        observe(pass, Moment::After { changed }, level);
    }
    changes
}

fn check<L: Level>(level: &L, after: &str, cx: &PassCx<'_>) {
    if cx.options.verify == VerifyPolicy::Each
        && let Err(broken) = level.verify()
    {
        panic!("the verifier rejects the result of {after}: {broken}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Moment, Pass, PassCx, PassOptions, VerifyPolicy, run_passes};
    use edgecc_ir::target::{Arch, Target};

    struct Counter(u64);

    impl Level for Counter {
        fn verify(&self) -> Result<(), String> {
            if self.0 < 10 { Ok(()) } else { Err("C1: too large".into()) }
        }
        fn fingerprint(&self) -> u64 {
            self.0
        }
    }

    const BUMP: Pass<Counter> = Pass { name: "bump", doc: "adds one", run: |c, _| c.0 += 1 };
    const KEEP: Pass<Counter> = Pass { name: "keep", doc: "does nothing", run: |_, _| {} };

    fn run(start: u64, passes: &[Pass<Counter>]) -> (usize, Vec<Moment>) {
        let (target, mut options) = (Target::default_for(Arch::X86_64), PassOptions::default());
        options.verify = VerifyPolicy::Each;
        let (cx, mut moments) = (PassCx::new(&target, &options), Vec::new());
        let changes = run_passes(&mut Counter(start), passes, &cx, |_, m, _| moments.push(m));
        (changes, moments)
    }

    #[test]
    fn changes_are_counted_and_observed() {
        let (changes, moments) = run(0, &[BUMP, KEEP]);
        assert_eq!(changes, 1);
        assert_eq!(moments[1], Moment::After { changed: true });
        assert_eq!(moments[3], Moment::After { changed: false });
    }

    #[test]
    #[should_panic(expected = "result of bump: C1: too large")]
    fn a_broken_invariant_names_the_pass() {
        run(9, &[BUMP]);
    }
}
