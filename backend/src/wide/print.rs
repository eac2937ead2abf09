//! Instructions as text, for `--emit asm` and for tests.

use super::encode::Machine;
use super::inst::{Base, Len, Mem, Rm};
use super::row::{Family, Imm};
use regalloc2::{PReg, RegClass};

const INTS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// Mnemonic and operands, the result first.
pub(super) fn print(inst: &Machine, evex: bool) -> String {
    let row = inst.op.row();
    let name = row.mnemonic(evex && row.family == Family::Vector);
    let named = |reg: PReg| register(reg, inst.len);
    let mut operands: Vec<String> =
        [inst.reg, inst.vvvv].into_iter().flatten().map(named).collect();
    match inst.rm {
        Rm::No => {}
        Rm::Reg(reg) => operands.push(named(reg)),
        Rm::Mem(mem) => operands.push(memory(mem)),
    }
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
    let broadcast = if mem.broadcast { "{1toN}" } else { "" };
    format!("[{base}{:+}]{broadcast}", mem.displacement)
}
