//! `Target` → Cranelift instruction set: the only place that knows Cranelift's flag names.

use crate::error::internal;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::target::{Arch, Target};
use target_lexicon::{
    Aarch64Architecture, Architecture, BinaryFormat, Environment, OperatingSystem, Triple, Vendor,
};

/// How Cranelift treats a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As written. Cranelift's optimizer re-places pure operations on demand, which turns register
    /// tiles into chains that spill; hoisting and sharing in kernels are decided in `Loops`.
    Verbatim,
    /// Optimized: straight-line code around the kernels.
    Glue,
}

/// One row per feature that changes Cranelift's code: the runtime shim's name and Cranelift's flag.
const X86_FLAGS: &[(&str, &str)] = &[
    ("sse3", "has_sse3"),
    ("ssse3", "has_ssse3"),
    ("sse4.1", "has_sse41"),
    ("sse4.2", "has_sse42"),
    ("popcnt", "has_popcnt"),
    ("avx", "has_avx"),
    ("avx2", "has_avx2"),
    ("fma", "has_fma"),
    ("bmi1", "has_bmi1"),
    ("bmi2", "has_bmi2"),
    ("lzcnt", "has_lzcnt"),
    ("avxvnni", "has_avx_vnni"),
    ("avx512f", "has_avx512f"),
    ("avx512vl", "has_avx512vl"),
    ("avx512dq", "has_avx512dq"),
    ("avx512vbmi", "has_avx512vbmi"),
    ("avx512vnni", "has_avx512vnni"),
];

const AARCH64_FLAGS: &[(&str, &str)] =
    &[("lse", "has_lse"), ("fp16", "has_fp16"), ("dotprod", "has_dotprod"), ("i8mm", "has_i8mm")];

/// Implied by the features of every x86 target: the baseline is `x86-64-v2`.
const X86_BASELINE: &[&str] = &["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"];

/// Flags of every target. Externals are colocated instead of `is_pic`, which would send even local
/// data through the GOT; the objects still link as position-independent code.
const SHARED: &[(&str, &str)] = &[
    ("is_pic", "false"),
    ("unwind_info", "false"),
    ("enable_probestack", "false"),
    ("preserve_frame_pointers", "false"),
    ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
];

/// The instruction set for a target's kernels or glue.
pub(crate) fn build(target: &Target, effort: Effort) -> Result<OwnedTargetIsa, Vec<Diagnostic>> {
    let mut shared = settings::builder();
    for (name, value) in SHARED {
        shared.set(name, value).map_err(internal)?;
    }
    let opt_level = match effort {
        Effort::Verbatim => "none",
        Effort::Glue => "speed",
    };
    shared.set("opt_level", opt_level).map_err(internal)?;
    let mut builder = isa::lookup(triple(target.arch)).map_err(internal)?;
    for flag in flags(target) {
        builder.enable(flag).map_err(internal)?;
    }
    builder.finish(settings::Flags::new(shared)).map_err(internal)
}

/// The triple that objects are made for: ELF, the architecture's standard C calling convention.
pub(crate) fn triple(arch: Arch) -> Triple {
    let architecture = match arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64(Aarch64Architecture::Aarch64),
    };
    Triple {
        architecture,
        vendor: Vendor::Unknown,
        operating_system: OperatingSystem::None_,
        environment: Environment::Unknown,
        binary_format: BinaryFormat::Elf,
    }
}

fn flags(target: &Target) -> impl Iterator<Item = &'static str> + '_ {
    let (table, baseline) = match target.arch {
        Arch::X86_64 => (X86_FLAGS, X86_BASELINE),
        Arch::Aarch64 => (AARCH64_FLAGS, &[][..]),
    };
    let named = table.iter().filter(|row| target.features.iter().any(|f| f == row.0));
    baseline.iter().copied().chain(named.map(|row| row.1))
}

#[cfg(test)]
mod tests {
    use super::{AARCH64_FLAGS, Effort, X86_FLAGS, build};
    use edgecc_ir::target::CPUS;
    use edgecc_rt::abi::Arch;
    use edgecc_rt::feature::by_name;

    #[test]
    fn every_cpu_of_the_table_has_an_instruction_set() {
        for cpu in CPUS {
            let target = cpu.target();
            for effort in [Effort::Verbatim, Effort::Glue] {
                assert!(build(&target, effort).is_ok(), "{}", cpu.name);
            }
        }
    }

    #[test]
    fn every_flag_belongs_to_a_known_feature() {
        assert!(X86_FLAGS.iter().all(|row| by_name(Arch::X86_64, row.0).is_some()));
        assert!(AARCH64_FLAGS.iter().all(|row| by_name(Arch::Aarch64, row.0).is_some()));
    }
}
