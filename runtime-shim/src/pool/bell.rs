//! Where threads wait for what other threads make true: they look for a while, then sleep.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};

/// How often a waiting thread looks before it sleeps. Steps of a model follow each other within
/// microseconds, which is less than waking a thread takes; some ten microseconds of looking
/// bridge the gap without keeping an idle processor awake.
const SPINS: u32 = 4096;

/// To ring costs a fence while nobody sleeps, and a call of the system else.
#[derive(Default)]
pub(super) struct Bell {
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Bell {
    /// Returns once `ready` holds. Whoever makes it hold rings afterwards.
    pub(super) fn wait(&self, ready: impl Fn() -> bool) {
        if (0..SPINS).any(|_| ready() || pause()) {
            return;
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // The other half of the fence in `ring`: either this thread sees what became true, or the
        // one that made it so sees a sleeper.
        fence(Ordering::SeqCst);
        let lock = self.rung.wait_while(lock, |()| !ready());
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        drop(lock);
    }

    /// Makes everybody who waits look again.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) != 0 {
            // Who is between looking and sleeping holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.rung.notify_all();
        }
    }
}

/// `false`, a moment later.
fn pause() -> bool {
    hint::spin_loop();
    false
}

#[cfg(test)]
mod tests {
    use super::Bell;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    /// Two threads that let each other go on in turns, after `rest`.
    fn turns(count: u32, rest: Duration) {
        let (bell, turn) = (Bell::default(), AtomicU32::new(0));
        thread::scope(|scope| {
            for player in 0..2 {
                let (bell, turn) = (&bell, &turn);
                scope.spawn(move || {
                    for own in (player..count).step_by(2) {
                        bell.wait(|| turn.load(Ordering::Acquire) == own);
                        thread::sleep(rest);
                        turn.store(own + 1, Ordering::Release);
                        bell.ring();
                    }
                });
            }
        });
        assert_eq!(turn.into_inner(), count);
    }

    #[test]
    fn a_thread_that_looks_goes_on() {
        turns(2000, Duration::ZERO);
    }

    #[test]
    fn a_thread_that_sleeps_is_woken() {
        turns(20, Duration::from_millis(2));
    }

    #[test]
    fn what_is_ready_is_not_waited_for() {
        Bell::default().wait(|| true);
    }
}
