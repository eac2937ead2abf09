//! Bytes of one instruction: legacy, VEX and EVEX encodings.
//!
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections 2.2, 2.3, 2.7.

use super::inst::{Base, Inst, Len, Rm};
use super::row::{Family, Imm, Row, Tuple, W};
use regalloc2::PReg;

/// Hardware number of the stack pointer.
const RSP: u8 = 4;
/// In `base` without a displacement byte, this means something else.
const RBP: u8 = 5;

/// An instruction in machine registers.
pub(super) type Machine = Inst<PReg>;

/// A place in the bytes that wants the distance from the end of its instruction to a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolUse {
    /// Position of the four bytes.
    pub(super) at: usize,
    /// End of the instruction.
    pub(super) end: usize,
    /// Offset of the constant in the pool.
    pub(super) offset: i32,
}

/// Appends an instruction. Vectors take EVEX when `evex` is set, else VEX.
pub(super) fn encode(inst: &Machine, evex: bool, out: &mut Vec<u8>) -> Option<PoolUse> {
    let row = inst.op.row();
    let fields = Fields::of(inst, row);
    let scale = match row.family {
        Family::Legacy | Family::LegacyByte | Family::Short | Family::Bare => {
            legacy(row, &fields, out);
            1
        }
        Family::Vector if evex => {
            evex_prefix(inst, row, &fields, out);
            displacement_scale(inst, row)
        }
        Family::Vector => {
            vex_prefix(row, &fields, inst.len != Len::X, out);
            1
        }
        Family::Mask | Family::Mask3 | Family::Tile => {
            vex_prefix(row, &fields, row.family == Family::Mask3, out);
            1
        }
    };
    if row.family == Family::Short {
        out.push(row.opcode | fields.rm & 7);
        immediate(inst, row, out);
        return None;
    }
    out.push(row.opcode);
    if row.family == Family::Bare {
        return None;
    }
    let at = operand(inst, &fields, scale, out);
    match (row.family, inst.mask) {
        (Family::Vector, Some(fourth)) if !evex => out.push((fourth.hw_enc() as u8) << 4),
        _ => immediate(inst, row, out),
    }
    at.map(|(at, offset)| PoolUse { at, end: out.len(), offset })
}

/// Register numbers; `rm` is a register or the base of an address.
struct Fields {
    reg: u8,
    vvvv: u8,
    rm: u8,
    /// The index of an address; `RSP` stands for none.
    index: u8,
}

impl Fields {
    fn of(inst: &Machine, row: &Row) -> Fields {
        let number = |reg: Option<PReg>| reg.map_or(0, |reg| reg.hw_enc() as u8);
        let rm = match inst.rm {
            Rm::No => 0,
            Rm::Reg(reg) => reg.hw_enc() as u8,
            Rm::Mem(mem) => match mem.base {
                Base::Reg(reg) => reg.hw_enc() as u8,
                Base::Pool => 0,
                Base::Frame | Base::Arguments => RSP,
            },
        };
        let index = match inst.rm {
            Rm::Mem(mem) => mem.index.map_or(RSP, |index| index.hw_enc() as u8),
            Rm::No | Rm::Reg(_) => RSP,
        };
        let reg = row.digit.unwrap_or(number(inst.reg));
        Fields { reg, vvvv: number(inst.vvvv), rm, index }
    }
}

/// `bit` of `value`, inverted, at position `to`.
fn inverted(value: u8, bit: u8, to: u8) -> u8 {
    (!value >> bit & 1) << to
}

fn legacy(row: &Row, fields: &Fields, out: &mut Vec<u8>) {
    if row.prefix != 0 {
        out.push(row.prefix);
    }
    let w = u8::from(row.w == W::W1);
    let rex = 0x40 | w << 3 | (fields.reg >> 3 & 1) << 2 | fields.rm >> 3 & 1;
    if rex != 0x40 || row.family == Family::LegacyByte {
        out.push(rex);
    }
    out.extend_from_slice(match row.map {
        0 => &[],
        1 => &[0x0f],
        2 => &[0x0f, 0x38],
        _ => &[0x0f, 0x3a],
    });
}

/// The two bits that stand for a mandatory prefix.
fn prefix_bits(row: &Row) -> u8 {
    match row.prefix {
        0x66 => 1,
        0xf3 => 2,
        0xf2 => 3,
        _ => 0,
    }
}

fn vex_prefix(row: &Row, fields: &Fields, long: bool, out: &mut Vec<u8>) {
    let w = u8::from(row.w == W::W1);
    let low = (!fields.vvvv & 15) << 3 | u8::from(long) << 2 | prefix_bits(row);
    let r = inverted(fields.reg, 3, 7);
    if row.map == 1 && w == 0 && fields.rm < 8 {
        out.extend([0xc5, r | low]);
    } else {
        let x = inverted(fields.index, 3, 6);
        out.extend([0xc4, r | x | inverted(fields.rm, 3, 5) | row.map, w << 7 | low]);
    }
}

fn evex_prefix(inst: &Machine, row: &Row, fields: &Fields, out: &mut Vec<u8>) {
    let w = u8::from(row.w != W::W0);
    let x = match inst.rm {
        Rm::Reg(_) => inverted(fields.rm, 4, 6),
        Rm::No | Rm::Mem(_) => 0x40,
    };
    let high = inverted(fields.reg, 3, 7) | x | inverted(fields.rm, 3, 5);
    let high = high | inverted(fields.reg, 4, 4) | row.map;
    let middle = w << 7 | (!fields.vvvv & 15) << 3 | 4 | prefix_bits(row);
    let length = inst.len as u8;
    let broadcast = u8::from(matches!(inst.rm, Rm::Mem(mem) if mem.broadcast));
    let mask = inst.mask.map_or(0, |mask| mask.hw_enc() as u8);
    let low = u8::from(inst.zeroing) << 7 | length << 5 | broadcast << 4;
    out.extend([0x62, high, middle, low | inverted(fields.vvvv, 4, 3) | mask]);
}

/// EVEX counts one-byte displacements in units of the memory operand.
fn displacement_scale(inst: &Machine, row: &Row) -> i32 {
    let element = if row.w == W::W0 { 4 } else { 8 };
    match (inst.rm, row.tuple) {
        (Rm::Mem(mem), _) if mem.broadcast => element,
        (_, Tuple::Part(part)) => (inst.len.bytes() / usize::from(part)) as i32,
        (_, Tuple::Bytes(bytes)) => i32::from(bytes),
    }
}

/// ModRM, SIB and displacement; returns where a distance into the pool is to be filled in.
fn operand(inst: &Machine, fields: &Fields, scale: i32, out: &mut Vec<u8>) -> Option<(usize, i32)> {
    let reg = (fields.reg & 7) << 3;
    let base = fields.rm & 7;
    let mem = match inst.rm {
        Rm::No | Rm::Reg(_) => {
            out.push(0xc0 | reg | base);
            return None;
        }
        Rm::Mem(mem) => mem,
    };
    if mem.base == Base::Pool {
        out.push(reg | RBP);
        out.extend([0; 4]);
        return Some((out.len() - 4, mem.displacement));
    }
    let distance = mem.displacement;
    let short = i8::try_from(distance / scale).ok().filter(|_| distance % scale == 0);
    let mode = match short {
        Some(0) if base != RBP => 0,
        Some(_) => 0x40,
        None => 0x80,
    };
    let by_index = base == RSP || fields.index != RSP;
    out.push(mode | reg | if by_index { RSP } else { base });
    if by_index {
        out.push((fields.index & 7) << 3 | base);
    }
    match (mode, short) {
        (0x40, Some(short)) => out.push(short as u8),
        (0x80, _) => out.extend(distance.to_le_bytes()),
        _ => {}
    }
    None
}

fn immediate(inst: &Machine, row: &Row, out: &mut Vec<u8>) {
    match row.imm {
        Imm::No => {}
        Imm::I8 => out.push(inst.imm as u8),
        Imm::I32 => out.extend((inst.imm as i32).to_le_bytes()),
        Imm::I64 => out.extend(inst.imm.to_le_bytes()),
    }
}
