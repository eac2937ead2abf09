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
    /// An opcode without operands.
    Bare,
    /// VEX or EVEX, whichever the machine's vectors need.
    Vector,
    /// VEX, also where vectors take EVEX: operations on masks.
    Mask,
    /// As `Mask` with the length bit set.
    Mask3,
    /// VEX, also where vectors take EVEX: operations on matrix tiles; the `vvvv` field comes last in
    /// text.
    Tile,
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
    /// Whether the `rm` field comes first in text: it is what is written.
    pub(super) to_rm: bool,
}

macro_rules! rows {
    ($($op:ident $name:literal $family:ident $map:literal $prefix:literal $w:ident $opcode:literal
        $tuple:ident $n:literal $imm:ident $(/ $digit:literal)? $(-> $to:ident)?;)*) => {
        /// An instruction; the variants are the rows of the table in this file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Op { $($op),* }

        impl Op {
            /// The instruction's row.
            pub(super) fn row(self) -> &'static Row {
                match self { $(Op::$op => &Row {
                    name: $name, family: Family::$family, map: $map, prefix: $prefix, w: W::$w,
                    opcode: $opcode, digit: rows!(@digit $($digit)?), tuple: Tuple::$tuple($n),
                    imm: Imm::$imm, to_rm: rows!(@to $($to)?),
                }),* }
            }
        }
    };
    (@to) => { false };
    (@to rm) => { true };
    (@digit) => { None };
    (@digit $digit:literal) => { Some($digit) };
}

rows! {
    // Integers.
    Mov "mov" Legacy 0 0 W1 0x8b Bytes 8 No;
    MovStore "mov" Legacy 0 0 W1 0x89 Bytes 8 No -> rm;
    Mov32 "mov" Legacy 0 0 W0 0x8b Bytes 4 No;
    Store8 "mov" LegacyByte 0 0 W0 0x88 Bytes 1 No -> rm;
    Store16 "mov" Legacy 0 0x66 W0 0x89 Bytes 2 No -> rm;
    Store32 "mov" Legacy 0 0 W0 0x89 Bytes 4 No -> rm;
    Movzx8 "movzx" LegacyByte 1 0 W0 0xb6 Bytes 1 No;
    Movzx16 "movzx" Legacy 1 0 W0 0xb7 Bytes 2 No;
    Movsx8 "movsx" Legacy 1 0 W1 0xbe Bytes 1 No;
    Movsx16 "movsx" Legacy 1 0 W1 0xbf Bytes 2 No;
    Movsx32 "movsxd" Legacy 0 0 W1 0x63 Bytes 4 No;
    MovImm "mov" Short 0 0 W0 0xb8 Bytes 8 I32;
    MovImmSigned "mov" Legacy 0 0 W1 0xc7 Bytes 8 I32 / 0;
    MovImmWide "mov" Short 0 0 W1 0xb8 Bytes 8 I64;
    Push "push" Short 0 0 W0 0x50 Bytes 8 No;
    Pop "pop" Short 0 0 W0 0x58 Bytes 8 No;
    Prefetch "prefetcht0" Legacy 1 0 W0 0x18 Bytes 64 No / 1;
    Lea "lea" Legacy 0 0 W1 0x8d Bytes 8 No;
    Add "add" Legacy 0 0 W1 0x03 Bytes 8 No;
    Or "or" Legacy 0 0 W1 0x0b Bytes 8 No;
    And "and" Legacy 0 0 W1 0x23 Bytes 8 No;
    Sub "sub" Legacy 0 0 W1 0x2b Bytes 8 No;
    Xor "xor" Legacy 0 0 W1 0x33 Bytes 8 No;
    Cmp "cmp" Legacy 0 0 W1 0x3b Bytes 8 No;
    AddImm "add" Legacy 0 0 W1 0x81 Bytes 8 I32 / 0;
    AndImm "and" Legacy 0 0 W1 0x81 Bytes 8 I32 / 4;
    XorImm "xor" Legacy 0 0 W1 0x81 Bytes 8 I32 / 6;
    CmpImm "cmp" Legacy 0 0 W1 0x81 Bytes 8 I32 / 7;
    AddImm8 "add" Legacy 0 0 W1 0x83 Bytes 8 I8 / 0;
    Test "test" Legacy 0 0 W1 0x85 Bytes 8 No -> rm;
    Imul "imul" Legacy 1 0 W1 0xaf Bytes 8 No;
    ImulImm "imul" Legacy 0 0 W1 0x69 Bytes 8 I32;
    Dec "dec" Legacy 0 0 W1 0xff Bytes 8 No / 1;
    Not "not" Legacy 0 0 W1 0xf7 Bytes 8 No / 2;
    Neg "neg" Legacy 0 0 W1 0xf7 Bytes 8 No / 3;
    Div "div" Legacy 0 0 W1 0xf7 Bytes 8 No / 6;
    Idiv "idiv" Legacy 0 0 W1 0xf7 Bytes 8 No / 7;
    Cqo "cqo" Bare 0 0 W1 0x99 Bytes 8 No;
    Shl "shl" Legacy 0 0 W1 0xd3 Bytes 8 No / 4;
    Shr "shr" Legacy 0 0 W1 0xd3 Bytes 8 No / 5;
    Sar "sar" Legacy 0 0 W1 0xd3 Bytes 8 No / 7;
    ShlImm "shl" Legacy 0 0 W1 0xc1 Bytes 8 I8 / 4;
    ShrImm "shr" Legacy 0 0 W1 0xc1 Bytes 8 I8 / 5;
    CmovB "cmovb" Legacy 1 0 W1 0x42 Bytes 8 No;
    CmovAe "cmovae" Legacy 1 0 W1 0x43 Bytes 8 No;
    CmovE "cmove" Legacy 1 0 W1 0x44 Bytes 8 No;
    CmovNe "cmovne" Legacy 1 0 W1 0x45 Bytes 8 No;
    CmovA "cmova" Legacy 1 0 W1 0x47 Bytes 8 No;
    CmovP "cmovp" Legacy 1 0 W1 0x4a Bytes 8 No;
    CmovL "cmovl" Legacy 1 0 W1 0x4c Bytes 8 No;
    CmovGe "cmovge" Legacy 1 0 W1 0x4d Bytes 8 No;
    CmovG "cmovg" Legacy 1 0 W1 0x4f Bytes 8 No;
    SetB "setb" LegacyByte 1 0 W0 0x92 Bytes 1 No / 0;
    SetAe "setae" LegacyByte 1 0 W0 0x93 Bytes 1 No / 0;
    SetE "sete" LegacyByte 1 0 W0 0x94 Bytes 1 No / 0;
    SetNe "setne" LegacyByte 1 0 W0 0x95 Bytes 1 No / 0;
    SetBe "setbe" LegacyByte 1 0 W0 0x96 Bytes 1 No / 0;
    SetA "seta" LegacyByte 1 0 W0 0x97 Bytes 1 No / 0;
    SetP "setp" LegacyByte 1 0 W0 0x9a Bytes 1 No / 0;
    SetNp "setnp" LegacyByte 1 0 W0 0x9b Bytes 1 No / 0;
    SetL "setl" LegacyByte 1 0 W0 0x9c Bytes 1 No / 0;
    SetLe "setle" LegacyByte 1 0 W0 0x9e Bytes 1 No / 0;

    // Moves.
    Movaps "vmovaps" Vector 1 0 W0 0x28 Part 1 No;
    Movups "vmovups" Vector 1 0 W0 0x10 Part 1 No;
    MovupsStore "vmovups" Vector 1 0 W0 0x11 Part 1 No -> rm;
    Movss "vmovss" Vector 1 0xf3 W0 0x10 Bytes 4 No;
    MovssStore "vmovss" Vector 1 0xf3 W0 0x11 Bytes 4 No -> rm;
    Movsd "vmovsd" Vector 1 0xf2 E1 0x10 Bytes 8 No;
    MovsdStore "vmovsd" Vector 1 0xf2 E1 0x11 Bytes 8 No -> rm;
    Movd "vmovd" Vector 1 0x66 W0 0x6e Bytes 4 No;
    MovdStore "vmovd" Vector 1 0x66 W0 0x7e Bytes 4 No -> rm;
    Movq "vmovq" Vector 1 0x66 W1 0x6e Bytes 8 No;
    MovqStore "vmovq" Vector 1 0x66 W1 0x7e Bytes 8 No -> rm;
    Maskmovps "vmaskmovps" Vector 2 0x66 W0 0x2c Part 1 No;
    MaskmovpsStore "vmaskmovps" Vector 2 0x66 W0 0x2e Part 1 No -> rm;
    Maskmovpd "vmaskmovpd" Vector 2 0x66 W0 0x2d Part 1 No;
    MaskmovpdStore "vmaskmovpd" Vector 2 0x66 W0 0x2f Part 1 No -> rm;
    Movdqu8 "vmovdqu8" Vector 1 0xf2 W0 0x6f Part 1 No;
    Movdqu8Store "vmovdqu8" Vector 1 0xf2 W0 0x7f Part 1 No -> rm;
    Movdqu16 "vmovdqu16" Vector 1 0xf2 W1 0x6f Part 1 No;
    Movdqu16Store "vmovdqu16" Vector 1 0xf2 W1 0x7f Part 1 No -> rm;
    Movdqu32 "vmovdqu32" Vector 1 0xf3 W0 0x6f Part 1 No;
    Movdqu32Store "vmovdqu32" Vector 1 0xf3 W0 0x7f Part 1 No -> rm;
    Movdqu64 "vmovdqu64" Vector 1 0xf3 W1 0x6f Part 1 No;
    Movdqu64Store "vmovdqu64" Vector 1 0xf3 W1 0x7f Part 1 No -> rm;
    Pinsrb "vpinsrb" Vector 3 0x66 W0 0x20 Bytes 1 I8;
    Pinsrw "vpinsrw" Vector 1 0x66 W0 0xc4 Bytes 2 I8;
    Pinsrd "vpinsrd" Vector 3 0x66 W0 0x22 Bytes 4 I8;
    Pinsrq "vpinsrq" Vector 3 0x66 W1 0x22 Bytes 8 I8;
    Pextrb "vpextrb" Vector 3 0x66 W0 0x14 Bytes 1 I8 -> rm;
    Pextrw "vpextrw" Vector 3 0x66 W0 0x15 Bytes 2 I8 -> rm;
    Pextrd "vpextrd" Vector 3 0x66 W0 0x16 Bytes 4 I8 -> rm;
    Pextrq "vpextrq" Vector 3 0x66 W1 0x16 Bytes 8 I8 -> rm;
    Pbroadcastb "vpbroadcastb" Vector 2 0x66 W0 0x78 Bytes 1 No;
    Pbroadcastw "vpbroadcastw" Vector 2 0x66 W0 0x79 Bytes 2 No;
    Broadcastss "vbroadcastss" Vector 2 0x66 W0 0x18 Bytes 4 No;
    Pbroadcastq "vpbroadcastq" Vector 2 0x66 E1 0x59 Bytes 8 No;
    Insert128 "vinsertf128|vinsertf32x4" Vector 3 0x66 W0 0x18 Bytes 16 I8;
    Extract128 "vextractf128|vextractf32x4" Vector 3 0x66 W0 0x19 Bytes 16 I8 -> rm;
    Insert256 "vinsertf64x4" Vector 3 0x66 W1 0x1a Bytes 32 I8;
    Extract256 "vextractf64x4" Vector 3 0x66 W1 0x1b Bytes 32 I8 -> rm;
    Insertps "vinsertps" Vector 3 0x66 W0 0x21 Bytes 4 I8;
    Unpcklpd "vunpcklpd" Vector 1 0x66 E1 0x14 Part 1 No;
    Psrldq "vpsrldq" Vector 1 0x66 W0 0x73 Part 1 I8 / 3;
    Pshufb "vpshufb" Vector 2 0x66 W0 0x00 Part 1 No;
    Permi2b "vpermi2b" Vector 2 0x66 W0 0x75 Part 1 No;
    Permd "vpermd" Vector 2 0x66 W0 0x36 Part 1 No;
    Packssdw "vpackssdw" Vector 1 0x66 W0 0x6b Part 1 No;
    Packusdw "vpackusdw" Vector 2 0x66 W0 0x2b Part 1 No;
    Packuswb "vpackuswb" Vector 1 0x66 W0 0x67 Part 1 No;
    Permq "vpermq" Vector 3 0x66 W1 0x00 Part 1 I8;

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
    Cmpps "vcmpps" Vector 1 0 W0 0xc2 Part 1 I8;
    Cmppd "vcmppd" Vector 1 0x66 E1 0xc2 Part 1 I8;
    Ucomiss "vucomiss" Vector 1 0 W0 0x2e Bytes 4 No;
    Ucomisd "vucomisd" Vector 1 0x66 E1 0x2e Bytes 8 No;

    // Conversions.
    Cvtdq2ps "vcvtdq2ps" Vector 1 0 W0 0x5b Part 1 No;
    Cvtps2dq "vcvtps2dq" Vector 1 0x66 W0 0x5b Part 1 No;
    Cvttps2dq "vcvttps2dq" Vector 1 0xf3 W0 0x5b Part 1 No;
    Cvtudq2ps "vcvtudq2ps" Vector 1 0xf2 W0 0x7a Part 1 No;
    Cvttps2udq "vcvttps2udq" Vector 1 0 W0 0x78 Part 1 No;
    Cvtps2pd "vcvtps2pd" Vector 1 0 W0 0x5a Part 2 No;
    Cvtpd2ps "vcvtpd2ps" Vector 1 0x66 E1 0x5a Part 1 No;
    Cvtdq2pd "vcvtdq2pd" Vector 1 0xf3 W0 0xe6 Part 2 No;
    Cvtph2ps "vcvtph2ps" Vector 2 0x66 W0 0x13 Part 2 No;
    Cvtps2ph "vcvtps2ph" Vector 3 0x66 W0 0x1d Part 2 I8 -> rm;
    Cvtss2sd "vcvtss2sd" Vector 1 0xf3 W0 0x5a Bytes 4 No;
    Cvtsd2ss "vcvtsd2ss" Vector 1 0xf2 E1 0x5a Bytes 8 No;
    Cvtsi2ss "vcvtsi2ss" Vector 1 0xf3 W1 0x2a Bytes 8 No;
    Cvtsi2sd "vcvtsi2sd" Vector 1 0xf2 W1 0x2a Bytes 8 No;
    Cvtusi2ss "vcvtusi2ss" Vector 1 0xf3 W1 0x7b Bytes 8 No;
    Cvtusi2sd "vcvtusi2sd" Vector 1 0xf2 W1 0x7b Bytes 8 No;
    Cvttss2si "vcvttss2si" Vector 1 0xf3 W1 0x2c Bytes 4 No;
    Cvttsd2si "vcvttsd2si" Vector 1 0xf2 W1 0x2c Bytes 8 No;
    Pmovsxbw "vpmovsxbw" Vector 2 0x66 W0 0x20 Part 2 No;
    Pmovzxbw "vpmovzxbw" Vector 2 0x66 W0 0x30 Part 2 No;
    Pmovsxbd "vpmovsxbd" Vector 2 0x66 W0 0x21 Part 4 No;
    Pmovzxbd "vpmovzxbd" Vector 2 0x66 W0 0x31 Part 4 No;
    Pmovsxbq "vpmovsxbq" Vector 2 0x66 W0 0x22 Part 8 No;
    Pmovzxbq "vpmovzxbq" Vector 2 0x66 W0 0x32 Part 8 No;
    Pmovsxwd "vpmovsxwd" Vector 2 0x66 W0 0x23 Part 2 No;
    Pmovzxwd "vpmovzxwd" Vector 2 0x66 W0 0x33 Part 2 No;
    Pmovsxwq "vpmovsxwq" Vector 2 0x66 W0 0x24 Part 4 No;
    Pmovzxwq "vpmovzxwq" Vector 2 0x66 W0 0x34 Part 4 No;
    Pmovsxdq "vpmovsxdq" Vector 2 0x66 W0 0x25 Part 2 No;
    Pmovzxdq "vpmovzxdq" Vector 2 0x66 W0 0x35 Part 2 No;
    Pmovwb "vpmovwb" Vector 2 0xf3 W0 0x30 Part 2 No -> rm;
    Pmovdb "vpmovdb" Vector 2 0xf3 W0 0x31 Part 4 No -> rm;
    Pmovqb "vpmovqb" Vector 2 0xf3 W0 0x32 Part 8 No -> rm;
    Pmovdw "vpmovdw" Vector 2 0xf3 W0 0x33 Part 2 No -> rm;
    Pmovqw "vpmovqw" Vector 2 0xf3 W0 0x34 Part 4 No -> rm;
    Pmovqd "vpmovqd" Vector 2 0xf3 W0 0x35 Part 2 No -> rm;

    // Integers in vectors.
    Paddb "vpaddb" Vector 1 0x66 W0 0xfc Part 1 No;
    Paddw "vpaddw" Vector 1 0x66 W0 0xfd Part 1 No;
    Paddd "vpaddd" Vector 1 0x66 W0 0xfe Part 1 No;
    Paddq "vpaddq" Vector 1 0x66 E1 0xd4 Part 1 No;
    Paddusb "vpaddusb" Vector 1 0x66 W0 0xdc Part 1 No;
    Paddsw "vpaddsw" Vector 1 0x66 W0 0xed Part 1 No;
    Psubb "vpsubb" Vector 1 0x66 W0 0xf8 Part 1 No;
    Psubw "vpsubw" Vector 1 0x66 W0 0xf9 Part 1 No;
    Psubd "vpsubd" Vector 1 0x66 W0 0xfa Part 1 No;
    Psubq "vpsubq" Vector 1 0x66 E1 0xfb Part 1 No;
    Pmullw "vpmullw" Vector 1 0x66 W0 0xd5 Part 1 No;
    // W is ignored; 1 says that no element of 32 bits is broadcast, since the elements have 16.
    Pmaddwd "vpmaddwd" Vector 1 0x66 E1 0xf5 Part 1 No;
    Pmulld "vpmulld" Vector 2 0x66 W0 0x40 Part 1 No;
    Pmullq "vpmullq" Vector 2 0x66 W1 0x40 Part 1 No;
    Pminsb "vpminsb" Vector 2 0x66 W0 0x38 Part 1 No;
    Pminsw "vpminsw" Vector 1 0x66 W0 0xea Part 1 No;
    Pminsd "vpminsd" Vector 2 0x66 W0 0x39 Part 1 No;
    Pminsq "vpminsq" Vector 2 0x66 W1 0x39 Part 1 No;
    Pminub "vpminub" Vector 1 0x66 W0 0xda Part 1 No;
    Pminuw "vpminuw" Vector 2 0x66 W0 0x3a Part 1 No;
    Pminud "vpminud" Vector 2 0x66 W0 0x3b Part 1 No;
    Pminuq "vpminuq" Vector 2 0x66 W1 0x3b Part 1 No;
    Pmaxsb "vpmaxsb" Vector 2 0x66 W0 0x3c Part 1 No;
    Pmaxsw "vpmaxsw" Vector 1 0x66 W0 0xee Part 1 No;
    Pmaxsd "vpmaxsd" Vector 2 0x66 W0 0x3d Part 1 No;
    Pmaxsq "vpmaxsq" Vector 2 0x66 W1 0x3d Part 1 No;
    Pmaxub "vpmaxub" Vector 1 0x66 W0 0xde Part 1 No;
    Pmaxuw "vpmaxuw" Vector 2 0x66 W0 0x3e Part 1 No;
    Pmaxud "vpmaxud" Vector 2 0x66 W0 0x3f Part 1 No;
    Pmaxuq "vpmaxuq" Vector 2 0x66 W1 0x3f Part 1 No;
    Pabsb "vpabsb" Vector 2 0x66 W0 0x1c Part 1 No;
    Pabsw "vpabsw" Vector 2 0x66 W0 0x1d Part 1 No;
    Pabsd "vpabsd" Vector 2 0x66 W0 0x1e Part 1 No;
    Pabsq "vpabsq" Vector 2 0x66 W1 0x1f Part 1 No;
    Psllw "vpsllw" Vector 1 0x66 W0 0x71 Part 1 I8 / 6;
    Pslld "vpslld" Vector 1 0x66 W0 0x72 Part 1 I8 / 6;
    Psllq "vpsllq" Vector 1 0x66 E1 0x73 Part 1 I8 / 6;
    Psrlw "vpsrlw" Vector 1 0x66 W0 0x71 Part 1 I8 / 2;
    Psrld "vpsrld" Vector 1 0x66 W0 0x72 Part 1 I8 / 2;
    Psrlq "vpsrlq" Vector 1 0x66 E1 0x73 Part 1 I8 / 2;
    Psraw "vpsraw" Vector 1 0x66 W0 0x71 Part 1 I8 / 4;
    Psrad "vpsrad" Vector 1 0x66 W0 0x72 Part 1 I8 / 4;
    Psraq "vpsraq" Vector 1 0x66 W1 0x72 Part 1 I8 / 4;
    Psllvw "vpsllvw" Vector 2 0x66 W1 0x12 Part 1 No;
    Psllvd "vpsllvd" Vector 2 0x66 W0 0x47 Part 1 No;
    Psllvq "vpsllvq" Vector 2 0x66 W1 0x47 Part 1 No;
    Psrlvw "vpsrlvw" Vector 2 0x66 W1 0x10 Part 1 No;
    Psrlvd "vpsrlvd" Vector 2 0x66 W0 0x45 Part 1 No;
    Psrlvq "vpsrlvq" Vector 2 0x66 W1 0x45 Part 1 No;
    Psravw "vpsravw" Vector 2 0x66 W1 0x11 Part 1 No;
    Psravd "vpsravd" Vector 2 0x66 W0 0x46 Part 1 No;
    Psravq "vpsravq" Vector 2 0x66 W1 0x46 Part 1 No;
    Pdpbusd "vpdpbusd" Vector 2 0x66 W0 0x50 Part 1 No;
    Pdpwssd "vpdpwssd" Vector 2 0x66 W0 0x52 Part 1 No;
    Pcmpeqb "vpcmpeqb" Vector 1 0x66 W0 0x74 Part 1 No;
    Pcmpeqw "vpcmpeqw" Vector 1 0x66 W0 0x75 Part 1 No;
    Pcmpeqd "vpcmpeqd" Vector 1 0x66 W0 0x76 Part 1 No;
    Pcmpeqq "vpcmpeqq" Vector 2 0x66 W0 0x29 Part 1 No;
    Pcmpgtb "vpcmpgtb" Vector 1 0x66 W0 0x64 Part 1 No;
    Pcmpgtw "vpcmpgtw" Vector 1 0x66 W0 0x65 Part 1 No;
    Pcmpgtd "vpcmpgtd" Vector 1 0x66 W0 0x66 Part 1 No;
    Pcmpgtq "vpcmpgtq" Vector 2 0x66 W0 0x37 Part 1 No;
    Pcmpb "vpcmpb" Vector 3 0x66 W0 0x3f Part 1 I8;
    Pcmpw "vpcmpw" Vector 3 0x66 W1 0x3f Part 1 I8;
    Pcmpd "vpcmpd" Vector 3 0x66 W0 0x1f Part 1 I8;
    Pcmpq "vpcmpq" Vector 3 0x66 W1 0x1f Part 1 I8;
    Pcmpub "vpcmpub" Vector 3 0x66 W0 0x3e Part 1 I8;
    Pcmpuw "vpcmpuw" Vector 3 0x66 W1 0x3e Part 1 I8;
    Pcmpud "vpcmpud" Vector 3 0x66 W0 0x1e Part 1 I8;
    Pcmpuq "vpcmpuq" Vector 3 0x66 W1 0x1e Part 1 I8;
    Ptestmb "vptestmb" Vector 2 0x66 W0 0x26 Part 1 No;
    Ptestmw "vptestmw" Vector 2 0x66 W1 0x26 Part 1 No;
    Ptestmd "vptestmd" Vector 2 0x66 W0 0x27 Part 1 No;
    Ptestmq "vptestmq" Vector 2 0x66 W1 0x27 Part 1 No;
    Pmovb2m "vpmovb2m" Vector 2 0xf3 W0 0x29 Part 1 No;
    Pblendmb "vpblendmb" Vector 2 0x66 W0 0x66 Part 1 No;
    Pblendmw "vpblendmw" Vector 2 0x66 W1 0x66 Part 1 No;
    Pblendmd "vpblendmd" Vector 2 0x66 W0 0x64 Part 1 No;
    Pblendmq "vpblendmq" Vector 2 0x66 W1 0x64 Part 1 No;
    Pblendvb "vpblendvb" Vector 3 0x66 W0 0x4c Part 1 No;
    Blendvps "vblendvps" Vector 3 0x66 W0 0x4a Part 1 No;
    Blendvpd "vblendvpd" Vector 3 0x66 W0 0x4b Part 1 No;
    Pand "vpand|vpandd" Vector 1 0x66 W0 0xdb Part 1 No;
    Pandn "vpandn|vpandnd" Vector 1 0x66 W0 0xdf Part 1 No;
    Por "vpor|vpord" Vector 1 0x66 W0 0xeb Part 1 No;
    Pxor "vpxor|vpxord" Vector 1 0x66 W0 0xef Part 1 No;
    Pandq "vpand|vpandq" Vector 1 0x66 E1 0xdb Part 1 No;
    Pxorq "vpxor|vpxorq" Vector 1 0x66 E1 0xef Part 1 No;

    // Masks.
    Kmov "kmovq" Mask 1 0 W1 0x90 Bytes 8 No;
    KmovStore "kmovq" Mask 1 0 W1 0x91 Bytes 8 No -> rm;
    KmovFromInt "kmovw" Mask 1 0 W0 0x92 Bytes 4 No;
    KmovToInt "kmovw" Mask 1 0 W0 0x93 Bytes 4 No;
    Knot "knotw" Mask 1 0 W0 0x44 Bytes 2 No;
    Kand "kandw" Mask3 1 0 W0 0x41 Bytes 2 No;
    Kandn "kandnw" Mask3 1 0 W0 0x42 Bytes 2 No;
    Kor "korw" Mask3 1 0 W0 0x45 Bytes 2 No;
    Kxor "kxorw" Mask3 1 0 W0 0x47 Bytes 2 No;

    // Matrix tiles.
    Ldtilecfg "ldtilecfg" Tile 2 0 W0 0x49 Bytes 64 No / 0;
    Tilerelease "tilerelease" Tile 2 0 W0 0x49 Bytes 64 No / 0;
    Tilezero "tilezero" Tile 2 0xf2 W0 0x49 Bytes 64 No;
    Tileloadd "tileloadd" Tile 2 0xf2 W0 0x4b Bytes 64 No;
    Tilestored "tilestored" Tile 2 0xf3 W0 0x4b Bytes 64 No -> rm;
    Tdpbusd "tdpbusd" Tile 2 0x66 W0 0x5e Bytes 64 No;
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
