//! Targets: plain data about the machines that code is made for.

use crate::scalar::func::ScalarFn;

/// Instruction set architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// AMD64.
    X86_64,
    /// Armv8-A, 64-bit.
    Aarch64,
}

/// A machine: what passes may ask and the backend must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Architecture.
    pub arch: Arch,
    /// CPU name as given to `--cpu`.
    pub cpu: String,
    /// Enabled features by name, sorted; names are those of the runtime shim's feature table.
    pub features: Vec<String>,
    /// Width of a vector register in bits, as used by the emitters.
    pub vector_bits: u32,
    /// Number of vector registers.
    pub vector_regs: u32,
    /// Multiply-adds of full vectors that the core starts in four cycles.
    pub fma_per_4_cycles: u32,
    /// Vector arithmetic that should be between a load and its use, where the core runs
    /// instructions in order; 0 where it does not.
    pub load_ahead: u32,
    /// Whether multiply-add rounds once in hardware.
    pub fma: bool,
    /// Sums of products of the integers in words that have an instruction, or few, the best first.
    pub dots: Vec<ScalarFn>,
    /// Whether a dot product is added to a sum by the same instruction: not where it is multiplied
    /// first, in halves of vectors (AArch64 without dot products) or at once (x86-64).
    pub dots_add: bool,
    /// Whether sums of dot products have instructions on matrix tiles.
    pub matrix_tiles: bool,
    /// Whether numbers become codes at once by instructions that round and saturate.
    pub saturates: bool,
    /// Whether integers narrow to ones that saturate, and what is no number converts to 0 (AArch64).
    pub narrows: bool,
    /// Instructions that look up 16 codes in a table of 256.
    pub lookup: u32,
    /// Whether a multiply-add can take one lane of a vector as a factor (AArch64 by-element forms).
    pub fma_by_lane: bool,
    /// First-level data cache in bytes.
    pub l1_bytes: usize,
    /// Second-level cache in bytes.
    pub l2_bytes: usize,
    /// Largest displacement in bytes that an address mode holds.
    pub max_displacement: i64,
}

/// One row of the table of CPUs.
#[derive(Debug)]
pub struct Cpu {
    /// Name for `--cpu`.
    pub name: &'static str,
    /// Architecture.
    pub arch: Arch,
    /// Features that it has, in groups.
    features: &'static [&'static [&'static str]],
    /// Multiply-adds of its widest vectors that start in four cycles.
    pub fma_per_4_cycles: u32,
    /// Vector arithmetic that should be between a load and its use; 0 where the core reorders.
    pub load_ahead: u32,
    /// First-level data cache in bytes.
    pub l1_bytes: usize,
    /// Second-level cache in bytes.
    pub l2_bytes: usize,
    /// One line for `edgecc targets`.
    pub doc: &'static str,
}

/// What the 256-bit emitter uses.
const AVX2: &[&str] = &["avx", "avx2", "fma"];
/// What the 512-bit emitter uses.
pub const AVX512: &[&str] = &["avx", "avx2", "avx512bw", "avx512dq", "avx512f", "avx512vl", "fma"];

/// What sums on matrix tiles use beside that.
pub const MATRIX_TILES: &[&str] = &["amx-int8", "amx-tile", "avx512vnni"];

/// What each level of x86-64 adds to the one before.
const X86_V2: &[&str] = &["popcnt", "sse4.1", "sse4.2", "ssse3"];
const X86_V3: &[&str] = &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"];
const X86_V4: &[&str] = &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"];
/// What Zen 4 and Sapphire Rapids add to the last level.
const X86_ZEN4: &[&str] = &["avx512bf16", "avx512vbmi", "avx512vnni"];
/// What Sapphire Rapids adds to that.
const X86_SAPPHIRE: &[&str] = &["amx-int8", "amx-tile", "avx512fp16", "avxvnni"];

/// Every CPU that `--cpu` accepts; the first of an architecture is its default.
pub const CPUS: &[Cpu] = &[
    Cpu {
        name: "x86-64-v3",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
        doc: "AVX2 and FMA: Haswell, Zen and newer",
    },
    Cpu {
        name: "x86-64-v2",
        arch: Arch::X86_64,
        features: &[X86_V2],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 256 << 10,
        doc: "SSE4.2: Nehalem, Silvermont and newer",
    },
    Cpu {
        name: "x86-64-v4",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3, X86_V4],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 1 << 20,
        doc: "AVX-512: Skylake-X, Zen 4 and newer",
    },
    Cpu {
        name: "alderlake",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3, &["avxvnni"]],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
        doc: "AVX2 with dot products: Alder Lake, its small cores (N100) and newer",
    },
    Cpu {
        name: "znver4",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3, X86_V4, X86_ZEN4],
        fma_per_4_cycles: 4,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 1 << 20,
        doc: "Zen 4: AVX-512 over units of 256 bits",
    },
    Cpu {
        name: "znver5",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3, X86_V4, X86_ZEN4, &["avxvnni"]],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 48 << 10,
        l2_bytes: 1 << 20,
        doc: "Zen 5: AVX-512 over units of 512 bits",
    },
    Cpu {
        name: "sapphirerapids",
        arch: Arch::X86_64,
        features: &[X86_V2, X86_V3, X86_V4, X86_ZEN4, X86_SAPPHIRE],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 48 << 10,
        l2_bytes: 2 << 20,
        doc: "Sapphire Rapids: AVX-512 and matrix tiles (AMX)",
    },
    Cpu {
        name: "generic",
        arch: Arch::Aarch64,
        features: &[&["neon"]],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
        doc: "any Armv8.0-A",
    },
    Cpu {
        name: "cortex-a53",
        arch: Arch::Aarch64,
        features: &[&["neon"]],
        fma_per_4_cycles: 2,
        load_ahead: 8,
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
        doc: "Raspberry Pi 3, Zero 2",
    },
    Cpu {
        name: "cortex-a55",
        arch: Arch::Aarch64,
        features: &[&["dotprod", "fp16", "neon"]],
        fma_per_4_cycles: 8,
        load_ahead: 8,
        l1_bytes: 32 << 10,
        l2_bytes: 256 << 10,
        doc: "small cores of phones and boards since 2018",
    },
    Cpu {
        name: "cortex-a72",
        arch: Arch::Aarch64,
        features: &[&["neon"]],
        fma_per_4_cycles: 4,
        load_ahead: 0,
        l1_bytes: 32 << 10,
        l2_bytes: 1 << 20,
        doc: "Raspberry Pi 4",
    },
    Cpu {
        name: "cortex-a76",
        arch: Arch::Aarch64,
        features: &[&["dotprod", "fp16", "neon"]],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 64 << 10,
        l2_bytes: 512 << 10,
        doc: "Raspberry Pi 5",
    },
    Cpu {
        name: "neoverse-n1",
        arch: Arch::Aarch64,
        features: &[&["dotprod", "fp16", "neon"]],
        fma_per_4_cycles: 8,
        load_ahead: 0,
        l1_bytes: 64 << 10,
        l2_bytes: 1 << 20,
        doc: "Arm servers",
    },
];

impl Arch {
    /// Name for `--target`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

impl Cpu {
    /// The row with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Cpu> {
        CPUS.iter().find(|cpu| cpu.name == name)
    }

    /// Features that it has, sorted.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        let mut all = self.features.concat();
        all.sort_unstable();
        all
    }

    /// The target with just these features.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::of(self, self.features().into_iter().map(ToOwned::to_owned).collect())
    }
}

/// Units for multiply-adds that current cores have at most.
const MOST_UNITS: f64 = 2.0;

impl Target {
    /// The target of a row with its features edited; `features` is sorted and without repeats.
    #[must_use]
    pub fn of(cpu: &Cpu, features: Vec<String>) -> Target {
        let has = |name: &str| features.iter().any(|f| f == name);
        let aarch64 = cpu.arch == Arch::Aarch64;
        let vector_bits = vector_bits(cpu.arch, has);
        Target {
            arch: cpu.arch,
            cpu: cpu.name.to_owned(),
            vector_bits,
            vector_regs: if aarch64 || vector_bits == 512 { 32 } else { 16 },
            fma_per_4_cycles: cpu.fma_per_4_cycles,
            load_ahead: cpu.load_ahead,
            fma: aarch64 || has("fma"),
            dots: dots(cpu.arch, vector_bits, has),
            dots_add: dots_add(cpu.arch, vector_bits, has),
            matrix_tiles: vector_bits == 512 && MATRIX_TILES.iter().all(|name| has(name)),
            saturates: vector_bits == 256,
            narrows: aarch64,
            lookup: lookup(cpu.arch, vector_bits, has),
            fma_by_lane: aarch64,
            l1_bytes: cpu.l1_bytes,
            l2_bytes: cpu.l2_bytes,
            max_displacement: if aarch64 { 4095 * 4 } else { i64::from(i32::MAX) },
            features,
        }
    }

    /// The default target of an architecture.
    #[must_use]
    pub fn default_for(arch: Arch) -> Target {
        CPUS.iter().find(|c| c.arch == arch).expect("each architecture has a row").target()
    }

    /// Whether the core runs instructions in their order, so that code has to place them well.
    #[must_use]
    pub fn runs_in_order(&self) -> bool {
        self.load_ahead > 0
    }

    /// Registers for vectors of `bits`: the emitter of 128-bit vectors knows 16 on x86-64.
    #[must_use]
    pub fn registers(&self, bits: u32) -> u32 {
        match self.arch {
            Arch::X86_64 if bits <= 128 => 16,
            Arch::X86_64 | Arch::Aarch64 => self.vector_regs,
        }
    }

    /// Multiply-adds of vectors of `bits` that start in a cycle: narrower ones may share a unit.
    #[must_use]
    pub fn fma_per_cycle(&self, bits: u32) -> f64 {
        let units = f64::from(self.fma_per_4_cycles) / 4.0;
        (units * f64::from(self.vector_bits.div_ceil(bits))).min(units.max(MOST_UNITS))
    }

    /// Whether one instruction loads two vectors sooner than two do: not on cores that run in order.
    #[must_use]
    pub fn loads_pairs(&self) -> bool {
        self.arch == Arch::Aarch64 && !self.runs_in_order()
    }

    /// Whether code with vectors of `bits` can ask for memory ahead of its use.
    #[must_use]
    pub fn prefetches(&self, bits: u32) -> bool {
        self.arch == Arch::X86_64 && bits > 128
    }

    /// Lanes of a full vector of `elem_bytes`-sized elements.
    #[must_use]
    pub fn lanes(&self, elem_bytes: usize) -> u32 {
        self.vector_bits / 8 / elem_bytes as u32
    }
}

/// Dot products with an instruction, by architecture, widest vectors and feature. Without one that
/// also adds, `pmaddwd` multiplies halves, whose sums of two products wrap and never saturate, and
/// `DOTS_OF_PRODUCTS` come from products of 16 bits.
const DOTS: &[(Arch, u32, &str, ScalarFn)] = &[
    (Arch::X86_64, 512, "avx512vnni", ScalarFn::DotU8),
    (Arch::X86_64, 512, "avx512bw", ScalarFn::DotI16),
    (Arch::X86_64, 256, "avxvnni", ScalarFn::DotU8),
    (Arch::X86_64, 256, "avx2", ScalarFn::DotI16),
    (Arch::X86_64, 128, "sse4.1", ScalarFn::DotI16),
    (Arch::Aarch64, 128, "dotprod", ScalarFn::DotI8),
    (Arch::Aarch64, 128, "i8mm", ScalarFn::DotU8),
];

/// What AArch64 makes of `smull`, `addp`, `saddlp` and `sadalp`: four instructions for four words
/// where 16 bits hold two products, six elsewhere.
const DOTS_OF_PRODUCTS: &[ScalarFn] = &[ScalarFn::DotI8Narrow, ScalarFn::DotI8];

/// Whether an architecture has dot products that add.
fn dots_add(arch: Arch, vector_bits: u32, has: impl Fn(&str) -> bool) -> bool {
    match arch {
        Arch::X86_64 => has(if vector_bits == 512 { "avx512vnni" } else { "avxvnni" }),
        Arch::Aarch64 => has("dotprod") || has("i8mm"),
    }
}

fn dots(arch: Arch, vector_bits: u32, has: impl Fn(&str) -> bool) -> Vec<ScalarFn> {
    let fits = |row: &&(Arch, u32, &str, _)| (row.0, row.1) == (arch, vector_bits) && has(row.2);
    let mut all: Vec<ScalarFn> = DOTS.iter().filter(fits).map(|row| row.3).collect();
    if arch == Arch::Aarch64 && all.is_empty() {
        all.extend(DOTS_OF_PRODUCTS);
    }
    all
}

/// Instructions that look up 16 codes: permutations of whole tables, or of 16 entries in each part of
/// a vector, and what joins their results. Those of four registers on AArch64 count as several.
fn lookup(arch: Arch, vector_bits: u32, has: impl Fn(&str) -> bool) -> u32 {
    match (arch, vector_bits) {
        (Arch::X86_64, 512) if has("avx512vbmi") => 4,
        (Arch::X86_64, 512) => 17,
        (Arch::X86_64, 256) => 27,
        (Arch::X86_64, _) => 62,
        (Arch::Aarch64, _) => 24,
    }
}

/// The widest vectors that the features allow.
fn vector_bits(arch: Arch, has: impl Fn(&str) -> bool) -> u32 {
    let has_all = |names: &[&str]| arch == Arch::X86_64 && names.iter().all(|name| has(name));
    match () {
        () if has_all(AVX512) => 512,
        () if has_all(AVX2) => 256,
        () => 128,
    }
}
