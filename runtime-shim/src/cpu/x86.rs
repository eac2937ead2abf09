//! x86-64: `cpuid` words to feature bits.

#![cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "cpuid and xgetbv are intrinsics"))]

use crate::feature::{
    X86_AMX_BF16, X86_AMX_INT8, X86_AMX_TILE, X86_AVX, X86_AVX2, X86_AVX512BF16, X86_AVX512BW,
    X86_AVX512CD, X86_AVX512DQ, X86_AVX512F, X86_AVX512FP16, X86_AVX512VBMI, X86_AVX512VL,
    X86_AVX512VNNI, X86_AVXVNNI, X86_AVXVNNIINT8, X86_BMI1, X86_BMI2, X86_F16C, X86_FMA, X86_LZCNT,
    X86_MOVBE, X86_POPCNT, X86_SSE3, X86_SSE41, X86_SSE42, X86_SSSE3,
};
use core::ops::RangeInclusive;

#[cfg(target_arch = "x86_64")]
use super::tiles;

/// The words that say something about features.
#[derive(Clone, Copy, Default)]
struct Words {
    leaf1_ecx: u32,
    leaf7_ebx: u32,
    leaf7_ecx: u32,
    leaf7_edx: u32,
    leaf7_1_eax: u32,
    leaf7_1_edx: u32,
    extended_ecx: u32,
    /// Register files that the operating system saves for this process; 0 without `xgetbv`.
    xcr0: u64,
}

/// Register files in `xcr0` that a feature's instructions touch.
const NO_STATE: u64 = 0;
const AVX_STATE: u64 = 0x06;
const AVX512_STATE: u64 = 0xe6;
const TILE_STATE: u64 = 0x6_0000;

/// A feature, the word and bit that announce it, and the state it needs.
type Row = (u64, fn(&Words) -> u32, u32, u64);

const ROWS: &[Row] = &[
    (X86_SSE3, |w| w.leaf1_ecx, 0, NO_STATE),
    (X86_SSSE3, |w| w.leaf1_ecx, 9, NO_STATE),
    (X86_FMA, |w| w.leaf1_ecx, 12, AVX_STATE),
    (X86_SSE41, |w| w.leaf1_ecx, 19, NO_STATE),
    (X86_SSE42, |w| w.leaf1_ecx, 20, NO_STATE),
    (X86_MOVBE, |w| w.leaf1_ecx, 22, NO_STATE),
    (X86_POPCNT, |w| w.leaf1_ecx, 23, NO_STATE),
    (X86_AVX, |w| w.leaf1_ecx, 28, AVX_STATE),
    (X86_F16C, |w| w.leaf1_ecx, 29, AVX_STATE),
    (X86_BMI1, |w| w.leaf7_ebx, 3, NO_STATE),
    (X86_AVX2, |w| w.leaf7_ebx, 5, AVX_STATE),
    (X86_BMI2, |w| w.leaf7_ebx, 8, NO_STATE),
    (X86_AVX512F, |w| w.leaf7_ebx, 16, AVX512_STATE),
    (X86_AVX512DQ, |w| w.leaf7_ebx, 17, AVX512_STATE),
    (X86_AVX512CD, |w| w.leaf7_ebx, 28, AVX512_STATE),
    (X86_AVX512BW, |w| w.leaf7_ebx, 30, AVX512_STATE),
    (X86_AVX512VL, |w| w.leaf7_ebx, 31, AVX512_STATE),
    (X86_AVX512VBMI, |w| w.leaf7_ecx, 1, AVX512_STATE),
    (X86_AVX512VNNI, |w| w.leaf7_ecx, 11, AVX512_STATE),
    (X86_AMX_BF16, |w| w.leaf7_edx, 22, TILE_STATE),
    (X86_AVX512FP16, |w| w.leaf7_edx, 23, AVX512_STATE),
    (X86_AMX_TILE, |w| w.leaf7_edx, 24, TILE_STATE),
    (X86_AMX_INT8, |w| w.leaf7_edx, 25, TILE_STATE),
    (X86_AVXVNNI, |w| w.leaf7_1_eax, 4, AVX_STATE),
    (X86_AVX512BF16, |w| w.leaf7_1_eax, 5, AVX512_STATE),
    (X86_AVXVNNIINT8, |w| w.leaf7_1_edx, 4, AVX_STATE),
    (X86_LZCNT, |w| w.extended_ecx, 5, NO_STATE),
];

/// A core: vendor, family, its models, a feature and the core's name.
type Core = (&'static [u8; 12], u32, RangeInclusive<u32>, u64, &'static str);

/// Cores whose AVX-512 instructions take one turn or two, which no feature tells: of Zen 5 the small
/// models (Strix Point, Krackan Point) have units of 256 bits, as all of Zen 4.
const CORES: &[Core] = &[
    (b"AuthenticAMD", 0x19, 0..=0xff, X86_AVX512F, "znver4"),
    (b"AuthenticAMD", 0x1a, 0x20..=0x3f, X86_AVX512F, "znver4"),
    (b"AuthenticAMD", 0x1a, 0x60..=0x6f, X86_AVX512F, "znver4"),
    (b"AuthenticAMD", 0x1a, 0..=0xff, X86_AVX512F, "znver5"),
];

/// The name of this machine's core where its speed is unlike that of others with its features.
#[cfg(target_arch = "x86_64")]
pub(super) fn core() -> Option<&'static str> {
    use core::arch::x86_64::__cpuid_count;
    let zero = __cpuid_count(0, 0);
    let mut vendor = [0; 12];
    for (bytes, word) in vendor.chunks_exact_mut(4).zip([zero.ebx, zero.edx, zero.ecx]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    core_of(&vendor, __cpuid_count(1, 0).eax, detect())
}

/// The first row that holds; `version` is word `eax` of leaf 1.
fn core_of(vendor: &[u8; 12], version: u32, features: u64) -> Option<&'static str> {
    let (family, model) = family_and_model(version);
    let is_this = |row: &&Core| {
        (row.0, row.1) == (vendor, family) && row.2.contains(&model) && features & row.3 != 0
    };
    CORES.iter().find(is_this).map(|row| row.4)
}

/// From family 15 on the extended family is added, and the extended model stands before the model.
fn family_and_model(version: u32) -> (u32, u32) {
    let (family, model) = (version >> 8 & 0xf, version >> 4 & 0xf);
    match family {
        0xf => (0xf + (version >> 20 & 0xff), (version >> 16 & 0xf) << 4 | model),
        _ => (family, model),
    }
}

/// The features of this machine.
#[cfg(target_arch = "x86_64")]
pub(super) fn detect() -> u64 {
    from_words(&read_words())
}

fn from_words(words: &Words) -> u64 {
    let has =
        |&&(_, word, bit, state): &&Row| word(words) >> bit & 1 == 1 && words.xcr0 & state == state;
    ROWS.iter().filter(has).fold(0, |mask, row| mask | row.0)
}

/// Asks the processor. A leaf beyond the highest one reads as zeros.
#[cfg(target_arch = "x86_64")]
fn read_words() -> Words {
    use core::arch::x86_64::{__cpuid_count, CpuidResult};

    let leaf = |leaf: u32, sub: u32, highest: u32| match leaf <= highest {
        true => __cpuid_count(leaf, sub),
        false => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
    };
    let highest = __cpuid_count(0, 0).eax;
    let highest_extended = __cpuid_count(0x8000_0000, 0).eax;
    let (one, seven) = (leaf(1, 0, highest), leaf(7, 0, highest));
    let seven_1 = if seven.eax >= 1 { leaf(7, 1, highest) } else { leaf(1, 0, 0) };
    Words {
        leaf1_ecx: one.ecx,
        leaf7_ebx: seven.ebx,
        leaf7_ecx: seven.ecx,
        leaf7_edx: seven.edx,
        leaf7_1_eax: seven_1.eax,
        leaf7_1_edx: seven_1.edx,
        extended_ecx: leaf(0x8000_0001, 0, highest_extended).ecx,
        xcr0: saved_state(one.ecx),
    }
}

#[cfg(target_arch = "x86_64")]
fn saved_state(leaf1_ecx: u32) -> u64 {
    const OSXSAVE: u32 = 1 << 27;

    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: register 0 exists wherever `xgetbv` does.
        unsafe { core::arch::x86_64::_xgetbv(0) }
    }

    if leaf1_ecx & OSXSAVE == 0 {
        return 0;
    }
    // SAFETY: OSXSAVE says that the processor has the instruction and the system allows it.
    let saved = unsafe { xcr0() };
    let of_tiles = 1 << tiles::TILE_DATA;
    if saved & of_tiles != 0 && !tiles::is_permitted() { saved & !of_tiles } else { saved }
}

/// Asks for the tiles; whether the processor has them and the process may use them.
#[cfg(target_arch = "x86_64")]
pub(super) fn enable_tiles() -> bool {
    tiles::request() && detect() & X86_AMX_TILE != 0
}

#[cfg(test)]
mod tests {
    use super::{AVX_STATE, Words, core_of, from_words};
    use crate::feature::{X86_AMX_INT8, X86_AMX_TILE, X86_AVX, X86_AVX2, X86_AVX512F, X86_SSE41};

    #[test]
    fn a_feature_needs_its_saved_state() {
        let words =
            Words { leaf1_ecx: 1 << 19 | 1 << 28, leaf7_ebx: 1 << 5 | 1 << 16, ..Words::default() };
        assert_eq!(from_words(&words), X86_SSE41);
        let with_avx = Words { xcr0: AVX_STATE, ..words };
        assert_eq!(from_words(&with_avx), X86_SSE41 | X86_AVX | X86_AVX2);
        let with_all = Words { xcr0: super::AVX512_STATE, ..words };
        assert_eq!(from_words(&with_all), X86_SSE41 | X86_AVX | X86_AVX2 | X86_AVX512F);
    }

    #[test]
    fn tiles_need_both_parts_of_their_state() {
        let words = Words { leaf7_edx: 1 << 24 | 1 << 25, ..Words::default() };
        assert_eq!(from_words(&Words { xcr0: 1 << 17, ..words }), 0);
        let granted = Words { xcr0: super::TILE_STATE, ..words };
        assert_eq!(from_words(&granted), X86_AMX_TILE | X86_AMX_INT8);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_standard_library_agrees() {
        macro_rules! check {
            ($($name:tt),*) => { $(
                let row = crate::feature::by_name(crate::abi::Arch::X86_64, $name).expect($name);
                let ours = super::detect() & row.mask() != 0;
                assert_eq!(ours, std::is_x86_feature_detected!($name), $name);
            )* };
        }
        check!("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c");
        check!("movbe", "bmi1", "bmi2", "lzcnt", "avx512f", "avx512vl", "avx512bw", "avx512dq");
        check!("avx512cd", "avx512vnni", "avx512vbmi", "avx512bf16", "avxvnni");
    }

    #[test]
    fn cores_are_known_by_vendor_family_and_features() {
        let amd = |version, features| core_of(b"AuthenticAMD", version, features);
        assert_eq!(amd(0x00a1_0f11, X86_AVX512F), Some("znver4"));
        assert_eq!(amd(0x00a0_0f11, X86_AVX2), None);
        assert_eq!(amd(0x00b0_0f21, X86_AVX512F), Some("znver5"));
        assert_eq!(amd(0x00b2_0f40, X86_AVX512F), Some("znver4"));
        assert_eq!(core_of(b"GenuineIntel", 0x000c_06f2, X86_AVX512F), None);
    }
}
