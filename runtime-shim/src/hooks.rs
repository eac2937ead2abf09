//! Services that a caller offers to a run, as safe Rust values.

#![allow(unsafe_code, reason = "services are functions and contexts of the C ABI")]

use core::ffi::c_void;
use core::marker::PhantomData;

use crate::abi::{Event, Services};

/// Services for a run, borrowed from their owners for `'a`. The outputs of a model have the same
/// bits with and without them.
#[derive(Clone, Copy, Debug)]
pub struct Hooks<'a> {
    raw: Services,
    owner: PhantomData<&'a ()>,
}

impl<'a> Hooks<'a> {
    /// No services.
    pub const NONE: Self = Hooks { raw: Services::NONE, owner: PhantomData };

    /// Services from raw parts.
    ///
    /// # Safety
    ///
    /// For `'a`, each function that is not null may be called with its context and does what
    /// [`Services`] says.
    pub unsafe fn from_raw(raw: Services) -> Self {
        Hooks { raw, owner: PhantomData }
    }

    /// These services, and `sink` called around each step of a model, on the thread that runs it.
    /// A sink that panics ends the process: a compiled model cannot be unwound.
    pub fn with_profile<P: Fn(u32, Event)>(self, sink: &'a P) -> Self {
        let raw = Services {
            profile_ctx: (&raw const *sink).cast_mut().cast(),
            profile: Some(profile::<P>),
            ..self.raw
        };
        Hooks { raw, ..self }
    }

    /// The services as a C caller would pass them.
    pub fn as_raw(&self) -> &Services {
        &self.raw
    }
}

/// [`crate::abi::Profile`] for a closure. An unknown event is none of the closure's business.
///
/// # Safety
///
/// `ctx` is a live `P`, and this is the thread that it was given on.
unsafe extern "C" fn profile<P: Fn(u32, Event)>(ctx: *mut c_void, step: u32, event: u32) {
    // SAFETY: promised by the caller.
    let sink = unsafe { &*ctx.cast::<P>() };
    if let Some(event) = Event::from_code(event) {
        sink(step, event);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::Hooks;
    use crate::abi::Event;

    #[test]
    fn a_sink_hears_of_steps() {
        let heard = RefCell::new(Vec::new());
        let sink = |step, event| heard.borrow_mut().push((step, event));
        let hooks = Hooks::NONE.with_profile(&sink);
        let raw = hooks.as_raw();
        let profile = raw.profile.expect("it was just set");
        for event in [0, 1, 7] {
            // SAFETY: the context is the sink, which is alive, on its own thread.
            unsafe { profile(raw.profile_ctx, 3, event) };
        }
        assert_eq!(*heard.borrow(), [(3, Event::Begin), (3, Event::End)]);
    }
}
