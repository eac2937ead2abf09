//! Virtual code: blocks of instructions over virtual registers, as the register allocator reads it.

use super::inst::{Inst, Len, Rm, tile};
use super::row::Op;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use regalloc2::{Block, InstRange, Operand, PReg, PRegSet, RegClass, VReg};

/// A block that may not be placed yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Label(u32);
entity_impl!(Label, "label");

/// When a branch is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cond {
    /// The last comparison was of different numbers, or the last result not zero.
    NotEqual,
    /// The first number was smaller, both unsigned.
    Below,
}

/// What an instruction does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Arguments arrive in registers.
    Entry,
    /// An instruction of the table; fields are positions among the operands.
    Row(Inst<u8>),
    /// The first operand becomes the second.
    Copy,
    /// To the only successor.
    Jump,
    /// To the first successor when the condition holds, else to the second.
    Branch(Cond),
    /// Back to the caller.
    Return,
}

/// A finished function.
#[derive(Debug)]
pub(super) struct Code {
    /// Instructions, block after block.
    pub(super) kinds: Vec<Kind>,
    /// Blocks in the order of the code.
    pub(super) blocks: Vec<BlockData>,
    /// Number of virtual registers.
    pub(super) vregs: usize,
    /// Bytes of a spilled vector.
    pub(super) vector_bytes: usize,
    operands: Vec<Operand>,
    /// Where each instruction's operands end.
    ends: Vec<usize>,
}

/// A block.
#[derive(Debug, Default)]
pub(super) struct BlockData {
    /// Whether it is in a loop without inner loops.
    pub(super) hot: bool,
    /// Whether it is the first of such a loop.
    pub(super) is_hot_header: bool,
    start: usize,
    end: usize,
    params: Vec<VReg>,
    succs: Vec<Block>,
    preds: Vec<Block>,
    /// Arguments for each successor.
    args: Vec<Vec<VReg>>,
}

/// Makes code from its beginning to its end.
#[derive(Debug)]
pub(super) struct CodeBuilder {
    code: Code,
    /// Successors of each block.
    exits: Vec<Vec<Label>>,
    labels: PrimaryMap<Label, ()>,
    places: SecondaryMap<Label, Option<Block>>,
    /// Whether the next block is in a loop without inner loops.
    pub(super) hot: bool,
}

impl CodeBuilder {
    /// Code without blocks.
    pub(super) fn new(vector_bytes: usize) -> CodeBuilder {
        let code = Code {
            kinds: Vec::new(),
            blocks: Vec::new(),
            vregs: 0,
            vector_bytes,
            operands: Vec::new(),
            ends: Vec::new(),
        };
        CodeBuilder {
            code,
            exits: Vec::new(),
            labels: PrimaryMap::new(),
            places: SecondaryMap::new(),
            hot: false,
        }
    }

    /// A new virtual register.
    pub(super) fn vreg(&mut self, class: RegClass) -> VReg {
        self.code.vregs += 1;
        VReg::new(self.code.vregs - 1, class)
    }

    /// A new label.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(())
    }

    /// Places a block here.
    pub(super) fn start(&mut self, label: Label, params: Vec<VReg>) {
        self.places[label] = Some(Block::new(self.code.blocks.len()));
        let start = self.code.kinds.len();
        self.code.blocks.push(BlockData { hot: self.hot, start, params, ..BlockData::default() });
        self.exits.push(Vec::new());
    }

    /// Says that the block that was started last begins a loop without inner loops.
    pub(super) fn mark_hot_header(&mut self) {
        self.code.blocks.last_mut().expect("a block was started").is_hot_header = true;
    }

    /// Adds an instruction.
    pub(super) fn push(&mut self, kind: Kind, operands: &[Operand]) {
        self.code.kinds.push(kind);
        self.code.operands.extend_from_slice(operands);
        self.code.ends.push(self.code.operands.len());
    }

    /// Adds an instruction of the table.
    pub(super) fn add(&mut self, draft: &Draft) {
        self.push(Kind::Row(draft.inst), &draft.operands);
    }

    /// Ends the block with a jump.
    pub(super) fn jump(&mut self, to: Label, args: Vec<VReg>) {
        self.end(Kind::Jump, vec![to], vec![args]);
    }

    /// Ends the block with a branch to blocks without parameters.
    pub(super) fn branch(&mut self, cond: Cond, then: Label, otherwise: Label) {
        self.end(Kind::Branch(cond), vec![then, otherwise], vec![Vec::new(), Vec::new()]);
    }

    /// Ends the function.
    pub(super) fn finish(mut self) -> Code {
        self.end(Kind::Return, Vec::new(), Vec::new());
        for (from, exits) in self.exits.iter().enumerate() {
            for &label in exits {
                let to = self.places[label].expect("every label is placed");
                self.code.blocks[from].succs.push(to);
                self.code.blocks[to.index()].preds.push(Block::new(from));
            }
        }
        self.code
    }

    fn end(&mut self, kind: Kind, exits: Vec<Label>, args: Vec<Vec<VReg>>) {
        self.push(kind, &[]);
        *self.exits.last_mut().expect("a block was started") = exits;
        let block = self.code.blocks.last_mut().expect("a block was started");
        block.args = args;
        block.end = self.code.kinds.len();
    }
}

/// An instruction of the table under construction.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) inst: Inst<u8>,
    operands: Vec<Operand>,
}

impl Draft {
    /// An instruction without fields.
    pub(super) fn new(op: Op, len: Len) -> Draft {
        Draft { inst: Inst::new(op, len), operands: Vec::with_capacity(4) }
    }

    /// The `reg` field is the result.
    pub(super) fn def(mut self, to: VReg) -> Draft {
        self.inst.reg = Some(self.operand(Operand::reg_def(to)));
        self
    }

    /// The `reg` field is the result and starts as `from`.
    pub(super) fn tied(mut self, to: VReg, from: VReg) -> Draft {
        let at = self.operands.len();
        self.inst.reg = Some(self.operand(Operand::reg_reuse_def(to, at + 1)));
        self.operand(Operand::reg_use(from));
        self
    }

    /// The `reg` field is the result, in the register of `from`, which the `vvvv` field reads.
    pub(super) fn in_place(mut self, to: VReg, from: VReg) -> Draft {
        let at = self.operands.len();
        self.inst.reg = Some(self.operand(Operand::reg_reuse_def(to, at + 1)));
        self.inst.vvvv = Some(self.operand(Operand::reg_use(from)));
        self
    }

    /// The `rm` field is the result and starts as `from`.
    pub(super) fn tied_rm(mut self, to: VReg, from: VReg) -> Draft {
        let at = self.operands.len();
        self.inst.rm = Rm::Reg(self.operand(Operand::reg_reuse_def(to, at + 1)));
        self.operand(Operand::reg_use(from));
        self
    }

    /// The `vvvv` field is the result.
    pub(super) fn def_vvvv(mut self, to: VReg) -> Draft {
        self.inst.vvvv = Some(self.operand(Operand::reg_def(to)));
        self
    }

    /// A machine register that is read without a field.
    pub(super) fn fixed(mut self, from: VReg, number: usize) -> Draft {
        let register = PReg::new(number, RegClass::Int);
        self.operand(Operand::reg_fixed_use(from, register));
        self
    }

    /// A machine register that is written without a field.
    pub(super) fn fixed_def(mut self, to: VReg, number: usize) -> Draft {
        let register = PReg::new(number, RegClass::Int);
        self.operand(Operand::reg_fixed_def(to, register));
        self
    }

    /// The `rm` field is the result.
    pub(super) fn def_rm(mut self, to: VReg) -> Draft {
        self.inst.rm = Rm::Reg(self.operand(Operand::reg_def(to)));
        self
    }

    /// The `reg` field is a matrix tile.
    pub(super) fn tile(mut self, number: u8) -> Draft {
        self.inst.reg = Some(self.operand(Operand::fixed_nonallocatable(tile(number))));
        self
    }

    /// The `rm` field is a matrix tile.
    pub(super) fn tile_rm(mut self, number: u8) -> Draft {
        self.inst.rm = Rm::Reg(self.operand(Operand::fixed_nonallocatable(tile(number))));
        self
    }

    /// The `vvvv` field is a matrix tile.
    pub(super) fn tile_vvvv(mut self, number: u8) -> Draft {
        self.inst.vvvv = Some(self.operand(Operand::fixed_nonallocatable(tile(number))));
        self
    }

    /// The `reg` field is read.
    pub(super) fn reg(mut self, from: VReg) -> Draft {
        self.inst.reg = Some(self.operand(Operand::reg_use(from)));
        self
    }

    /// The `vvvv` field is read.
    pub(super) fn vvvv(mut self, from: VReg) -> Draft {
        self.inst.vvvv = Some(self.operand(Operand::reg_use(from)));
        self
    }

    /// The `rm` field is read, or an address.
    pub(super) fn rm(mut self, rm: Rm<VReg>) -> Draft {
        let mapped = rm.map(|from| self.operand(Operand::reg_use(from)));
        self.inst.rm = mapped;
        self
    }

    /// The mask field is read.
    pub(super) fn mask(mut self, from: VReg) -> Draft {
        self.inst.mask = Some(self.operand(Operand::reg_use(from)));
        self
    }

    /// Lanes outside the mask become zero.
    pub(super) fn zeroing(mut self) -> Draft {
        self.inst.zeroing = true;
        self
    }

    /// The immediate.
    pub(super) fn imm(mut self, imm: i64) -> Draft {
        self.inst.imm = imm;
        self
    }

    /// The `reg` field is the result, whose old content the other two name without reading it.
    pub(super) fn cleared(mut self, to: VReg) -> Draft {
        let at = self.operand(Operand::reg_def(to));
        (self.inst.reg, self.inst.vvvv, self.inst.rm) = (Some(at), Some(at), Rm::Reg(at));
        self
    }

    fn operand(&mut self, operand: Operand) -> u8 {
        self.operands.push(operand);
        (self.operands.len() - 1) as u8
    }
}

impl regalloc2::Function for Code {
    fn num_insts(&self) -> usize {
        self.kinds.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let block = &self.blocks[block.index()];
        let [start, end] = [block.start, block.end].map(regalloc2::Inst::new);
        InstRange::new(start, end)
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].succs
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].preds
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.blocks[block.index()].params
    }

    fn is_ret(&self, inst: regalloc2::Inst) -> bool {
        matches!(self.kinds[inst.index()], Kind::Return)
    }

    fn is_branch(&self, inst: regalloc2::Inst) -> bool {
        matches!(self.kinds[inst.index()], Kind::Jump | Kind::Branch(_))
    }

    fn branch_blockparams(&self, block: Block, _: regalloc2::Inst, succ: usize) -> &[VReg] {
        &self.blocks[block.index()].args[succ]
    }

    fn inst_operands(&self, inst: regalloc2::Inst) -> &[Operand] {
        let start = inst.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.operands[start..self.ends[inst.index()]]
    }

    fn inst_clobbers(&self, _: regalloc2::Inst) -> PRegSet {
        PRegSet::empty()
    }

    fn num_vregs(&self) -> usize {
        self.vregs
    }

    fn spillslot_size(&self, class: RegClass) -> usize {
        match class {
            RegClass::Float => self.vector_bytes / 8,
            RegClass::Int | RegClass::Vector => 1,
        }
    }
}
