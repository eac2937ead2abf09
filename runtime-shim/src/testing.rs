//! A sample model for the tests: two floats in, their doubles out.

#![allow(unsafe_code, reason = "stands for a compiled entry point, which sees raw pointers")]

use crate::abi::{ABI_VERSION, Arch, Call, Elem};
use crate::descriptor::{ModelInfo, Quant, TensorInfo, encode};
use crate::status::Status;

/// What the sample model's descriptor says.
pub(crate) fn info() -> ModelInfo {
    ModelInfo {
        name: "double".to_owned(),
        producer: "edgecc test".to_owned(),
        arch: Arch::host().unwrap_or(Arch::X86_64),
        features: 0,
        arena_bytes: 64,
        arena_align: 64,
        stack_bytes: 128,
        macs: 2,
        weights_bytes: 4,
        inputs: vec![tensor("x", None)],
        outputs: vec![tensor("y", Some(Quant { scale: 0.5, zero_point: -3 }))],
        states: Vec::new(),
        initial_state: Vec::new(),
    }
}

/// The sample's descriptor with states of 5, 8 and 8 bytes that start with ones.
pub(crate) fn info_with_states() -> ModelInfo {
    let state = |elem, dims: &[u64]| TensorInfo { elem, dims: dims.to_vec(), ..tensor("h", None) };
    let states = vec![state(Elem::I8, &[5]), state(Elem::F32, &[2]), state(Elem::I64, &[])];
    ModelInfo { states, initial_state: vec![1; 24], ..info() }
}

fn tensor(name: &str, quant: Option<Quant>) -> TensorInfo {
    TensorInfo { name: name.to_owned(), elem: Elem::F32, dims: vec![1, 2], quant }
}

/// The descriptor at an address that is a multiple of 8.
pub(crate) fn blob(info: &ModelInfo) -> Vec<u64> {
    let bytes = encode(info).expect("the sample is valid");
    let words = bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().expect("8 bytes")));
    words.collect()
}

/// The sample model's entry point.
pub(crate) unsafe extern "C" fn double(call: *const Call) -> i32 {
    // SAFETY: the caller passes a valid call with one input and one output of two floats.
    unsafe {
        let call = &*call;
        if call.abi_version != ABI_VERSION || call.workspace_size < 64 {
            return Status::Abi.code();
        }
        let (x, y) = ((*call.inputs).cast::<[f32; 2]>(), (*call.outputs).cast::<[f32; 2]>());
        *y = (*x).map(|value| value * 2.0);
    }
    Status::Ok.code()
}
