//! A thread pool behind the `parallel_for` service.
//!
//! The threads live as long as the pool and a job allocates nothing. Indices are claimed from an
//! atomic counter, so uneven parts balance themselves; which thread takes which index is not
//! determined, but parts write disjoint memory, so the result is.

#![allow(unsafe_code, reason = "shares a job's pointers with worker threads and the C ABI")]

use std::any::Any;
use std::ffi::c_void;
use std::hint;
use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use crate::abi::{ParallelBody, Services};
use crate::hooks::Hooks;

/// How often a waiting thread looks before it sleeps. Steps of a model follow each other within
/// microseconds, which is less than waking a thread takes; some ten microseconds of looking
/// bridge the gap without keeping an idle processor awake.
const SPINS: u32 = 4096;

/// A fixed set of threads that share the parts of one job at a time.
///
/// A pool may be shared: when a job is running, another one, also one started from inside a part,
/// is done by its own caller alone. So no call waits for a stranger, and nothing deadlocks.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, the caller of a job included, so `threads - 1` are started.
    pub fn new(threads: NonZero<usize>) -> io::Result<Pool> {
        let mut pool = Pool { shared: Arc::default(), workers: Vec::new() };
        for index in 1..threads.get() {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("edgecc-{index}"));
            pool.workers.push(thread.spawn(move || shared.work())?);
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
        let parts = Parts { part, panic: Mutex::new(None) };
        let arg = (&raw const parts).cast_mut().cast();
        // SAFETY: `arg` is `parts`, which outlives the call and may be shared as `F: Sync`.
        self.run(unsafe { Job::new(call_part::<F>, arg, count) });
        if let Some(payload) = parts.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }

    fn run(&self, job: Job<'_>) {
        let gate = match self.shared.gate.try_lock() {
            Ok(gate) => Some(gate),
            Err(TryLockError::Poisoned(gate)) => Some(gate.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match gate {
            Some(gate) if job.count > 1 && !self.workers.is_empty() => {
                self.shared.run_together(&job, &gate);
            }
            _ => job.run_alone(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
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

/// A closure on its way through the C ABI, and the first panic on its way back.
struct Parts<F> {
    part: F,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// # Safety
///
/// `arg` is a live `Parts<F>`.
unsafe extern "C" fn call_part<F: Fn(u32) + Sync>(arg: *mut c_void, index: u32) {
    // SAFETY: as promised by the caller.
    let parts = unsafe { &*arg.cast::<Parts<F>>() };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (parts.part)(index))) {
        parts.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
    }
}

/// A body to be called for every index below `count`, good for `'a`.
#[derive(Clone, Copy)]
struct Job<'a> {
    body: ParallelBody,
    arg: *mut c_void,
    count: u32,
    lifetime: PhantomData<&'a ()>,
}

// SAFETY: `Job::new` was promised that the body may run on any thread.
unsafe impl Send for Job<'_> {}

impl Job<'_> {
    /// # Safety
    ///
    /// For as long as the job lives, `body` may be called with `arg` and any index below `count`,
    /// from several threads at once. It does not unwind.
    unsafe fn new(body: ParallelBody, arg: *mut c_void, count: u32) -> Self {
        Job { body, arg, count, lifetime: PhantomData }
    }

    fn run_alone(&self) {
        (0..self.count).for_each(|index| self.part(index));
    }

    /// Runs the parts that `next` hands out, until there are none.
    fn run_claimed(&self, next: &AtomicU64) {
        // Relaxed: a claim says nothing about memory. What parts write is published by the lock.
        let claims = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        claims.take_while(|&i| i < u64::from(self.count)).for_each(|i| self.part(i as u32));
    }

    fn part(&self, index: u32) {
        // SAFETY: `Job::new` was promised that this call is fine; `index` is below `count`.
        unsafe { (self.body)(self.arg, index) }
    }
}

/// What callers and workers see.
#[derive(Default)]
struct Shared {
    /// Held by the one caller whose job the workers share.
    gate: Mutex<()>,
    state: Mutex<State>,
    /// A job came, or the end.
    wake: Condvar,
    /// The last worker left a job.
    idle: Condvar,
    /// The next index to claim. More than 32 bits, as each thread claims once too often.
    next: AtomicU64,
    /// The epoch while there is a job, else 0, to look at without the lock: a hint, no truth.
    open_hint: AtomicU64,
    /// `State::inside`, likewise.
    inside_hint: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The job to join. It is taken away before its caller returns, so it never dangles; that is
    /// why its lifetime may be forgotten here.
    job: Option<Job<'static>>,
    /// Counts jobs, so that no worker joins one twice.
    epoch: u64,
    /// Workers between joining a job and leaving it.
    inside: u64,
    stop: bool,
}

impl Shared {
    /// No code of a user runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the job on the calling thread and on every worker that comes in time. The gate is
    /// evidence that no other job is shared.
    fn run_together(&self, job: &Job<'_>, _gate: &MutexGuard<'_, ()>) {
        self.publish(job);
        job.run_claimed(&self.next);
        self.withdraw();
        spin_while(|| self.inside_hint.load(Ordering::Relaxed) != 0);
        let left = self.idle.wait_while(self.lock(), |state| state.inside != 0);
        drop(left);
    }

    fn publish(&self, job: &Job<'_>) {
        let mut state = self.lock();
        self.next.store(0, Ordering::Relaxed);
        state.job = Some(Job { lifetime: PhantomData, ..*job });
        state.epoch += 1;
        self.open_hint.store(state.epoch, Ordering::Relaxed);
        self.wake.notify_all();
    }

    fn withdraw(&self) {
        let mut state = self.lock();
        state.job = None;
        self.open_hint.store(0, Ordering::Relaxed);
    }

    /// The life of a worker.
    fn work(&self) {
        let mut seen = 0;
        while let Some(job) = self.join(&mut seen) {
            job.run_claimed(&self.next);
            self.leave();
        }
    }

    /// Waits for a job that comes after `seen` and joins it; `None` at the end.
    fn join(&self, seen: &mut u64) -> Option<Job<'static>> {
        spin_while(|| [0, *seen].contains(&self.open_hint.load(Ordering::Relaxed)));
        let nothing = |s: &mut State| !s.stop && (s.job.is_none() || s.epoch == *seen);
        let waited = self.wake.wait_while(self.lock(), nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stop {
            return None;
        }
        *seen = state.epoch;
        state.inside += 1;
        self.inside_hint.store(state.inside, Ordering::Relaxed);
        state.job
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.inside -= 1;
        self.inside_hint.store(state.inside, Ordering::Relaxed);
        if state.inside == 0 {
            self.idle.notify_one();
        }
    }
}

/// Waits for `condition` to end, but not for long.
fn spin_while(condition: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if !condition() {
            return;
        }
        hint::spin_loop();
    }
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
