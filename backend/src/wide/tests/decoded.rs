//! The bytes mean what the listing says, as another project's decoder reads them.

use edgecc_ir::loops::LoopFn;
use edgecc_ir::target::Target;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Compares mnemonics, registers and addresses of every instruction.
pub(super) fn compare(func: &LoopFn, target: &Target) {
    let listing = crate::wide::listing(func, target).expect("the function is legal");
    let bytes = crate::wide::compile(func, target).expect("the function is legal").bytes;
    let listed = listing.lines().filter(|line| line.starts_with(' ')).map(normal);
    let mut decoder = Decoder::new(64, &bytes, DecoderOptions::NONE);
    for line in listed {
        let mut inst = decoder.decode();
        while inst.mnemonic() == Mnemonic::Nop {
            inst = decoder.decode();
        }
        assert_eq!(line, text(&inst), "{}\n{listing}", target.cpu);
    }
}

/// A listed line without literals, targets of jumps and lengths of registers.
fn normal(line: &str) -> String {
    let mut line = line.trim().replace("xmm", "zmm").replace("ymm", "zmm");
    if let Some((before, after)) = line.split_once("[constants") {
        let (_, after) = after.split_once(']').expect("an address");
        line = format!("{before}[constants]{after}");
    }
    let Some((name, operands)) = line.split_once(' ') else { return line };
    let is_number = |word: &&str| word.parse::<i64>().is_err() && !word.starts_with("block");
    let operands: Vec<&str> = operands.split(", ").filter(is_number).collect();
    format!("{name} {}", operands.join(", ")).trim_end().to_owned()
}

fn text(inst: &Instruction) -> String {
    let name = format!("{:?}", inst.mnemonic()).to_lowercase();
    let mut operands: Vec<String> = Vec::new();
    let is_shift = matches!(inst.mnemonic(), Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar);
    for n in 0..inst.op_count() {
        match inst.op_kind(n) {
            // The amount is always there.
            OpKind::Register if is_shift && n == 1 => {}
            OpKind::Register => operands.push(register(inst.op_register(n))),
            OpKind::Memory => operands.push(memory(inst)),
            _ => {}
        }
    }
    if inst.has_op_mask() {
        let zeroing = if inst.zeroing_masking() { "{z}" } else { "" };
        operands[0] += &format!("{{{}}}{zeroing}", register(inst.op_mask()));
    }
    format!("{name} {}", operands.join(", ")).trim_end().to_owned()
}

fn register(register: Register) -> String {
    format!("{:?}", register.full_register()).to_lowercase()
}

fn memory(inst: &Instruction) -> String {
    let broadcast = if inst.is_broadcast() { "{1toN}" } else { "" };
    match inst.memory_base() {
        Register::RIP => format!("[constants]{broadcast}"),
        base => {
            let distance = inst.memory_displacement64() as i64;
            let index = match inst.memory_index() {
                Register::None => String::new(),
                index => format!("+{}", register(index)),
            };
            format!("[{}{index}{distance:+}]{broadcast}", register(base))
        }
    }
}
