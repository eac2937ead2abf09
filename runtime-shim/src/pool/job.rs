//! A function to call for each index, as it came through the C ABI.

#![allow(unsafe_code, reason = "a job is a function and a pointer of the C ABI")]

use std::any::Any;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::abi::ParallelBody;

/// A body to be called for every index below `count`, good for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    body: ParallelBody,
    arg: *mut c_void,
    pub(super) count: u32,
    lifetime: PhantomData<&'a ()>,
}

// SAFETY: `Job::new` was promised that the body may run on any thread.
unsafe impl Send for Job<'_> {}

impl<'a> Job<'a> {
    /// # Safety
    ///
    /// For as long as the job lives, `body` may be called with `arg` and any index below `count`,
    /// from several threads at once. It does not unwind.
    pub(super) unsafe fn new(body: ParallelBody, arg: *mut c_void, count: u32) -> Self {
        Job { body, arg, count, lifetime: PhantomData }
    }

    /// A job that calls a closure.
    pub(super) fn of<F: Fn(u32) + Sync>(parts: &'a Parts<F>, count: u32) -> Self {
        let arg = (&raw const *parts).cast_mut().cast();
        // SAFETY: `arg` is `parts`, which is borrowed for `'a` and may be shared as `F: Sync`.
        unsafe { Job::new(call_part::<F>, arg, count) }
    }

    pub(super) fn run_alone(&self) {
        (0..self.count).for_each(|index| self.part(index));
    }

    /// `index` is below `count`.
    pub(super) fn part(&self, index: u32) {
        // SAFETY: `Job::new` was promised that this call is fine.
        unsafe { (self.body)(self.arg, index) }
    }

    /// # Safety
    ///
    /// No part of the result runs after `'a`.
    pub(super) unsafe fn forget_lifetime(self) -> Job<'static> {
        Job { lifetime: PhantomData, ..self }
    }
}

/// A closure on its way through the C ABI, and the first panic on its way back.
pub(super) struct Parts<F> {
    part: F,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<F> Parts<F> {
    pub(super) fn new(part: F) -> Self {
        Parts { part, panic: Mutex::new(None) }
    }

    /// What a call panicked with.
    pub(super) fn panic(self) -> Option<Box<dyn Any + Send>> {
        self.panic.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
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
