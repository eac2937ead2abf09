//! The instructions: one row each, for every vector length and for both of VEX and EVEX.
//!
//! Facts are from the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.

/// How an instruction is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// One to three opcode bytes after an optional REX prefix.
    Legacy,
    /// As `Legacy`, with a byte register in the `rm` field, so that REX is always there.
    LegacyByte,
    /// The register is in the opcode's low bits.
    Short,
    /// VEX or EVEX, whichever the machine's vectors need.
    Vector,
    /// VEX, also where vectors take EVEX: operations on masks.
    Mask,
    /// As `Mask` with the length bit set.
    Mask3,
}

/// Which EVEX.W, and whether VEX has the same bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum W {
    /// 0.
    W0,
    /// 1.
    W1,
    /// 1 in EVEX; VEX ignores it or has 0.
    E1,
}

/// The bytes that a memory operand has, which scale EVEX displacements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuple {
    /// The vector length divided by this; one element when it is broadcast.
    Part(u8),
    /// This many bytes.
    Bytes(u8),
}

/// Size of an immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Imm {
    /// There is none.
    No,
    /// One byte.
    I8,
    /// Four bytes.
    I32,
    /// Eight bytes.
    I64,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    /// Mnemonic; where EVEX has another one, both with a bar between them.
    pub(super) name: &'static str,
    /// How it is encoded.
    pub(super) family: Family,
    /// Opcode map: 0 for one-byte opcodes, 1 for 0F, 2 for 0F38, 3 for 0F3A.
    pub(super) map: u8,
    /// Mandatory prefix: 0, 0x66, 0xF3 or 0xF2.
    pub(super) prefix: u8,
    /// The W bit.
    pub(super) w: W,
    /// The opcode.
    pub(super) opcode: u8,
    /// What stands in the `reg` field instead of a register.
    pub(super) digit: Option<u8>,
    /// Bytes of the memory operand.
    pub(super) tuple: Tuple,
    /// Size of the immediate.
    pub(super) imm: Imm,
}

macro_rules! rows {
    ($($op:ident $name:literal $family:ident $map:literal $prefix:literal $w:ident $opcode:literal
        $tuple:ident $n:literal $imm:ident $(/ $digit:literal)?;)*) => {
        /// An instruction; the variants are the rows of the table in this file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Op { $($op),* }

        impl Op {
            /// The instruction's row.
            pub(super) fn row(self) -> &'static Row {
                match self { $(Op::$op => &Row {
                    name: $name, family: Family::$family, map: $map, prefix: $prefix, w: W::$w,
                    opcode: $opcode, digit: rows!(@digit $($digit)?), tuple: Tuple::$tuple($n),
                    imm: Imm::$imm,
                }),* }
            }
        }
    };
    (@digit) => { None };
    (@digit $digit:literal) => { Some($digit) };
}

rows! {
    // Integers.
    Mov "mov" Legacy 0 0 W1 0x8b Bytes 8 No;
    MovStore "mov" Legacy 0 0 W1 0x89 Bytes 8 No;
    MovImm "mov" Short 0 0 W0 0xb8 Bytes 8 I32;
    MovImmSigned "mov" Legacy 0 0 W1 0xc7 Bytes 8 I32 / 0;
    MovImmWide "mov" Short 0 0 W1 0xb8 Bytes 8 I64;
    Lea "lea" Legacy 0 0 W1 0x8d Bytes 8 No;
    Add "add" Legacy 0 0 W1 0x03 Bytes 8 No;
    AddImm "add" Legacy 0 0 W1 0x81 Bytes 8 I32 / 0;
    AddImm8 "add" Legacy 0 0 W1 0x83 Bytes 8 I8 / 0;
    Cmp "cmp" Legacy 0 0 W1 0x3b Bytes 8 No;
    CmpImm "cmp" Legacy 0 0 W1 0x81 Bytes 8 I32 / 7;
    Imul "imul" Legacy 1 0 W1 0xaf Bytes 8 No;
    ImulImm "imul" Legacy 0 0 W1 0x69 Bytes 8 I32;
    Dec "dec" Legacy 0 0 W1 0xff Bytes 8 No / 1;

    Push "push" Short 0 0 W0 0x50 Bytes 8 No;
    Pop "pop" Short 0 0 W0 0x58 Bytes 8 No;

    // Moves.
    Movaps "vmovaps" Vector 1 0 W0 0x28 Part 1 No;
    Movups "vmovups" Vector 1 0 W0 0x10 Part 1 No;
    MovupsStore "vmovups" Vector 1 0 W0 0x11 Part 1 No;
    Movss "vmovss" Vector 1 0xf3 W0 0x10 Bytes 4 No;
    MovssStore "vmovss" Vector 1 0xf3 W0 0x11 Bytes 4 No;
    Movsd "vmovsd" Vector 1 0xf2 E1 0x10 Bytes 8 No;
    MovsdStore "vmovsd" Vector 1 0xf2 E1 0x11 Bytes 8 No;
    Maskmovps "vmaskmovps" Vector 2 0x66 W0 0x2c Part 1 No;
    MaskmovpsStore "vmaskmovps" Vector 2 0x66 W0 0x2e Part 1 No;
    Maskmovpd "vmaskmovpd" Vector 2 0x66 W0 0x2d Part 1 No;
    MaskmovpdStore "vmaskmovpd" Vector 2 0x66 W0 0x2f Part 1 No;
    Movdqu8 "vmovdqu8" Vector 1 0xf2 W0 0x6f Part 1 No;
    Movdqu8Store "vmovdqu8" Vector 1 0xf2 W0 0x7f Part 1 No;
    Movdqu16 "vmovdqu16" Vector 1 0xf2 W1 0x6f Part 1 No;
    Movdqu16Store "vmovdqu16" Vector 1 0xf2 W1 0x7f Part 1 No;
    Movdqu32 "vmovdqu32" Vector 1 0xf3 W0 0x6f Part 1 No;
    Movdqu32Store "vmovdqu32" Vector 1 0xf3 W0 0x7f Part 1 No;
    Movdqu64 "vmovdqu64" Vector 1 0xf3 W1 0x6f Part 1 No;
    Movdqu64Store "vmovdqu64" Vector 1 0xf3 W1 0x7f Part 1 No;
    Broadcastss "vbroadcastss" Vector 2 0x66 W0 0x18 Bytes 4 No;
    Broadcastq "vpbroadcastq" Vector 2 0x66 E1 0x59 Bytes 8 No;

    // Floats.
    Addps "vaddps" Vector 1 0 W0 0x58 Part 1 No;
    Addpd "vaddpd" Vector 1 0x66 E1 0x58 Part 1 No;
    Addss "vaddss" Vector 1 0xf3 W0 0x58 Bytes 4 No;
    Addsd "vaddsd" Vector 1 0xf2 E1 0x58 Bytes 8 No;
    Subps "vsubps" Vector 1 0 W0 0x5c Part 1 No;
    Subpd "vsubpd" Vector 1 0x66 E1 0x5c Part 1 No;
    Subss "vsubss" Vector 1 0xf3 W0 0x5c Bytes 4 No;
    Subsd "vsubsd" Vector 1 0xf2 E1 0x5c Bytes 8 No;
    Mulps "vmulps" Vector 1 0 W0 0x59 Part 1 No;
    Mulpd "vmulpd" Vector 1 0x66 E1 0x59 Part 1 No;
    Mulss "vmulss" Vector 1 0xf3 W0 0x59 Bytes 4 No;
    Mulsd "vmulsd" Vector 1 0xf2 E1 0x59 Bytes 8 No;
    Divps "vdivps" Vector 1 0 W0 0x5e Part 1 No;
    Divpd "vdivpd" Vector 1 0x66 E1 0x5e Part 1 No;
    Divss "vdivss" Vector 1 0xf3 W0 0x5e Bytes 4 No;
    Divsd "vdivsd" Vector 1 0xf2 E1 0x5e Bytes 8 No;
    Minps "vminps" Vector 1 0 W0 0x5d Part 1 No;
    Minpd "vminpd" Vector 1 0x66 E1 0x5d Part 1 No;
    Minss "vminss" Vector 1 0xf3 W0 0x5d Bytes 4 No;
    Minsd "vminsd" Vector 1 0xf2 E1 0x5d Bytes 8 No;
    Maxps "vmaxps" Vector 1 0 W0 0x5f Part 1 No;
    Maxpd "vmaxpd" Vector 1 0x66 E1 0x5f Part 1 No;
    Maxss "vmaxss" Vector 1 0xf3 W0 0x5f Bytes 4 No;
    Maxsd "vmaxsd" Vector 1 0xf2 E1 0x5f Bytes 8 No;
    Sqrtps "vsqrtps" Vector 1 0 W0 0x51 Part 1 No;
    Sqrtpd "vsqrtpd" Vector 1 0x66 E1 0x51 Part 1 No;
    Sqrtss "vsqrtss" Vector 1 0xf3 W0 0x51 Bytes 4 No;
    Sqrtsd "vsqrtsd" Vector 1 0xf2 E1 0x51 Bytes 8 No;
    Fma213ps "vfmadd213ps" Vector 2 0x66 W0 0xa8 Part 1 No;
    Fma213pd "vfmadd213pd" Vector 2 0x66 W1 0xa8 Part 1 No;
    Fma213ss "vfmadd213ss" Vector 2 0x66 W0 0xa9 Bytes 4 No;
    Fma213sd "vfmadd213sd" Vector 2 0x66 W1 0xa9 Bytes 8 No;
    Fma231ps "vfmadd231ps" Vector 2 0x66 W0 0xb8 Part 1 No;
    Fma231pd "vfmadd231pd" Vector 2 0x66 W1 0xb8 Part 1 No;
    Fma231ss "vfmadd231ss" Vector 2 0x66 W0 0xb9 Bytes 4 No;
    Fma231sd "vfmadd231sd" Vector 2 0x66 W1 0xb9 Bytes 8 No;
    Roundps "vroundps|vrndscaleps" Vector 3 0x66 W0 0x08 Part 1 I8;
    Roundpd "vroundpd|vrndscalepd" Vector 3 0x66 E1 0x09 Part 1 I8;
    Roundss "vroundss|vrndscaless" Vector 3 0x66 W0 0x0a Bytes 4 I8;
    Roundsd "vroundsd|vrndscalesd" Vector 3 0x66 E1 0x0b Bytes 8 I8;

    // Bits.
    Pand "vpand|vpandd" Vector 1 0x66 W0 0xdb Part 1 No;
    PandQ "vpand|vpandq" Vector 1 0x66 E1 0xdb Part 1 No;
    Pxor "vpxor|vpxord" Vector 1 0x66 W0 0xef Part 1 No;
    PxorQ "vpxor|vpxorq" Vector 1 0x66 E1 0xef Part 1 No;

    // Masks.
    KmovFromInt "kmovw" Mask 1 0 W0 0x92 Bytes 4 No;
    Kmov "kmovq" Mask 1 0 W1 0x90 Bytes 8 No;
    KmovStore "kmovq" Mask 1 0 W1 0x91 Bytes 8 No;
}

impl Row {
    /// The mnemonic.
    pub(super) fn mnemonic(&self, evex: bool) -> &'static str {
        match self.name.split_once('|') {
            Some((_, name)) if evex => name,
            Some((name, _)) => name,
            None => self.name,
        }
    }
}
