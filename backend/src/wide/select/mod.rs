//! Selection: statements become virtual instructions.
//!
//! Nothing is scheduled here, but three things have places of their own. A load is made where its
//! value is first used. A constant is loaded in front of the innermost loop that uses it and read
//! from memory elsewhere. What a loop carries out of it is copied behind it, so that the allocator
//! keeps the copies' uses out of the loop.

mod apply;
mod cast;
mod codes;
mod compare;
mod constant;
mod dot;
mod expr;
mod float;
mod index;
mod int;
mod lanes;
mod lookup;
mod mask;
mod matrix;
mod memory;
mod number;
mod pressure;
mod resize;
mod scalar;
mod stmt;

use super::code::{Code, CodeBuilder, Draft, Kind, Label};
use super::emit::ARGUMENTS;
use super::inst::{Base, Len, Mem, Rm};
use super::pool::Pool;
use super::row::Op;
use crate::address::{AddressPlan, PointerId};
use codes::{Codes, Waiting};
use constant::Literal;
use cranelift_entity::SecondaryMap;
use edgecc_ir::loops::walk::{each_stmt, map_uses};
use edgecc_ir::loops::{Expr, IndexId, LoopFn, ParamId, Stmt, VType, ValueId};
use edgecc_ir::target::Target;
use edgecc_ir::types::ElemType;
use regalloc2::{Operand, PReg, RegClass, VReg};
use std::collections::BTreeMap;

/// Virtual code and its constants.
pub(super) fn select(func: &LoopFn, target: &Target, evex: bool) -> (Code, Pool) {
    let mut selector = Selector {
        func,
        target,
        evex,
        plan: AddressPlan::of(func, target),
        code: CodeBuilder::new(if evex { 64 } else { 32 }),
        pool: Pool::default(),
        exprs: SecondaryMap::new(),
        reached: SecondaryMap::new(),
        uses: uses(func),
        values: SecondaryMap::new(),
        owners: SecondaryMap::new(),
        loops: 0,
        current_loop: 0,
        unsettled: Vec::new(),
        hoisted: Vec::new(),
        recent: Vec::new(),
        pointers: SecondaryMap::new(),
        indices: SecondaryMap::new(),
        mask_bytes: BTreeMap::new(),
        codes: SecondaryMap::new(),
        in_codes: SecondaryMap::new(),
        waiting: None,
    };
    selector.definitions();
    selector.function();
    (selector.code.finish(), selector.pool)
}

/// The state of one selection.
struct Selector<'a> {
    func: &'a LoopFn,
    target: &'a Target,
    /// Whether vectors take EVEX.
    evex: bool,
    plan: AddressPlan,
    code: CodeBuilder,
    pool: Pool,
    /// How each `Let` value is defined.
    exprs: SecondaryMap<ValueId, Option<&'a Expr>>,
    /// Whether a `Let` was reached, so that its value exists from here on.
    reached: SecondaryMap<ValueId, bool>,
    /// Uses of each value that were not selected yet.
    uses: SecondaryMap<ValueId, u32>,
    /// Registers of the values that were computed.
    values: SecondaryMap<ValueId, Option<VReg>>,
    /// The loop in which a value got its register.
    owners: SecondaryMap<ValueId, u32>,
    /// Number of loops so far.
    loops: u32,
    current_loop: u32,
    /// Loads that a store may change and that were not made yet.
    unsettled: Vec<ValueId>,
    /// Constants in registers for the whole of a loop.
    hoisted: Vec<(Literal, VReg)>,
    /// Constants in registers that this block loaded last.
    recent: Vec<(Literal, VReg)>,
    pointers: SecondaryMap<PointerId, Option<VReg>>,
    /// Computed indices, and loop indices that guards or values read.
    indices: SecondaryMap<IndexId, Option<VReg>>,
    /// Bytes of the lanes of masks in vector registers, by number of the register.
    mask_bytes: BTreeMap<usize, u8>,
    /// Stored values that are codes of numbers, and the values that only make such codes.
    codes: SecondaryMap<ValueId, Option<Codes<'a>>>,
    in_codes: SecondaryMap<ValueId, bool>,
    /// A store of codes that was not made yet.
    waiting: Option<Waiting<'a>>,
}

/// An operand: a value of the function, which may still wait for its first use, or a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arg {
    Value(ValueId),
    Reg(VReg),
}

fn uses(func: &LoopFn) -> SecondaryMap<ValueId, u32> {
    let mut uses = SecondaryMap::new();
    each_stmt(&func.body, &mut |stmt| {
        map_uses(&mut shallow(stmt), |value| {
            uses[value] += 1;
            value
        });
    });
    uses
}

/// The statement without its blocks.
fn shallow(stmt: &Stmt) -> Stmt {
    match stmt {
        Stmt::For { index, carried, .. } => {
            Stmt::For { index: *index, carried: carried.clone(), body: Vec::new() }
        }
        Stmt::If { guards, results, .. } => {
            Stmt::If { guards: guards.clone(), then: Vec::new(), results: results.clone() }
        }
        Stmt::Let { .. }
        | Stmt::Store { .. }
        | Stmt::Prefetch { .. }
        | Stmt::Matrix(_)
        | Stmt::Index { .. } => stmt.clone(),
    }
}

impl<'a> Selector<'a> {
    fn definitions(&mut self) {
        let func = self.func;
        each_stmt(&func.body, &mut |stmt| {
            if let Stmt::Let { value, expr } = stmt {
                self.exprs[*value] = Some(expr);
            }
        });
        if !self.evex {
            self.find_codes(&func.body);
        }
    }

    fn function(&mut self) {
        let entry = self.code.label();
        self.start(entry, Vec::new());
        self.arguments();
        self.configure_tiles();
        let func = self.func;
        self.block(&func.body);
        self.release_tiles();
    }

    /// Places a block here.
    fn start(&mut self, label: Label, params: Vec<VReg>) {
        self.recent.clear();
        self.code.start(label, params);
    }

    /// Binds the pointers without strides.
    fn arguments(&mut self) {
        let count = self.func.params.len();
        let registers: Vec<VReg> =
            (0..count.min(ARGUMENTS.len())).map(|_| self.code.vreg(RegClass::Int)).collect();
        let arrive = registers.iter().zip(ARGUMENTS);
        let operands: Vec<Operand> = arrive
            .map(|(&reg, number)| Operand::reg_fixed_def(reg, PReg::new(number, RegClass::Int)))
            .collect();
        self.code.push(Kind::Entry, &operands);
        for pointer in self.plan.fixed.clone() {
            let param: ParamId = self.plan.pointers[pointer].param;
            let at = param.as_u32() as usize;
            let start = match registers.get(at) {
                Some(&reg) => reg,
                None => self.argument_in_memory(at - ARGUMENTS.len()),
            };
            self.start_pointer(pointer, Some(start));
        }
    }

    fn argument_in_memory(&mut self, at: usize) -> VReg {
        let displacement = 8 * at as i32;
        let mem = Mem::at(Base::Arguments, displacement);
        self.unary_int(Op::Mov, Rm::Mem(mem))
    }

    /// Defines a pointer as its parent plus its offset; `start` stands for a missing parent.
    fn start_pointer(&mut self, pointer: PointerId, start: Option<VReg>) {
        let parent = self.plan.parents[pointer].expand().and_then(|p| self.pointers[p]);
        let parent = parent.or(start).expect("a parent is placed before its children");
        self.pointers[pointer] = Some(self.offset(parent, self.plan.pointers[pointer].offset));
    }

    /// The register of a value; it is computed when that has not happened yet.
    fn register(&mut self, value: ValueId) -> VReg {
        if let Some(reg) = self.values[value] {
            return reg;
        }
        if let Some(literal) = self.literal(value) {
            let reg = self.literal_register(literal);
            self.note_mask(reg, self.ty(value));
            return reg;
        }
        let expr = self.exprs[value].expect("L1: values are defined before their uses");
        let reg = self.expr(value, expr);
        self.define(value, reg);
        reg
    }

    fn define(&mut self, value: ValueId, reg: VReg) {
        self.values[value] = Some(reg);
        self.owners[value] = self.current_loop;
    }

    /// One use of a value, in a register.
    fn take(&mut self, value: ValueId) -> VReg {
        self.uses[value] -= 1;
        self.register(value)
    }

    /// An operand in a register.
    fn take_arg(&mut self, arg: Arg) -> VReg {
        match arg {
            Arg::Value(value) => self.take(value),
            Arg::Reg(reg) => reg,
        }
    }

    /// An operand of an instruction of this length, in memory where that is its only use.
    fn take_rm(&mut self, arg: Arg, op: Op, len: Len) -> Rm<VReg> {
        let value = match arg {
            Arg::Value(value) => value,
            Arg::Reg(reg) => return Rm::Reg(reg),
        };
        match self.in_memory(value, op, len) {
            Some(mem) => {
                self.uses[value] -= 1;
                Rm::Mem(mem)
            }
            None => Rm::Reg(self.take(value)),
        }
    }

    /// Whether an operand has no register yet, so that it may be read from memory.
    fn is_pending(&self, arg: Arg) -> bool {
        matches!(arg, Arg::Value(value) if self.values[value].is_none())
    }

    fn ty(&self, value: ValueId) -> VType {
        self.func.values[value]
    }

    /// A vector instruction of a result and one operand.
    fn unary(&mut self, op: Op, len: Len, from: Rm<VReg>) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, len).def(to).rm(from));
        to
    }

    /// An instruction of an integer result and one operand.
    fn unary_int(&mut self, op: Op, from: Rm<VReg>) -> VReg {
        let to = self.code.vreg(RegClass::Int);
        self.code.add(&Draft::new(op, Len::X).def(to).rm(from));
        to
    }

    /// A vector instruction of a result and two operands.
    fn binary(&mut self, op: Op, len: Len, a: VReg, b: Rm<VReg>) -> VReg {
        let to = self.code.vreg(RegClass::Float);
        self.code.add(&Draft::new(op, len).def(to).vvvv(a).rm(b));
        to
    }
}

/// The length of the registers that hold a type.
fn length(ty: VType) -> Len {
    Len::of(ty.elem.bytes() * usize::from(ty.lanes))
}

/// Whether values of a type are in vector or mask registers.
fn is_vector(ty: VType) -> bool {
    ty.lanes > 1 || is_float(ty.elem)
}

/// Whether scalars of a type are in vector registers.
fn is_float(elem: ElemType) -> bool {
    matches!(elem, ElemType::F32 | ElemType::F64)
}

/// 0 to 3 for elements of 1 to 8 bytes.
fn width(elem: ElemType) -> usize {
    elem.bytes().ilog2() as usize
}
