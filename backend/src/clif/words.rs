//! Words of codes from their parts: `x0 | x1 << 8 | x2 << 16 | x3 << 24`, where vectors of bytes are
//! interleaved by one instruction.

use super::Translator;
use cranelift_codegen::ir::types::{I8X16, I32X4};
use cranelift_codegen::ir::{InstBuilder, Value};
use edgecc_ir::loops::{Expr, VType, ValueId};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Arch;
use edgecc_ir::types::ElemType;

/// Lanes of a vector of words, and bytes of a word.
const LANES: u8 = 4;

impl Translator<'_> {
    /// The words that this function makes of codes; `None` where it does something else.
    pub(super) fn word_of_codes(&mut self, func: ScalarFn, args: &[ValueId]) -> Option<Value> {
        if func != ScalarFn::Or || self.target.arch != Arch::Aarch64 {
            return None;
        }
        let mut parts = [None; LANES as usize];
        args.iter().try_for_each(|&arg| self.find_parts(arg, &mut parts))?;
        let zero = self.zero(I8X16);
        let bytes = parts.map(|part| part.map_or(zero, |part| self.value(part)));
        let low = self.interleave(bytes[0], bytes[1], 1);
        let high = match (parts[2], parts[3]) {
            (None, None) => zero,
            (Some(_), None) => {
                let wide = self.builder.ins().uwiden_low(bytes[2]);
                self.reinterpret(I8X16, wide)
            }
            _ => self.interleave(bytes[2], bytes[3], 1),
        };
        let words = self.interleave(low, high, 2);
        Some(self.reinterpret(I32X4, words))
    }

    /// Finds the code in each place of a word; `None` if a value is no such word.
    fn find_parts(
        &self,
        value: ValueId,
        parts: &mut [Option<ValueId>; LANES as usize],
    ) -> Option<()> {
        match self.exprs[value]? {
            Expr::Apply(ScalarFn::Or, args) => {
                args.iter().try_for_each(|&arg| self.find_parts(arg, parts))
            }
            Expr::Apply(ScalarFn::Shl, args) => {
                let Expr::Const(by) = self.exprs[args[1]]? else { return None };
                let place = usize::try_from(by.as_i64()).ok().filter(|by| by.is_multiple_of(8))?;
                self.find_part(args[0], parts.get_mut(place / 8)?)
            }
            _ => self.find_part(value, &mut parts[0]),
        }
    }

    fn find_part(&self, value: ValueId, part: &mut Option<ValueId>) -> Option<()> {
        let Expr::Cast(code) = self.exprs[value]? else { return None };
        let is_word = self.ty(value) == VType { elem: ElemType::I32, lanes: LANES };
        let is_code = self.ty(*code) == VType { elem: ElemType::U8, lanes: LANES };
        (is_word && is_code && part.is_none()).then(|| *part = Some(*code))
    }

    /// The lower halves of two vectors, `width` bytes of the one and of the other in turn.
    fn interleave(&mut self, a: Value, b: Value, width: u8) -> Value {
        let byte = |at: u8| at / (2 * width) * width + at % width + at / width % 2 * 16;
        let bytes: Vec<u8> = (0..16).map(byte).collect();
        self.shuffle_two(a, b, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{program, run};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Param, ParamAccess, VType};
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn words_hold_their_parts_in_order() {
        for count in 2..=4 {
            let mut b = LoopBuilder::new("k0");
            let param = |elem, access| Param { ty: TensorType::new(elem, &[16]), access };
            let x = b.param(param(ElemType::U8, ParamAccess::Read));
            let y = b.param(param(ElemType::I32, ParamAccess::Write));
            let part = |b: &mut LoopBuilder, n: i64| {
                let codes = VType { elem: ElemType::U8, lanes: 4 };
                let code = b.load(codes, x, vec![Affine::constant(4 * n)], 4);
                let wide = b.cast(ElemType::I32, code);
                let by = b.constant(Scalar::from_i64(ElemType::I32, 8 * n), 4);
                if n == 0 { wide } else { b.apply(ScalarFn::Shl, &[wide, by]) }
            };
            let first = part(&mut b, 0);
            let word = (1..count).fold(first, |word, n| {
                let part = part(&mut b, n);
                b.apply(ScalarFn::Or, &[word, part])
            });
            b.store(y, vec![Affine::constant(0)], word, 4);
            let codes = |i| Scalar::from_i64(ElemType::U8, (i as i64 * 41 + 130) % 256);
            let input = Tensor::from_fn(TensorType::new(ElemType::U8, &[16]), codes);
            let code = |n: usize, lane: usize| codes(4 * n + lane).as_i64() << (8 * n);
            let Some(outputs) = run(&program(b.finish()), std::slice::from_ref(&input)) else {
                continue;
            };
            for lane in 0..4 {
                let word: i64 = (0..count as usize).map(|n| code(n, lane)).sum();
                assert_eq!(outputs[0].get(lane).as_i64(), i64::from(word as i32));
            }
        }
    }
}
