//! Dot products of words, as the trees that Cranelift folds into one instruction where the target
//! has it: their shape and the order of their operands matter, not only what they compute.

use super::Translator;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Value};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Arch;

impl Translator<'_> {
    /// `c` plus the products of the parts of `a` and `b`, all four lanes of 32 bits.
    pub(super) fn dot(&mut self, func: ScalarFn, [a, b, c]: [Value; 3]) -> Value {
        let sums = match func {
            ScalarFn::DotI16 => self.products_of_halves(a, b),
            ScalarFn::DotI8Narrow => self.narrow_products_of_bytes(a, b),
            func => self.products_of_bytes(func == ScalarFn::DotU8, a, b),
        };
        self.builder.ins().iadd(sums, c)
    }

    /// The same of scalars, in the lowest lane.
    pub(super) fn dot_scalar(&mut self, func: ScalarFn, args: [Value; 3]) -> Value {
        let args = args.map(|arg| self.builder.ins().scalar_to_vector(I32X4, arg));
        let lanes = self.dot(func, args);
        self.builder.ins().extractlane(lanes, 0)
    }

    fn products_of_halves(&mut self, a: Value, b: Value) -> Value {
        let [a, b] = [a, b].map(|word| self.reinterpret(I16X8, word));
        let low = [a, b].map(|v| self.builder.ins().swiden_low(v));
        let high = [a, b].map(|v| self.builder.ins().swiden_high(v));
        let [low, high] = [low, high].map(|[a, b]| self.builder.ins().imul(a, b));
        self.builder.ins().iadd_pairwise(low, high)
    }

    /// The same where sums of two products fit 16 bits.
    fn narrow_products_of_bytes(&mut self, a: Value, b: Value) -> Value {
        let [a, b] = [a, b].map(|word| self.reinterpret(I8X16, word));
        let low = [a, b].map(|v| self.builder.ins().swiden_low(v));
        let high = [a, b].map(|v| self.builder.ins().swiden_high(v));
        let [low, high] = [low, high].map(|[a, b]| self.builder.ins().imul(a, b));
        let pairs = self.builder.ins().iadd_pairwise(low, high);
        let low = self.builder.ins().swiden_low(pairs);
        let high = self.builder.ins().swiden_high(pairs);
        self.builder.ins().iadd_pairwise(low, high)
    }

    fn products_of_bytes(&mut self, unsigned: bool, a: Value, b: Value) -> Value {
        let [a, b] = [a, b].map(|word| self.reinterpret(I8X16, word));
        let ins = |t: &mut Self, high: bool, unsigned: bool, v: Value| match (high, unsigned) {
            (false, false) => t.builder.ins().swiden_low(v),
            (true, false) => t.builder.ins().swiden_high(v),
            (false, true) => t.builder.ins().uwiden_low(v),
            (true, true) => t.builder.ins().uwiden_high(v),
        };
        // x86-64 has its unsigned bytes second, AArch64 first.
        let unsigned_last = unsigned && self.target.arch == Arch::X86_64;
        let halves = [false, true].map(|high| {
            let (wide_a, wide_b) = (ins(self, high, unsigned, a), ins(self, high, false, b));
            let (x, y) = if unsigned_last { (wide_b, wide_a) } else { (wide_a, wide_b) };
            let products = self.builder.ins().imul(x, y);
            let low = self.builder.ins().swiden_low(products);
            let high = self.builder.ins().swiden_high(products);
            self.builder.ins().iadd_pairwise(low, high)
        });
        self.builder.ins().iadd_pairwise(halves[0], halves[1])
    }
}
