//! `LoopFn` → CLIF, mechanically: one CLIF function per loop function.
//!
//! A function takes one pointer per parameter and returns nothing. A vector value of fewer than 128
//! bits lives in the low lanes of a 128-bit register; what the other lanes hold means nothing. A
//! `bool` vector is a mask: lanes of all ones or all zeros, as wide as those it was compared from.
//! A `bool` scalar is an `i8` of 0 or 1, an `f16` scalar an `i16` with its bits.

mod cast;
mod codes;
mod dot;
mod expr;
mod half;
mod legal;
mod lookup;
mod memory;
mod scalar;
mod stmt;
mod types;
mod vector;
mod words;

pub(crate) use legal::check;

use crate::address::{AddressPlan, PointerId};
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, Signature, UserFuncName, Value, types as clif,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use edgecc_ir::loops::{Expr, IndexId, LoopFn, ParamId, VType, ValueId};
use edgecc_ir::target::Target;

/// The signature of a loop function with this many parameters.
pub(crate) fn signature(params: usize, call_conv: CallConv) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.resize(params, AbiParam::new(clif::I64));
    signature
}

/// Translates a function that `check` accepts.
pub(crate) fn translate(
    func: &LoopFn,
    target: &Target,
    config: TargetFrontendConfig,
    scratch: &mut FunctionBuilderContext,
) -> Function {
    let signature = signature(func.params.len(), config.default_call_conv);
    let mut clif = Function::with_name_signature(UserFuncName::default(), signature);
    let mut translator = Translator {
        builder: FunctionBuilder::new(&mut clif, scratch),
        func,
        target,
        plan: AddressPlan::of(func, target),
        values: SecondaryMap::new(),
        exprs: SecondaryMap::new(),
        pointers: SecondaryMap::new(),
        indices: SecondaryMap::new(),
        waiting: Vec::new(),
    };
    translator.function();
    translator.builder.seal_all_blocks();
    translator.builder.finalize(config);
    clif
}

/// The state of one translation.
struct Translator<'a> {
    builder: FunctionBuilder<'a>,
    func: &'a LoopFn,
    target: &'a Target,
    plan: AddressPlan,
    values: SecondaryMap<ValueId, PackedOption<Value>>,
    /// How each `Let` value was defined.
    exprs: SecondaryMap<ValueId, Option<&'a Expr>>,
    pointers: SecondaryMap<PointerId, PackedOption<Value>>,
    /// Computed indices, and loop indices that guards or values read.
    indices: SecondaryMap<IndexId, PackedOption<Value>>,
    /// Stores of codes that are made with the next ones.
    waiting: Vec<codes::Waiting<'a>>,
}

impl<'a> Translator<'a> {
    fn function(&mut self) {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        let params = self.builder.block_params(entry).to_vec();
        for pointer in self.plan.fixed.clone() {
            let param: ParamId = self.plan.pointers[pointer].param;
            let start = params[param.as_u32() as usize];
            self.start_pointer(pointer, Some(start));
        }
        let func = self.func;
        self.block(&func.body);
        self.builder.ins().return_(&[]);
    }

    /// Defines a pointer as its parent plus its offset; `start` stands for a missing parent.
    fn start_pointer(&mut self, pointer: PointerId, start: Option<Value>) {
        let parent = self.plan.parents[pointer].expand().and_then(|p| self.pointers[p].expand());
        let parent = parent.or(start).expect("a parent is placed before its children");
        let value = self.offset(parent, self.plan.pointers[pointer].offset);
        self.pointers[pointer] = value.into();
    }

    fn offset(&mut self, value: Value, bytes: i64) -> Value {
        match bytes {
            0 => value,
            _ => self.builder.ins().iadd_imm_s(value, bytes),
        }
    }

    fn value(&self, value: ValueId) -> Value {
        self.values[value].expect("L1: values are defined before their uses")
    }

    fn ty(&self, value: ValueId) -> VType {
        self.func.values[value]
    }

    fn clif_type(&self, value: Value) -> clif::Type {
        self.builder.func.dfg.value_type(value)
    }
}
