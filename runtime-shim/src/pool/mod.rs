//! A thread pool behind the `parallel_for` service.
//!
//! The threads live as long as the pool and a job allocates nothing. Which thread takes which index
//! is not determined, but parts write disjoint memory, so the result is.

#![allow(unsafe_code, reason = "a pool is a context of the C ABI")]

mod bell;
mod job;
mod team;

use std::ffi::c_void;
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, JoinHandle};

use crate::abi::{ParallelBody, Services};
use crate::hooks::Hooks;
use job::{Job, Parts};
use team::{Team, Turn};

/// A fixed set of threads that share the parts of one job at a time.
///
/// A pool may be shared: when a job is running, another one, also one started from inside a part,
/// is done by its own caller alone. So no call waits for a stranger, and nothing deadlocks.
pub struct Pool {
    team: Arc<Team>,
    /// Held by the one caller whose job the team runs.
    turn: Mutex<Turn>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, the caller of a job included, so `threads - 1` are started.
    pub fn new(threads: NonZero<usize>) -> io::Result<Pool> {
        let team = Arc::new(Team::new(threads.get()));
        let mut pool = Pool { team, turn: Mutex::default(), workers: Vec::new() };
        for index in 1..threads.get() {
            let team = Arc::clone(&pool.team);
            let thread = thread::Builder::new().name(format!("edgecc-{index}"));
            pool.workers.push(thread.spawn(move || team.work(index))?);
        }
        Ok(pool)
    }

    /// A pool with one thread per processor that this process may use.
    pub fn with_all_processors() -> io::Result<Pool> {
        Pool::new(thread::available_parallelism()?)
    }

    /// How many threads take part in a job.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The pool as services for [`crate::model::Model::run_with`].
    pub fn hooks(&self) -> Hooks<'_> {
        // SAFETY: the context is this pool, which the result borrows, and `parallel_for` takes a
        // pool from any thread.
        unsafe { Hooks::from_raw(self.services()) }
    }

    /// The pool as services for C. They are good as long as the pool stays where it is.
    pub(crate) fn services(&self) -> Services {
        Services {
            parallel_ctx: (&raw const *self).cast_mut().cast(),
            parallel_for: Some(parallel_for),
            ..Services::NONE
        }
    }

    /// Calls `part(i)` once for every `i < count` and returns when all calls have returned. If
    /// some panic, the others still run, and then one of the panics goes on here.
    pub fn for_each<F: Fn(u32) + Sync>(&self, count: u32, part: F) {
        let parts = Parts::new(part);
        self.run(Job::of(&parts, count));
        if let Some(payload) = parts.panic() {
            resume_unwind(payload);
        }
    }

    fn run(&self, job: Job<'_>) {
        let turn = match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match turn {
            Some(mut turn) if job.count > 1 && !self.workers.is_empty() => {
                self.team.run(&job, &mut turn);
            }
            _ => job.run_alone(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.team.stop();
        for worker in self.workers.drain(..) {
            // A worker runs nothing that unwinds; were it otherwise, the pool is gone anyway.
            let _ = worker.join();
        }
    }
}

/// [`crate::abi::ParallelFor`] for a pool.
///
/// # Safety
///
/// `ctx` is a live [`Pool`], and `body` may be called with `arg` from any thread.
unsafe extern "C" fn parallel_for(
    ctx: *mut c_void,
    body: ParallelBody,
    arg: *mut c_void,
    count: u32,
) {
    // SAFETY: as promised by the caller; the job ends before this function does.
    let (pool, job) = unsafe { (&*ctx.cast::<Pool>(), Job::new(body, arg, count)) };
    pool.run(job);
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::Pool;

    fn pool(threads: usize) -> Pool {
        Pool::new(NonZero::new(threads).expect("not zero")).expect("threads can be started")
    }

    /// Runs a job and asserts that each index was called exactly once.
    fn check(pool: &Pool, count: u32) {
        let calls: Vec<_> = (0..count).map(|_| AtomicU32::new(0)).collect();
        pool.for_each(count, |i| {
            calls[i as usize].fetch_add(1, Ordering::Relaxed);
        });
        assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{count} parts");
    }

    #[test]
    fn each_index_is_called_once() {
        for threads in [1, 2, 3, 8] {
            let pool = pool(threads);
            assert_eq!(pool.threads(), threads);
            [0, 1, 2, 7, 1000].into_iter().for_each(|count| check(&pool, count));
        }
    }

    #[test]
    fn many_short_jobs_in_a_row() {
        let pool = pool(4);
        (0..5000).for_each(|round| check(&pool, round % 9));
    }

    #[test]
    fn callers_share_a_pool() {
        let pool = pool(3);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| check(&pool, 16)));
            }
        });
    }

    #[test]
    fn a_part_may_start_a_job() {
        let pool = pool(3);
        let sum = AtomicU32::new(0);
        pool.for_each(8, |i| {
            pool.for_each(8, |j| {
                sum.fetch_add(i * j, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 28 * 28);
    }

    #[test]
    fn a_panic_comes_back_and_the_pool_goes_on() {
        let pool = pool(3);
        let ran = AtomicU32::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(100, |i| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert!(i != 42, "on purpose");
            });
        }));
        assert!(caught.is_err());
        assert_eq!(ran.into_inner(), 100);
        check(&pool, 100);
    }
}
