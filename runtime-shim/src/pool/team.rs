//! The threads' common knowledge of one job: who may take which of its indices, and when all are
//! done.
//!
//! Each thread has a share of the indices and takes it in order, then helps with those of others.
//! So a thread gets the same indices of one job after another as a rule, and finds in its caches
//! what it wrote; and a thread that is late or slow delays nobody.

#![allow(unsafe_code, reason = "shares a job with worker threads")]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::bell::Bell;
use super::job::Job;

/// The lifetime of a job is forgotten here: it is read between a claim of one of its indices and
/// the end of that index, before which [`Team::run`] does not return.
pub(super) struct Team {
    job: UnsafeCell<Option<Job<'static>>>,
    /// Indices of the job that are not done.
    unfinished: AtomicU32,
    /// One for each thread, that of the caller of a job first.
    shares: Box<[Share]>,
    stopped: AtomicBool,
    /// A job came, or the end.
    came: Bell,
    /// The last index of a job is done.
    done: Bell,
}

// SAFETY: jobs may run on any thread. `job` is written where nothing can claim an index and read
// after a claim, and a claim sees what was written before the shares were filled.
unsafe impl Sync for Team {}
// SAFETY: as above.
unsafe impl Send for Team {}

/// Evidence that no other job is running, and the number of the last one. Numbers wrap: that is a
/// mistake if a thread pauses between two instructions for exactly 2³² jobs.
#[derive(Default)]
pub(super) struct Turn(u32);

impl Team {
    /// For this many threads, which is at least one.
    pub(super) fn new(threads: usize) -> Team {
        Team {
            job: UnsafeCell::new(None),
            unfinished: AtomicU32::new(0),
            shares: (0..threads).map(|_| Share::default()).collect(),
            stopped: AtomicBool::new(false),
            came: Bell::default(),
            done: Bell::default(),
        }
    }

    /// Runs all of the job on the calling thread and on every worker that comes in time. There is
    /// one turn for each team.
    pub(super) fn run(&self, job: &Job<'_>, turn: &mut Turn) {
        turn.0 = turn.0.wrapping_add(1);
        // SAFETY: this is the team's turn, and all indices of the job before it are done.
        unsafe { *self.job.get() = Some(job.forget_lifetime()) };
        self.unfinished.store(job.count, Ordering::Relaxed);
        for (thread, share) in self.shares.iter().enumerate() {
            let [start, end] = [thread, thread + 1].map(|n| self.start(n, job.count));
            share.fill(turn.0, end - start);
        }
        self.came.ring();
        self.take_part(0, turn.0);
        self.done.wait(|| self.unfinished.load(Ordering::Acquire) == 0);
    }

    /// The life of a worker, which is never thread 0. Ends after [`Team::stop`].
    pub(super) fn work(&self, thread: usize) {
        let mut last = 0;
        loop {
            let stopped = || self.stopped.load(Ordering::Acquire);
            self.came.wait(|| self.shares[thread].turn() != last || stopped());
            if stopped() {
                return;
            }
            last = self.shares[thread].turn();
            self.take_part(thread, last);
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.came.ring();
    }

    /// Runs indices of a turn's job until all are claimed: first those of the thread's own share.
    fn take_part(&self, thread: usize, turn: u32) {
        let mut finished = 0;
        for owner in (thread..self.shares.len()).chain(0..thread) {
            while let Some(left) = self.shares[owner].claim(turn) {
                // SAFETY: an index is claimed and not done, so its job is there and stays.
                let job = unsafe { (*self.job.get()).expect("an index has a job") };
                job.part(self.start(owner + 1, job.count) - left);
                finished += 1;
            }
        }
        if finished != 0 && self.unfinished.fetch_sub(finished, Ordering::AcqRel) == finished {
            self.done.ring();
        }
    }

    /// The first index of a thread's share: shares are equal but for one index.
    fn start(&self, thread: usize, count: u32) -> u32 {
        (u64::from(count) * thread as u64).div_ceil(self.shares.len() as u64) as u32
    }
}

/// How many indices of which turn are left: the turn in the upper half. In cache lines of its own,
/// two of them as processors fetch pairs.
#[derive(Default)]
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn fill(&self, turn: u32, left: u32) {
        self.0.store(u64::from(turn) << 32 | u64::from(left), Ordering::Release);
    }

    fn turn(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Takes an index of this turn, and says how many were left.
    fn claim(&self, turn: u32) -> Option<u32> {
        let one_less = |word: u64| {
            let due = word >> 32 == u64::from(turn) && word as u32 != 0;
            due.then(|| word - 1)
        };
        let claimed = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_less);
        claimed.ok().map(|word| word as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::{Share, Team};

    #[test]
    fn shares_are_equal_but_for_one_index() {
        for (threads, count) in [(1, 5), (2, 3), (3, 8), (8, 3), (4, u32::MAX)] {
            let team = Team::new(threads);
            let starts: Vec<u32> = (0..=threads).map(|n| team.start(n, count)).collect();
            assert_eq!((starts[0], starts[threads]), (0, count));
            let sizes = starts.windows(2).map(|pair| pair[1] - pair[0]);
            let least = count / threads as u32;
            assert!(sizes.clone().all(|size| size == least || size == least + 1), "{starts:?}");
            assert!(starts[1] >= count - starts[threads - 1], "the caller is there first");
        }
    }

    #[test]
    fn indices_are_claimed_in_their_turn() {
        let share = Share::default();
        share.fill(7, 2);
        assert_eq!([6, 7, 7, 7].map(|turn| share.claim(turn)), [None, Some(2), Some(1), None]);
        assert_eq!(share.turn(), 7);
    }
}
