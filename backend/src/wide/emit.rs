//! Allocated code: registers, frame, branches, bytes.

use super::code::{Code, Cond, Kind};
use super::encode::{Machine, PoolUse, encode};
use super::inst::{Base, Inst, Len, Mem, Rm};
use super::pool::Pool;
use super::print::print;
use super::row::Op;
use regalloc2::{
    Algorithm, Allocation, Block, Edit, Function, InstOrEdit, MachineEnv, Output, PReg, PRegSet,
    RegClass, RegallocOptions,
};

/// Registers in which the first arguments arrive (System V).
pub(super) const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];
const CALLER_SAVED: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];
const CALLEE_SAVED: [usize; 6] = [3, 5, 12, 13, 14, 15];
const STACK_POINTER: usize = 4;
/// Where loops without inner loops start.
const LOOP_ALIGNMENT: usize = 32;

/// A finished function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// Code, then constants.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of stack that it takes, saved registers included, the return address not.
    pub(crate) frame_bytes: u32,
    /// Moves between registers and the frame in loops without inner loops.
    pub(crate) spills: u32,
}

/// What follows from the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    /// Whether vectors take EVEX, which has 32 registers.
    pub(super) evex: bool,
}

/// Allocates registers and makes bytes.
pub(super) fn assemble(code: &Code, pool: &Pool, encoding: Encoding) -> Result<Compiled, String> {
    let output = allocate(code, encoding)?;
    let mut emitter = Emitter::new(code, &output, encoding);
    emitter.function();
    Ok(emitter.finish(pool))
}

/// Allocates registers and prints the instructions.
pub(super) fn list(code: &Code, encoding: Encoding) -> Result<String, String> {
    let output = allocate(code, encoding)?;
    let mut emitter = Emitter::new(code, &output, encoding);
    emitter.text = Some(String::new());
    emitter.function();
    Ok(emitter.text.unwrap_or_default())
}

fn allocate(code: &Code, encoding: Encoding) -> Result<Output, String> {
    let options =
        RegallocOptions { verbose_log: false, validate_ssa: false, algorithm: Algorithm::Ion };
    regalloc2::run(code, &environment(encoding), &options)
        .map_err(|why| format!("no registers: {why:?}"))
}

fn register(class: RegClass, number: usize) -> PReg {
    PReg::new(number, class)
}

fn environment(encoding: Encoding) -> MachineEnv {
    let set = |class, numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(PRegSet::empty(), |set, n| set.with(register(class, n)))
    };
    let vectors = if encoding.evex { 32 } else { 16 };
    MachineEnv {
        preferred_regs_by_class: [
            set(RegClass::Int, &mut CALLER_SAVED.into_iter()),
            set(RegClass::Float, &mut (0..vectors)),
            set(RegClass::Vector, &mut (1..8)),
        ],
        non_preferred_regs_by_class: [
            set(RegClass::Int, &mut CALLEE_SAVED.into_iter()),
            PRegSet::empty(),
            PRegSet::empty(),
        ],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

/// The callee's registers that the code writes.
fn saved_registers(output: &Output) -> Vec<PReg> {
    let moved = output.edits.iter().map(|(_, Edit::Move { to, .. })| to);
    let mut used = PRegSet::empty();
    output.allocs.iter().chain(moved).filter_map(|a| a.as_reg()).for_each(|reg| used.add(reg));
    let all = CALLEE_SAVED.map(|n| register(RegClass::Int, n));
    all.into_iter().filter(|&reg| used.contains(reg)).collect()
}

struct Emitter<'a> {
    code: &'a Code,
    output: &'a Output,
    encoding: Encoding,
    saved: Vec<PReg>,
    frame: i32,
    bytes: Vec<u8>,
    pool_uses: Vec<PoolUse>,
    /// Ends of the distances of jumps, and where to.
    jumps: Vec<(usize, Block)>,
    /// Where each block starts.
    places: Vec<usize>,
    spills: u32,
    /// The instructions as text, where that is wanted.
    text: Option<String>,
}

impl<'a> Emitter<'a> {
    fn new(code: &'a Code, output: &'a Output, encoding: Encoding) -> Emitter<'a> {
        Emitter {
            code,
            output,
            encoding,
            saved: saved_registers(output),
            frame: 8 * output.num_spillslots as i32,
            bytes: Vec::new(),
            pool_uses: Vec::new(),
            jumps: Vec::new(),
            places: vec![0; code.blocks.len()],
            spills: 0,
            text: None,
        }
    }

    fn function(&mut self) {
        self.prologue();
        for block in 0..self.code.blocks.len() {
            self.block(Block::new(block));
        }
    }

    fn finish(mut self, pool: &Pool) -> Compiled {
        let constants = pool.bytes();
        if !constants.is_empty() {
            self.bytes.resize(self.bytes.len().next_multiple_of(64), 0xcc);
        }
        let start = self.bytes.len();
        for used in std::mem::take(&mut self.pool_uses) {
            let distance = (start as i64 + i64::from(used.offset) - used.end as i64) as i32;
            self.bytes[used.at..used.at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        for (end, block) in std::mem::take(&mut self.jumps) {
            let distance = (self.places[block.index()] as i64 - end as i64) as i32;
            self.bytes[end - 4..end].copy_from_slice(&distance.to_le_bytes());
        }
        self.bytes.extend(constants);
        let frame_bytes = self.frame as u32 + 8 * self.saved.len() as u32;
        Compiled { bytes: self.bytes, frame_bytes, spills: self.spills }
    }

    fn prologue(&mut self) {
        for reg in self.saved.clone() {
            self.row(&Inst { rm: Rm::Reg(reg), ..Inst::new(Op::Push, Len::X) });
        }
        self.move_stack_pointer(-self.frame);
    }

    fn epilogue(&mut self) {
        self.move_stack_pointer(self.frame);
        for reg in self.saved.clone().into_iter().rev() {
            self.row(&Inst { rm: Rm::Reg(reg), ..Inst::new(Op::Pop, Len::X) });
        }
        // Code with legacy SSE instructions is slow while upper halves are in use.
        self.bytes.extend([0xc5, 0xf8, 0x77]);
        self.bytes.push(0xc3);
        self.note(|_| "vzeroupper\n  ret".to_owned());
    }

    fn move_stack_pointer(&mut self, by: i32) {
        if by != 0 {
            let rm = Rm::Reg(register(RegClass::Int, STACK_POINTER));
            self.row(&Inst { rm, imm: i64::from(by), ..Inst::new(Op::AddImm, Len::X) });
        }
    }

    fn block(&mut self, block: Block) {
        let data = &self.code.blocks[block.index()];
        if data.is_hot_header {
            self.align(LOOP_ALIGNMENT);
        }
        self.places[block.index()] = self.bytes.len();
        if self.is_empty(block) {
            return;
        }
        if let Some(text) = &mut self.text {
            text.push_str(&format!("block{}:\n", block.index()));
        }
        let output = self.output;
        for item in output.block_insts_and_edits(self.code, block) {
            match item {
                InstOrEdit::Edit(&Edit::Move { from, to }) => {
                    if data.hot && from.is_stack() != to.is_stack() {
                        self.spills += 1;
                    }
                    self.transfer(from, to);
                }
                InstOrEdit::Inst(inst) => {
                    let allocs = output.inst_allocs(inst);
                    self.inst(block, &self.code.kinds[inst.index()], allocs);
                }
            }
        }
    }

    fn inst(&mut self, block: Block, kind: &Kind, allocs: &[Allocation]) {
        let succs = self.code.block_succs(block);
        match kind {
            Kind::Entry => {}
            Kind::Row(inst) => {
                let named = |at: u8| allocs[usize::from(at)].as_reg().expect("a register");
                self.row(&inst.map(named));
            }
            Kind::Copy => self.transfer(allocs[1], allocs[0]),
            Kind::Jump => self.jump(block, succs[0]),
            Kind::Branch(cond) => self.branch(block, *cond, succs[0], succs[1]),
            Kind::Return => self.epilogue(),
        }
    }

    fn row(&mut self, inst: &Machine) {
        let mut inst = *inst;
        if let Rm::Mem(mem) = &mut inst.rm {
            mem.displacement += match mem.base {
                Base::Reg(_) | Base::Pool | Base::Frame => 0,
                Base::Arguments => self.frame + 8 * self.saved.len() as i32 + 8,
            };
        }
        self.note(|evex| print(&inst, evex));
        self.pool_uses.extend(encode(&inst, self.encoding.evex, &mut self.bytes));
    }

    /// A move between registers or between a register and the frame; flags stay.
    fn transfer(&mut self, from: Allocation, to: Allocation) {
        if from == to {
            return;
        }
        let slot = |of: Allocation| {
            let slot = of.as_stack().expect("a register or a slot of the frame");
            Rm::Mem(Mem::at(Base::Frame, 8 * slot.index() as i32))
        };
        let (op, reg, rm) = match (from.as_reg(), to.as_reg()) {
            (Some(from), Some(to)) => (moves(to.class()).0, to, Rm::Reg(from)),
            (None, Some(to)) => (moves(to.class()).1, to, slot(from)),
            (Some(from), None) => (moves(from.class()).2, from, slot(to)),
            (None, None) => unreachable!("the allocator moves through registers"),
        };
        let len = if self.encoding.evex { Len::Z } else { Len::Y };
        self.row(&Inst { reg: Some(reg), rm, ..Inst::new(op, len) });
    }

    fn is_empty(&self, block: Block) -> bool {
        let mut items = self.output.block_insts_and_edits(self.code, block);
        let is_jump = |item: InstOrEdit<'_>| matches!(item, InstOrEdit::Inst(i) if matches!(self.code.kinds[i.index()], Kind::Jump));
        items.next().is_some_and(is_jump)
    }

    /// Where a jump to a block ends.
    fn destination(&self, mut block: Block) -> Block {
        while self.is_empty(block) {
            block = self.code.block_succs(block)[0];
        }
        block
    }

    fn is_next(&self, block: Block, to: Block) -> bool {
        let later = (block.index() + 1..self.code.blocks.len()).map(Block::new);
        later.into_iter().find(|&b| !self.is_empty(b)) == Some(to)
    }

    fn jump(&mut self, block: Block, to: Block) {
        let to = self.destination(to);
        if !self.is_next(block, to) {
            self.bytes.push(0xe9);
            self.distance(to);
            self.note(|_| format!("jmp block{}", to.index()));
        }
    }

    fn branch(&mut self, block: Block, cond: Cond, then: Block, otherwise: Block) {
        let (then, otherwise) = (self.destination(then), self.destination(otherwise));
        let code = match cond {
            Cond::NotEqual => 5,
            Cond::Below => 2,
        };
        if self.is_next(block, then) {
            self.jump_if(code ^ 1, otherwise);
        } else {
            self.jump_if(code, then);
            self.jump(block, otherwise);
        }
    }

    fn jump_if(&mut self, code: u8, to: Block) {
        self.bytes.extend([0x0f, 0x80 | code]);
        self.distance(to);
        self.note(|_| format!("{} block{}", CONDITIONS[usize::from(code)], to.index()));
    }

    fn note(&mut self, line: impl FnOnce(bool) -> String) {
        let evex = self.encoding.evex;
        if let Some(text) = &mut self.text {
            text.push_str("  ");
            text.push_str(&line(evex));
            text.push('\n');
        }
    }

    fn distance(&mut self, to: Block) {
        self.bytes.extend([0; 4]);
        self.jumps.push((self.bytes.len(), to));
    }

    fn align(&mut self, to: usize) {
        let mut left = self.bytes.len().next_multiple_of(to) - self.bytes.len();
        while left > 0 {
            let long = NOPS[left.min(NOPS.len()) - 1];
            self.bytes.extend(long);
            left -= long.len();
        }
    }
}

/// Between registers, from memory, to memory.
fn moves(class: RegClass) -> (Op, Op, Op) {
    match class {
        RegClass::Int => (Op::Mov, Op::Mov, Op::MovStore),
        RegClass::Float => (Op::Movaps, Op::Movups, Op::MovupsStore),
        RegClass::Vector => (Op::Kmov, Op::Kmov, Op::KmovStore),
    }
}

/// Conditional jumps by their code.
const CONDITIONS: [&str; 16] = [
    "jo", "jno", "jb", "jae", "je", "jne", "jbe", "ja", "js", "jns", "jp", "jnp", "jl", "jge",
    "jle", "jg",
];

/// Instructions without effect of 1 to 8 bytes (Intel's manual, volume 2, `NOP`).
const NOPS: [&[u8]; 8] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];
