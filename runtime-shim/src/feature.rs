//! CPU features: one table of names and bits.
//!
//! A descriptor says which features its code uses as a bit mask. A bit, once given, keeps its
//! meaning for ever. x86-64 has bits 0 to 31 and AArch64 bits 32 to 63, so a mask needs no
//! architecture to be read.

use core::ffi::CStr;

use crate::abi::Arch;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The name that `--features` takes, as a C string.
    pub c_name: &'static CStr,
    /// The name of the mask in `edgecc.h`, without the `EDGECC_` in front.
    pub constant: &'static str,
    /// The number of its bit.
    pub bit: u32,
    /// What it adds.
    pub doc: &'static str,
}

impl Feature {
    /// The name that `--features` takes; LLVM and rustc spell it the same.
    pub const fn name(&self) -> &'static str {
        match self.c_name.to_str() {
            Ok(name) => name,
            Err(_) => "",
        }
    }

    /// The mask with only this feature.
    pub const fn mask(&self) -> u64 {
        1 << self.bit
    }

    /// The instruction set that has it.
    pub const fn arch(&self) -> Arch {
        if self.bit < 32 { Arch::X86_64 } else { Arch::Aarch64 }
    }
}

macro_rules! features {
    ($($constant:ident = $bit:literal, $name:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $constant: u64 = 1 << $bit;)*

        /// Every feature, by rising bit.
        pub const FEATURES: &[Feature] = &[$(Feature {
            c_name: $name,
            constant: stringify!($constant),
            bit: $bit,
            doc: $doc,
        },)*];
    };
}

features! {
    X86_SSE3 = 0, c"sse3", "SSE3.";
    X86_SSSE3 = 1, c"ssse3", "Supplemental SSE3: byte shuffles.";
    X86_SSE41 = 2, c"sse4.1", "SSE4.1: rounding, blends, widening moves.";
    X86_SSE42 = 3, c"sse4.2", "SSE4.2.";
    X86_POPCNT = 4, c"popcnt", "Population count.";
    X86_AVX = 5, c"avx", "256-bit float vectors.";
    X86_AVX2 = 6, c"avx2", "256-bit integer vectors.";
    X86_FMA = 7, c"fma", "Fused multiply-add.";
    X86_F16C = 8, c"f16c", "Conversion between binary16 and binary32.";
    X86_BMI1 = 9, c"bmi1", "Bit manipulation, first set.";
    X86_BMI2 = 10, c"bmi2", "Bit manipulation, second set.";
    X86_LZCNT = 11, c"lzcnt", "Leading zero count.";
    X86_AVX512F = 12, c"avx512f", "512-bit vectors and masks.";
    X86_AVX512VL = 13, c"avx512vl", "AVX-512 on 128- and 256-bit vectors.";
    X86_AVX512BW = 14, c"avx512bw", "AVX-512 on bytes and words.";
    X86_AVX512DQ = 15, c"avx512dq", "AVX-512 on double and quad words.";
    X86_AVX512CD = 16, c"avx512cd", "AVX-512 conflict detection.";
    X86_AVX512VNNI = 17, c"avx512vnni", "8-bit dot products on AVX-512 registers.";
    X86_AVX512VBMI = 18, c"avx512vbmi", "Byte permutes across a whole AVX-512 register.";
    X86_AVX512BF16 = 19, c"avx512bf16", "bfloat16 dot products.";
    X86_AVX512FP16 = 20, c"avx512fp16", "binary16 arithmetic.";
    X86_AVXVNNI = 21, c"avxvnni", "8-bit dot products, u8 by i8, on AVX registers.";
    X86_AVXVNNIINT8 = 22, c"avxvnniint8", "8-bit dot products of any signs on AVX registers.";
    X86_AMX_TILE = 23, c"amx-tile", "Matrix tile registers.";
    X86_AMX_INT8 = 24, c"amx-int8", "8-bit matrix products on tiles.";
    X86_AMX_BF16 = 25, c"amx-bf16", "bfloat16 matrix products on tiles.";
    X86_MOVBE = 26, c"movbe", "Byte-swapping moves.";
    ARM_NEON = 32, c"neon", "128-bit vectors.";
    ARM_FP16 = 33, c"fp16", "binary16 arithmetic.";
    ARM_DOTPROD = 34, c"dotprod", "8-bit dot products of equal signs.";
    ARM_I8MM = 35, c"i8mm", "8-bit matrix products and mixed-sign dot products.";
    ARM_BF16 = 36, c"bf16", "bfloat16 dot and matrix products.";
    ARM_LSE = 37, c"lse", "Atomic instructions.";
    ARM_RDM = 38, c"rdm", "Rounding doubling multiply-accumulate.";
    ARM_FHM = 39, c"fhm", "binary16 products accumulated in binary32.";
    ARM_SVE = 40, c"sve", "Scalable vectors.";
    ARM_SVE2 = 41, c"sve2", "Scalable vectors, second version.";
}

/// The row with this name on this instruction set.
pub fn by_name(arch: Arch, name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|row| row.arch() == arch && row.name() == name)
}

/// The row of this bit.
pub fn by_bit(bit: u32) -> Option<&'static Feature> {
    FEATURES.iter().find(|row| row.bit == bit)
}

/// The name of a bit, also when this library is older than the bit.
pub fn bit_name(bit: u32) -> &'static str {
    by_bit(bit).map_or("unknown", Feature::name)
}

/// The names of the bits of a mask, by rising bit; a bit without a row is `unknown`.
pub fn names(mask: u64) -> impl Iterator<Item = &'static str> {
    (0..u64::BITS).filter(move |bit| mask >> bit & 1 == 1).map(bit_name)
}

#[cfg(test)]
mod tests {
    use super::{ARM_DOTPROD, FEATURES, X86_AVX2, by_bit, by_name, names};
    use crate::abi::Arch;

    #[test]
    fn bits_and_names_are_unique() {
        assert!(FEATURES.windows(2).all(|pair| pair[0].bit < pair[1].bit));
        for row in FEATURES {
            assert_eq!(by_name(row.arch(), row.name()).map(|r| r.bit), Some(row.bit));
            assert_eq!(by_bit(row.bit).map(|r| r.constant), Some(row.constant));
        }
    }

    #[test]
    fn a_mask_has_names() {
        let all: Vec<_> = names(X86_AVX2 | ARM_DOTPROD | 1 << 63).collect();
        assert_eq!(all, ["avx2", "dotprod", "unknown"]);
        assert!(by_name(Arch::X86_64, "neon").is_none());
    }
}
