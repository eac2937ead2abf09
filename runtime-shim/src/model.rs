//! Running a compiled model from safe Rust.

#![allow(unsafe_code, reason = "calls a compiled entry point through the C ABI")]

use core::ffi::c_void;
use core::ptr;

use crate::abi::{ABI_VERSION, Arch, Call, DESCRIPTOR_ALIGN, MAGIC, ModelV1, RunFn};
use crate::cpu;
use crate::descriptor::{ModelView, TensorView};
use crate::error::{Error, Malformed, Place, Port};
use crate::hooks::Hooks;
use crate::status::Status;

/// The most inputs, and the most outputs, that [`Model::run`] passes. Their pointers are collected
/// on the stack, because a run does not allocate. The C ABI itself has no such limit.
pub const MAX_PORTS: usize = 128;

/// A model that this machine can run.
///
/// It is `Send`, `Sync` and `Copy`: a compiled object has no writable data, and a run touches only
/// the buffers of its call, which [`Model::run`] borrows for as long as it lasts. Any number of
/// threads may run one model at once, each with its own workspace.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    view: ModelView<'a>,
    run: RunFn,
}

/// Defines a function that gives the model of a linked object: `pub fn load, INFO, RUN`, with the
/// symbols of its descriptor and of its entry point.
///
/// For generated modules: the caller answers for both symbols being those of one compiled object,
/// and keeps no `unsafe` of its own.
#[macro_export]
macro_rules! link_model {
    ($(#[$meta:meta])* $vis:vis fn $load:ident, $info:ident, $run:ident) => {
        $(#[$meta])*
        $vis fn $load() -> Result<$crate::model::Model<'static>, $crate::error::Error> {
            unsafe extern "C" {
                static $info: $crate::abi::ModelV1;
                fn $run(call: *const $crate::abi::Call) -> i32;
            }
            // SAFETY: both symbols are of one compiled object, which never changes.
            unsafe { $crate::model::Model::from_raw(&raw const $info, $run) }
        }
    };
}

/// The memory of one run.
#[derive(Debug)]
pub struct Buffers<'r, 'i, 'o> {
    /// The inputs that are no states, in descriptor order.
    pub inputs: &'r [&'i [u8]],
    /// The outputs that are no states, in descriptor order.
    pub outputs: &'r mut [&'o mut [u8]],
    /// What the model keeps between runs; empty for a model without states.
    pub state: &'r mut [u8],
    /// Scratch memory.
    pub workspace: &'r mut [u8],
}

impl<'a> Model<'a> {
    /// Accepts a model if its descriptor is valid and the processor has all that it needs.
    ///
    /// # Safety
    ///
    /// `info` is null or the address of a model's descriptor, and `run` is the entry point of the
    /// same model, which keeps the contract of `docs/abi.md`. Both stay in place, unchanged, for
    /// `'a`.
    pub unsafe fn from_raw(info: *const ModelV1, run: RunFn) -> Result<Self, Error> {
        // SAFETY: handed on from the caller.
        let view = ModelView::parse(unsafe { descriptor_bytes(info) }?)?;
        check_ports(&view)?;
        check_host(&view)?;
        Ok(Model { view, run })
    }

    /// What the model's descriptor says.
    pub fn info(&self) -> &ModelView<'a> {
        &self.view
    }

    /// Runs a model without states on the calling thread. Buffers are dense, row-major, in
    /// descriptor order, aligned to their element size; the workspace may be larger than
    /// `arena_bytes`. On an error from here nothing was written.
    pub fn run(
        &self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        workspace: &mut [u8],
    ) -> Result<(), Error> {
        self.run_with(&Hooks::NONE, Buffers { inputs, outputs, state: &mut [], workspace })
    }

    /// As [`Model::run`], with services and a state, which the run replaces. The outputs have the
    /// same bits with and without services.
    pub fn run_with(&self, hooks: &Hooks<'_>, buffers: Buffers<'_, '_, '_>) -> Result<(), Error> {
        let Buffers { inputs, outputs, state, workspace } = buffers;
        let ins = inputs.iter().map(|b| (b.as_ptr().cast_mut(), b.len()));
        let in_pointers = collect(Port::Input, self.view.input_count(), self.view.inputs(), ins)?;
        let outs = outputs.iter_mut().map(|b| (b.as_mut_ptr(), b.len()));
        let out_pointers =
            collect(Port::Output, self.view.output_count(), self.view.outputs(), outs)?;
        let call = Call {
            abi_version: ABI_VERSION,
            flags: 0,
            n_inputs: inputs.len() as u32,
            n_outputs: outputs.len() as u32,
            inputs: in_pointers.as_ptr().cast(),
            outputs: out_pointers.as_ptr(),
            workspace: self.workspace_pointer(workspace)?,
            workspace_size: workspace.len(),
            services: hooks.as_raw(),
            state: self.state_pointer(state)?,
            state_size: state.len(),
        };
        // SAFETY: `from_raw` was promised that `run` keeps the contract, which asks for what was
        // checked above: as many pointers as the descriptor says, each to a live buffer of the
        // right size and alignment. Writable ones are borrowed exclusively until it returns.
        to_result(unsafe { (self.run)(&raw const call) })
    }

    /// Makes a state as it is before the first run; `state` is at least as long as `state_bytes`.
    pub fn reset(&self, state: &mut [u8]) -> Result<(), Error> {
        let (expected, found) = (self.view.state_bytes(), state.len());
        let size = Error::Size { at: Place::State, expected: expected as u64, found };
        let state = state.get_mut(..expected).ok_or(size)?;
        match self.view.initial_state() {
            Some(initial) => state.copy_from_slice(initial),
            None => state.fill(0),
        }
        Ok(())
    }

    fn state_pointer(&self, state: &mut [u8]) -> Result<*mut c_void, Error> {
        let (expected, found) = (self.view.state_bytes() as u64, state.len());
        if (found as u64) < expected {
            return Err(Error::Size { at: Place::State, expected, found });
        }
        aligned(Place::State, (state.as_mut_ptr(), found), self.view.state_align())
    }

    fn workspace_pointer(&self, workspace: &mut [u8]) -> Result<*mut c_void, Error> {
        let (expected, found) = (self.view.arena_bytes(), workspace.len());
        if (found as u64) < expected {
            return Err(Error::Size { at: Place::Workspace, expected, found });
        }
        let required = self.view.arena_align();
        aligned(Place::Workspace, (workspace.as_mut_ptr(), found), required)
    }
}

/// The descriptor at an address, as long as it says it is.
///
/// # Safety
///
/// As for [`Model::from_raw`].
unsafe fn descriptor_bytes<'a>(info: *const ModelV1) -> Result<&'a [u8], Malformed> {
    if info.is_null() || !info.addr().is_multiple_of(DESCRIPTOR_ALIGN) {
        return Err(Malformed::Address);
    }
    // SAFETY: not null, aligned, and a descriptor of any version starts with these fields.
    let (magic, size) = unsafe { ((*info).magic, (*info).size_bytes as usize) };
    if magic != MAGIC {
        return Err(Malformed::Magic);
    }
    // SAFETY: the caller promises a descriptor, which has as many bytes as its head says.
    Ok(unsafe { core::slice::from_raw_parts(info.cast(), size) })
}

fn check_ports(view: &ModelView<'_>) -> Result<(), Error> {
    match view.input_count().max(view.output_count()) {
        0..=MAX_PORTS => Ok(()),
        count => Err(Error::TooManyPorts(count)),
    }
}

fn check_host(view: &ModelView<'_>) -> Result<(), Error> {
    if Arch::host() != Some(view.arch()) {
        return Err(Error::Arch(view.arch()));
    }
    match view.features() & !cpu::host_features() {
        0 => Ok(()),
        missing => Err(Error::Cpu(missing)),
    }
}

/// One checked pointer per tensor. `check_ports` has seen that they fit.
fn collect<'t>(
    port: Port,
    expected: usize,
    tensors: impl Iterator<Item = TensorView<'t>>,
    buffers: impl ExactSizeIterator<Item = (*mut u8, usize)>,
) -> Result<[*mut c_void; MAX_PORTS], Error> {
    let found = buffers.len();
    if found != expected {
        return Err(Error::Count { port, expected, found });
    }
    let mut pointers = [ptr::null_mut(); MAX_PORTS];
    let rows = pointers.iter_mut().zip(tensors.zip(buffers));
    for (index, (pointer, (tensor, buffer))) in rows.enumerate() {
        *pointer = tensor_pointer(Place::Tensor(port, index), &tensor, buffer)?;
    }
    Ok(pointers)
}

fn tensor_pointer(
    at: Place,
    tensor: &TensorView<'_>,
    buffer: (*mut u8, usize),
) -> Result<*mut c_void, Error> {
    let (expected, found) = (tensor.size_bytes(), buffer.1);
    if found as u64 != expected {
        return Err(Error::Size { at, expected, found });
    }
    aligned(at, buffer, tensor.elem().size())
}

/// The buffer's address, if it is aligned. An empty slice of bytes has no address of its own, so
/// it gets one that the model's checks accept; there is nothing to read or write there.
fn aligned(
    at: Place,
    (pointer, len): (*mut u8, usize),
    required: usize,
) -> Result<*mut c_void, Error> {
    if len == 0 {
        return Ok(ptr::without_provenance_mut(required));
    }
    match pointer.addr().is_multiple_of(required) {
        true => Ok(pointer.cast()),
        false => Err(Error::Align { at, required }),
    }
}

fn to_result(code: i32) -> Result<(), Error> {
    match Status::from_code(code) {
        Some(Status::Ok) => Ok(()),
        Some(status) => Err(Error::Run(status)),
        None => Err(Error::UnknownStatus(code)),
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::{Buffers, MAX_PORTS, Model};
    use crate::abi::{Arch, Call};
    use crate::buffer::{Workspace, as_bytes, as_bytes_mut};
    use crate::descriptor::ModelInfo;
    use crate::error::{Error, Malformed, Place, Port};
    use crate::hooks::Hooks;
    use crate::status::Status;
    use crate::testing;

    /// Calls `check` with the model that `info` describes, if it is accepted.
    fn with_model(
        info: &ModelInfo,
        check: impl FnOnce(Model<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let blob = testing::blob(info);
        // SAFETY: the blob is a descriptor of the sample model and outlives the call.
        check(unsafe { Model::from_raw(blob.as_ptr().cast(), testing::double) }?)
    }

    #[test]
    fn a_model_runs() {
        let ran = with_model(&testing::info(), |model| {
            let (x, mut y) = ([1.0_f32, 2.5], [0.0_f32; 2]);
            let mut workspace = Workspace::<64>::new();
            model.run(&[as_bytes(&x)], &mut [as_bytes_mut(&mut y)], &mut workspace)?;
            assert_eq!(y, [2.0, 5.0]);
            Ok(())
        });
        assert_eq!(ran, Ok(()));
    }

    /// The error of a run of the sample with buffers of these lengths, `shift` bytes off.
    fn failure(lengths: (usize, usize, usize), shift: usize) -> Result<(), Error> {
        let (x, mut y, mut w) = ([0_u64; 4], [0_u64; 4], Workspace::<128>::new());
        let x = &as_bytes(&x)[shift..][..lengths.0];
        let y = &mut as_bytes_mut(&mut y)[..lengths.1];
        let w = &mut w[..lengths.2];
        with_model(&testing::info(), |model| model.run(&[x], &mut [y], w))
    }

    #[test]
    fn wrong_buffers_are_errors() {
        let (input, output) = (Place::Tensor(Port::Input, 0), Place::Tensor(Port::Output, 0));
        assert_eq!(failure((8, 8, 64), 0), Ok(()));
        let size = |at, expected, found| Err(Error::Size { at, expected, found });
        assert_eq!(failure((7, 8, 64), 0), size(input, 8, 7));
        assert_eq!(failure((8, 12, 64), 0), size(output, 8, 12));
        assert_eq!(failure((8, 8, 63), 0), size(Place::Workspace, 64, 63));
        assert_eq!(failure((8, 8, 64), 2), Err(Error::Align { at: input, required: 4 }));
    }

    #[test]
    fn a_state_is_reset_and_checked() {
        let ran = with_model(&testing::info_with_states(), |model| {
            let mut state = [7_u64; 3];
            let state = as_bytes_mut(&mut state);
            model.reset(state)?;
            assert_eq!(state, [1; 24]);
            let (x, mut y) = ([1.0_f32, 2.5], [0.0_f32; 2]);
            let mut workspace = Workspace::<64>::new();
            let (inputs, outputs) = (&[as_bytes(&x)], &mut [as_bytes_mut(&mut y)]);
            let state = &mut state[..23];
            model.run_with(
                &Hooks::NONE,
                Buffers { inputs, outputs, state, workspace: &mut workspace },
            )
        });
        assert_eq!(ran, Err(Error::Size { at: Place::State, expected: 24, found: 23 }));
    }

    #[test]
    fn a_wrong_number_of_tensors_is_an_error() {
        let ran = with_model(&testing::info(), |model| model.run(&[], &mut [], &mut []));
        assert_eq!(ran, Err(Error::Count { port: Port::Input, expected: 1, found: 0 }));
    }

    #[test]
    fn a_model_without_tensors_takes_empty_slices() {
        let mut info = testing::info();
        (info.inputs, info.outputs, info.arena_bytes) = (vec![], vec![], 0);
        let ran = with_model(&info, |model| model.run(&[], &mut [], &mut []));
        assert_eq!(ran, Err(Error::Run(Status::Abi)), "the sample entry asks for a workspace");
    }

    #[test]
    fn a_foreign_model_is_refused() {
        let other = Arch::ALL.iter().copied().find(|&arch| Some(arch) != Arch::host());
        let arch = other.expect("there are two architectures");
        let refused = with_model(&ModelInfo { arch, ..testing::info() }, |_| Ok(()));
        assert_eq!(refused, Err(Error::Arch(arch)));
        let features = 1 << 63;
        let refused = with_model(&ModelInfo { features, ..testing::info() }, |_| Ok(()));
        assert_eq!(refused, Err(Error::Cpu(features)));
    }

    #[test]
    fn too_many_tensors_are_refused() {
        let mut info = testing::info();
        info.inputs = vec![info.inputs[0].clone(); MAX_PORTS + 1];
        let refused = with_model(&info, |_| Ok(()));
        assert_eq!(refused, Err(Error::TooManyPorts(MAX_PORTS + 1)));
    }

    #[test]
    fn a_bad_address_is_refused() {
        // SAFETY: null is allowed.
        let refused = unsafe { Model::from_raw(std::ptr::null(), testing::double) };
        assert_eq!(refused.err(), Some(Error::Descriptor(Malformed::Address)));
    }

    #[test]
    fn codes_of_the_model_come_through() {
        unsafe extern "C" fn odd(_: *const Call) -> i32 {
            -99
        }
        let blob = testing::blob(&testing::info());
        // SAFETY: the blob is a descriptor; `odd` reads nothing.
        let model = unsafe { Model::from_raw(blob.as_ptr().cast(), odd) }.expect("valid");
        let (x, mut y, mut w) = ([0.0_f32; 2], [0.0_f32; 2], Workspace::<64>::new());
        let ran = model.run(&[as_bytes(&x)], &mut [as_bytes_mut(&mut y)], &mut w);
        assert_eq!(ran, Err(Error::UnknownStatus(-99)));
    }

    #[test]
    fn models_cross_threads() {
        fn needs<T: Send + Sync + Copy>() {}
        needs::<Model<'static>>();
    }
}
