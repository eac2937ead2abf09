//! The functions of `libedgecc_rt.a`, declared in `include/edgecc.h`.
//!
//! A C program needs none of them to run a model; they answer what the header alone cannot: what
//! the processor has, and where to get threads.

#![allow(unsafe_code, reason = "exported C functions take raw pointers")]

use std::ffi::{c_char, c_void};
use std::num::NonZero;
use std::ptr;

use crate::abi::{ABI_VERSION, Arch, MAGIC, ModelV1, Services};
use crate::cpu;
use crate::feature;
use crate::pool::Pool;
use crate::status::Status;

/// The features of this machine, as `EDGECC_X86_*` and `EDGECC_ARM_*` bits.
#[unsafe(no_mangle)]
pub extern "C" fn edgecc_host_features() -> u64 {
    cpu::host_features()
}

/// Asks the operating system for matrix tiles (AMX), for all threads of this process: `EDGECC_OK`
/// if they are there. A model that uses them passes `edgecc_cpu_check` only after that.
#[unsafe(no_mangle)]
pub extern "C" fn edgecc_enable_tiles() -> i32 {
    let status = if cpu::enable_tiles() { Status::Ok } else { Status::Cpu };
    status.code()
}

/// The name of a feature bit, as `--features` takes it; null for an unknown bit.
#[unsafe(no_mangle)]
pub extern "C" fn edgecc_feature_name(bit: u32) -> *const c_char {
    feature::by_bit(bit).map_or(ptr::null(), |row| row.c_name.as_ptr())
}

/// `EDGECC_OK` if this machine can run the model, else why not. Call it once, before the first
/// run: an entry point does not look at the processor.
///
/// # Safety
///
/// `model` is null or points to a descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgecc_cpu_check(model: *const ModelV1) -> i32 {
    // SAFETY: promised by the caller.
    let status = match unsafe { model.as_ref() } {
        None => Status::Null,
        Some(head) if head.magic != MAGIC || head.abi_version != ABI_VERSION => Status::Abi,
        Some(head) if Arch::from_code(head.arch) != Arch::host() => Status::Cpu,
        Some(head) if head.features & !cpu::host_features() != 0 => Status::Cpu,
        Some(_) => Status::Ok,
    };
    status.code()
}

/// A pool of threads for runs with services; `threads` counts the caller, and 0 stands for one
/// per processor. Null if the system gives no threads.
#[unsafe(no_mangle)]
pub extern "C" fn edgecc_pool_create(threads: u32) -> *mut c_void {
    let pool = match NonZero::new(threads as usize) {
        Some(threads) => Pool::new(threads),
        None => Pool::with_all_processors(),
    };
    pool.map_or(ptr::null_mut(), |pool| Box::into_raw(Box::new(pool)).cast())
}

/// Services that run steps on a pool, good until the pool is destroyed. Of null, no services.
///
/// # Safety
///
/// `pool` is null or a live pool of `edgecc_pool_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgecc_pool_services(pool: *const c_void) -> Services {
    // SAFETY: promised by the caller.
    unsafe { pool.cast::<Pool>().as_ref() }.map_or(Services::NONE, Pool::services)
}

/// Ends a pool and its threads. Null is ignored.
///
/// # Safety
///
/// `pool` is null or a live pool of `edgecc_pool_create` that no run is using; it is gone after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgecc_pool_destroy(pool: *mut c_void) {
    if !pool.is_null() {
        // SAFETY: promised by the caller; it came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(pool.cast::<Pool>()) });
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use super::{
        edgecc_cpu_check, edgecc_enable_tiles, edgecc_feature_name, edgecc_host_features,
        edgecc_pool_create, edgecc_pool_destroy, edgecc_pool_services,
    };
    use crate::descriptor::ModelInfo;
    use crate::feature::X86_AMX_TILE;
    use crate::status::Status;
    use crate::testing;

    #[test]
    fn the_check_sees_the_processor() {
        let check = |info: &ModelInfo| {
            let blob = testing::blob(info);
            // SAFETY: the blob is a descriptor.
            unsafe { edgecc_cpu_check(blob.as_ptr().cast()) }
        };
        assert_eq!(check(&testing::info()), Status::Ok.code());
        let greedy = ModelInfo { features: 1 << 63, ..testing::info() };
        assert_eq!(check(&greedy), Status::Cpu.code());
        // SAFETY: null is allowed.
        assert_eq!(unsafe { edgecc_cpu_check(ptr::null()) }, Status::Null.code());
    }

    #[test]
    fn tiles_are_a_feature_once_they_are_granted() {
        let granted = edgecc_enable_tiles() == Status::Ok.code();
        assert_eq!(granted, edgecc_host_features() & X86_AMX_TILE != 0);
    }

    #[test]
    fn feature_names_are_c_strings() {
        // SAFETY: not null, so a C string that lives for ever.
        let name = unsafe { CStr::from_ptr(edgecc_feature_name(2)) };
        assert_eq!(name, c"sse4.1");
        assert!(edgecc_feature_name(63).is_null());
    }

    #[test]
    fn a_pool_lives_and_dies() {
        let pool = edgecc_pool_create(2);
        assert!(!pool.is_null());
        // SAFETY: the pool is live until it is destroyed, and null is allowed.
        unsafe {
            assert!(edgecc_pool_services(pool).parallel_for.is_some());
            assert!(edgecc_pool_services(ptr::null()).parallel_for.is_none());
            edgecc_pool_destroy(pool);
            edgecc_pool_destroy(ptr::null_mut());
        }
    }
}
