//! The C ABI of a compiled model: what the object exports and what a caller passes to it.
//!
//! A model exports a read-only descriptor, `edgecc_<name>_info`, and an entry point,
//! `edgecc_<name>_run`. The descriptor holds no pointers: places inside it are offsets from its
//! start, so it needs no relocations and stays in `.rodata`. `docs/abi.md` states the contract in
//! words. Everything here is frozen for version 1.

use core::ffi::c_void;
use core::mem::offset_of;

use crate::layout::{abi_struct, codes, wire_struct};

pub use crate::layout::Field;

/// The version that [`ModelV1`], [`TensorV1`] and [`Call`] describe.
pub const ABI_VERSION: u32 = 1;

/// The first eight bytes of every descriptor.
pub const MAGIC: [u8; 8] = *b"edgecc\0\0";

/// The alignment that a descriptor has inside the object.
pub const DESCRIPTOR_ALIGN: usize = 8;

/// The largest rank of a tensor.
pub const MAX_RANK: usize = 8;

abi_struct! {
    /// The head of a descriptor, `edgecc_model_v1` in C. Tensors and strings follow it, all within
    /// `size_bytes`. Numbers are little-endian. Strings are UTF-8 and followed by a zero byte that
    /// their length does not count. Read it through [`crate::descriptor::ModelView`].
    pub struct ModelV1 {
        /// [`MAGIC`].
        pub magic: [u8; 8],
        /// [`ABI_VERSION`].
        pub abi_version: u32,
        /// Bytes of the whole descriptor, this head included.
        pub size_bytes: u32,
        /// CPU features that the code uses, as bits of [`crate::feature`].
        pub features: u64,
        /// An [`Arch`] code.
        pub arch: u32,
        /// Alignment of the workspace, a power of two.
        pub arena_align: u32,
        /// Bytes of workspace, exact.
        pub arena_bytes: u64,
        /// Bound of the stack below the caller in bytes; 0 when it was not computed.
        pub stack_bytes: u32,
        /// Number of inputs.
        pub n_inputs: u32,
        /// Number of outputs.
        pub n_outputs: u32,
        /// Place of the [`TensorV1`] array: the inputs, the outputs, then the states.
        pub tensors_offset: u32,
        /// Place of the model's name.
        pub name_offset: u32,
        /// Bytes of the model's name.
        pub name_len: u32,
        /// Place of the compiler's name and version.
        pub producer_offset: u32,
        /// Bytes of the compiler's name and version.
        pub producer_len: u32,
        /// Multiply-accumulate operations of one run.
        pub macs: u64,
        /// Bytes of constant tensor data in the object.
        pub weights_bytes: u64,
        /// Number of states, whose tensors follow the outputs.
        pub n_states: u32,
        /// Alignment of the state, a power of two.
        pub state_align: u32,
        /// Bytes of the state that a caller keeps; 0 without states.
        pub state_bytes: u64,
        /// Place of the `state_bytes` that a state starts with; 0 when they are all zero.
        pub initial_offset: u32,
        /// Zero; readers of version 1 ignore it.
        pub reserved: [u32; 5],
    }
}

wire_struct!(ModelV1 {
    magic,
    abi_version,
    size_bytes,
    features,
    arch,
    arena_align,
    arena_bytes,
    stack_bytes,
    n_inputs,
    n_outputs,
    tensors_offset,
    name_offset,
    name_len,
    producer_offset,
    producer_len,
    macs,
    weights_bytes,
    n_states,
    state_align,
    state_bytes,
    initial_offset,
    reserved,
});

abi_struct! {
    /// One input, output or state in a descriptor, `edgecc_tensor_v1` in C.
    pub struct TensorV1 {
        /// Place of the name, from the start of the descriptor.
        pub name_offset: u32,
        /// Bytes of the name.
        pub name_len: u32,
        /// An [`Elem`] code.
        pub elem: u32,
        /// Number of dimensions, at most [`MAX_RANK`].
        pub rank: u32,
        /// The dimensions, outermost first; zero from `rank` on.
        pub dims: [u64; MAX_RANK],
        /// Bytes of the dense row-major buffer.
        pub size_bytes: u64,
        /// Quantisation step: real value = `scale` · (stored value − `zero_point`).
        pub scale: f32,
        /// The stored value that stands for 0.
        pub zero_point: i32,
        /// 1 when `scale` and `zero_point` mean something, else 0.
        pub quantized: u32,
        /// Place in the state, of a state; else 0.
        pub state_offset: u32,
    }
}

wire_struct!(TensorV1 {
    name_offset,
    name_len,
    elem,
    rank,
    dims,
    size_bytes,
    scale,
    zero_point,
    quantized,
    state_offset,
});

abi_struct! {
    /// The argument of a model's entry point, `edgecc_call` in C.
    pub struct Call {
        /// [`ABI_VERSION`]; the model refuses others.
        pub abi_version: u32,
        /// Zero.
        pub flags: u32,
        /// Length of `inputs`, checked against the descriptor.
        pub n_inputs: u32,
        /// Length of `outputs`, checked against the descriptor.
        pub n_outputs: u32,
        /// One pointer per input, in descriptor order.
        pub inputs: *const *const c_void,
        /// One pointer per output, in descriptor order.
        pub outputs: *const *mut c_void,
        /// Scratch memory of the run. Its content before and after a run means nothing.
        pub workspace: *mut c_void,
        /// Bytes at `workspace`, at least `arena_bytes`.
        pub workspace_size: usize,
        /// What the caller offers beyond memory; null for nothing.
        pub services: *const Services,
        /// What the model keeps between runs; read and written. Null for a model without states.
        pub state: *mut c_void,
        /// Bytes at `state`, at least `state_bytes`.
        pub state_size: usize,
    }
}

/// The places of [`Call`]'s fields, in the form that code generation wants.
impl Call {
    /// Offset of `abi_version`.
    pub const ABI_VERSION_OFFSET: i32 = offset_of!(Call, abi_version) as i32;
    /// Offset of `flags`.
    pub const FLAGS_OFFSET: i32 = offset_of!(Call, flags) as i32;
    /// Offset of `n_inputs`.
    pub const N_INPUTS_OFFSET: i32 = offset_of!(Call, n_inputs) as i32;
    /// Offset of `n_outputs`.
    pub const N_OUTPUTS_OFFSET: i32 = offset_of!(Call, n_outputs) as i32;
    /// Offset of `inputs`.
    pub const INPUTS_OFFSET: i32 = offset_of!(Call, inputs) as i32;
    /// Offset of `outputs`.
    pub const OUTPUTS_OFFSET: i32 = offset_of!(Call, outputs) as i32;
    /// Offset of `workspace`.
    pub const WORKSPACE_OFFSET: i32 = offset_of!(Call, workspace) as i32;
    /// Offset of `workspace_size`.
    pub const WORKSPACE_SIZE_OFFSET: i32 = offset_of!(Call, workspace_size) as i32;
    /// Offset of `services`.
    pub const SERVICES_OFFSET: i32 = offset_of!(Call, services) as i32;
    /// Offset of `state`.
    pub const STATE_OFFSET: i32 = offset_of!(Call, state) as i32;
    /// Offset of `state_size`.
    pub const STATE_SIZE_OFFSET: i32 = offset_of!(Call, state_size) as i32;
}

/// One part of a step split over threads: `body(arg, index)`.
pub type ParallelBody = unsafe extern "C" fn(arg: *mut c_void, index: u32);

/// Runs `body(arg, i)` once for every `i < count`, in any order and on any threads, and returns
/// when all have returned. Parts write disjoint memory, so the result does not depend on order.
pub type ParallelFor =
    unsafe extern "C" fn(ctx: *mut c_void, body: ParallelBody, arg: *mut c_void, count: u32);

/// Told of each step's start and end, on the calling thread. `event` is an [`Event`] code.
pub type Profile = unsafe extern "C" fn(ctx: *mut c_void, step: u32, event: u32);

/// A model's entry point. Returns a [`crate::status::Status`] code.
pub type RunFn = unsafe extern "C" fn(call: *const Call) -> i32;

abi_struct! {
    /// What a caller offers to a model, `edgecc_services` in C. Every service is optional, and a
    /// model gives the same result with and without it.
    pub struct Services {
        /// Bytes of this struct as the caller knows it. A model reads a field only if it ends
        /// within `size`, so the struct may grow.
        pub size: u32,
        /// Zero.
        pub flags: u32,
        /// Passed to `parallel_for`.
        pub parallel_ctx: *mut c_void,
        /// Spreads a step over threads; null to stay on the calling one.
        pub parallel_for: Option<ParallelFor>,
        /// Passed to `profile`.
        pub profile_ctx: *mut c_void,
        /// Hears of steps; null for nobody.
        pub profile: Option<Profile>,
    }
}

/// The places of [`Services`]' fields, in the form that code generation wants.
impl Services {
    /// Offset of `size`.
    pub const SIZE_OFFSET: i32 = offset_of!(Services, size) as i32;
    /// Offset of `parallel_ctx`.
    pub const PARALLEL_CTX_OFFSET: i32 = offset_of!(Services, parallel_ctx) as i32;
    /// Offset of `parallel_for`.
    pub const PARALLEL_FOR_OFFSET: i32 = offset_of!(Services, parallel_for) as i32;
    /// Offset of `profile_ctx`.
    pub const PROFILE_CTX_OFFSET: i32 = offset_of!(Services, profile_ctx) as i32;
    /// Offset of `profile`.
    pub const PROFILE_OFFSET: i32 = offset_of!(Services, profile) as i32;

    /// No services.
    pub const NONE: Services = Services {
        size: size_of::<Services>() as u32,
        flags: 0,
        parallel_ctx: core::ptr::null_mut(),
        parallel_for: None,
        profile_ctx: core::ptr::null_mut(),
        profile: None,
    };
}

codes! {
    /// The instruction set of an object.
    pub enum Arch: u32 {
        /// x86-64, System V calling convention.
        X86_64 = 1,
        /// AArch64, AAPCS64 calling convention.
        Aarch64 = 2,
    }
}

impl Arch {
    /// The instruction set that this library was compiled for.
    pub const fn host() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// The name, as in a target triple.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

codes! {
    /// The type of a tensor's elements. The codes are ONNX's `TensorProto.DataType`.
    pub enum Elem: u32 {
        /// IEEE 754 binary32.
        F32 = 1,
        /// Unsigned, 8 bits.
        U8 = 2,
        /// Signed, 8 bits.
        I8 = 3,
        /// Unsigned, 16 bits.
        U16 = 4,
        /// Signed, 16 bits.
        I16 = 5,
        /// Signed, 32 bits.
        I32 = 6,
        /// Signed, 64 bits.
        I64 = 7,
        /// One byte, 0 or 1.
        Bool = 9,
        /// IEEE 754 binary16.
        F16 = 10,
        /// IEEE 754 binary64.
        F64 = 11,
        /// Unsigned, 32 bits.
        U32 = 12,
        /// Unsigned, 64 bits.
        U64 = 13,
    }
}

impl Elem {
    /// Bytes of one element, which is also its alignment.
    pub const fn size(self) -> usize {
        match self {
            Elem::U8 | Elem::I8 | Elem::Bool => 1,
            Elem::U16 | Elem::I16 | Elem::F16 => 2,
            Elem::F32 | Elem::I32 | Elem::U32 => 4,
            Elem::I64 | Elem::F64 | Elem::U64 => 8,
        }
    }

    /// The name, as the IR prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Elem::F32 => "f32",
            Elem::U8 => "u8",
            Elem::I8 => "i8",
            Elem::U16 => "u16",
            Elem::I16 => "i16",
            Elem::I32 => "i32",
            Elem::I64 => "i64",
            Elem::Bool => "bool",
            Elem::F16 => "f16",
            Elem::F64 => "f64",
            Elem::U32 => "u32",
            Elem::U64 => "u64",
        }
    }
}

codes! {
    /// What a profile service hears of a step.
    pub enum Event: u32 {
        /// The step is about to start.
        Begin = 0,
        /// The step has ended.
        End = 1,
    }
}

/// The symbol of a model's descriptor.
#[cfg(feature = "std")]
pub fn info_symbol(name: &str) -> String {
    format!("edgecc_{name}_info")
}

/// The symbol of a model's entry point.
#[cfg(feature = "std")]
pub fn run_symbol(name: &str) -> String {
    format!("edgecc_{name}_run")
}

#[cfg(test)]
mod tests {
    use super::{Arch, Call, Elem, Field, ModelV1, Services, TensorV1};

    const DOC: &str = include_str!("../../docs/abi.md");

    /// The `| offset | size | name |` rows under the heading of a struct in `docs/abi.md`.
    fn documented(heading: &str) -> Vec<(usize, usize, String)> {
        let section = DOC.split("\n### ").find(|s| s.starts_with(heading)).expect(heading);
        section.lines().filter_map(row).collect()
    }

    fn row(line: &str) -> Option<(usize, usize, String)> {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (offset, size) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        Some((offset, size, cells.next()?.trim_matches('`').to_owned()))
    }

    #[test]
    fn the_documented_layouts_are_the_real_ones() {
        let structs: [(&str, &[Field]); 4] = [
            ("`edgecc_model_v1`", ModelV1::FIELDS),
            ("`edgecc_tensor_v1`", TensorV1::FIELDS),
            ("`edgecc_call`", Call::FIELDS),
            ("`edgecc_services`", Services::FIELDS),
        ];
        for (heading, fields) in structs {
            let real: Vec<_> =
                fields.iter().map(|f| (f.offset, f.size, f.name.to_owned())).collect();
            assert_eq!(documented(heading), real, "{heading}");
        }
    }

    #[test]
    fn sizes_are_frozen() {
        let sizes =
            [size_of::<ModelV1>(), size_of::<TensorV1>(), size_of::<Call>(), size_of::<Services>()];
        assert_eq!(sizes, [128, 104, 72, 40]);
    }

    #[test]
    fn codes_invert() {
        assert!(Elem::ALL.iter().all(|&e| Elem::from_code(e.code()) == Some(e)));
        assert!(Arch::ALL.iter().all(|&a| Arch::from_code(a.code()) == Some(a)));
        assert_eq!(Elem::from_code(8), None);
    }
}
