//! Instructions as text, for `--emit asm` and for tests.

use super::encode::Machine;
use super::inst::{Base, FIRST_TILE, Len, Mem, Rm};
use super::row::{Family, Imm};
use regalloc2::{PReg, RegClass};

const INTS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// Mnemonic and operands, the result first; parts of vectors have the names of whole ones.
pub(super) fn print(inst: &Machine, evex: bool) -> String {
    let row = inst.op.row();
    let name = row.mnemonic(evex && row.family == Family::Vector);
    let named = |reg: PReg| register(reg, inst.len);
    let rm = match inst.rm {
        Rm::No => None,
        Rm::Reg(reg) => Some(named(reg)),
        Rm::Mem(mem) => Some(memory(mem)),
    };
    let mut operands = match row.family {
        Family::Tile => vec![inst.reg.map(named), rm, inst.vvvv.map(named)],
        _ => vec![inst.reg.map(named), inst.vvvv.map(named), rm],
    };
    if row.to_rm {
        operands.reverse();
    }
    let mut operands: Vec<String> = operands.into_iter().flatten().collect();
    match inst.mask {
        Some(mask) if evex => {
            let zeroing = if inst.zeroing { "{z}" } else { "" };
            operands[0] += &format!("{{{}}}{zeroing}", named(mask));
        }
        Some(fourth) => operands.push(named(fourth)),
        None => {}
    }
    if row.imm != Imm::No {
        operands.push(inst.imm.to_string());
    }
    format!("{name} {}", operands.join(", "))
}

fn register(reg: PReg, len: Len) -> String {
    let number = reg.hw_enc();
    match (reg.class(), len) {
        (RegClass::Int, _) => INTS[number].to_owned(),
        (RegClass::Vector, _) if number >= FIRST_TILE => format!("tmm{}", number - FIRST_TILE),
        (RegClass::Vector, _) => format!("k{number}"),
        (RegClass::Float, Len::X) => format!("xmm{number}"),
        (RegClass::Float, Len::Y) => format!("ymm{number}"),
        (RegClass::Float, Len::Z) => format!("zmm{number}"),
    }
}

fn memory(mem: Mem<PReg>) -> String {
    let base = match mem.base {
        Base::Reg(reg) => register(reg, Len::X),
        Base::Pool => "constants".to_owned(),
        Base::Frame | Base::Arguments => "rsp".to_owned(),
    };
    let index = mem.index.map_or(String::new(), |index| format!("+{}", register(index, Len::X)));
    let broadcast = if mem.broadcast { "{1toN}" } else { "" };
    format!("[{base}{index}{:+}]{broadcast}", mem.displacement)
}
