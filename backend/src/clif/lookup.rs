//! Lookups in tables of codes, 16 at a time: of each 16 entries by their own permutation of bytes.

use super::Translator;
use crate::lookup::{ENTRIES, steps};
use cranelift_codegen::ir::types::I8X16;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Value};
use edgecc_ir::loops::{VType, ValueId};
use edgecc_ir::scalar::table::Table;
use edgecc_ir::target::Arch;

impl Translator<'_> {
    /// What codes become.
    pub(super) fn lookup(&mut self, table: &Table, codes: ValueId) -> Value {
        let (value, ty) = (self.value(codes), self.ty(codes));
        if ty.lanes > 1 {
            return self.looked_up(table, value);
        }
        let vector = self.splat(value, VType { lanes: ENTRIES as u8, ..ty });
        let found = self.looked_up(table, vector);
        self.builder.ins().extractlane(found, 0)
    }

    /// What a vector of codes becomes.
    pub(super) fn looked_up(&mut self, table: &Table, codes: Value) -> Value {
        match self.target.arch {
            Arch::Aarch64 => self.by_zeros(table, codes),
            Arch::X86_64 => self.by_signs(table, codes),
        }
    }

    /// A permutation gives zero for what is not below 16: all entries of a table, or'ed.
    fn by_zeros(&mut self, table: &Table, codes: Value) -> Value {
        let sixteen = self.repeat(I8X16, ENTRIES as u64);
        let (mut distance, mut found) = (codes, None);
        for (n, entries) in table.codes().chunks_exact(ENTRIES).enumerate() {
            if n > 0 {
                distance = self.builder.ins().isub(distance, sixteen);
            }
            let entries = self.bytes(entries);
            let these = self.builder.ins().swizzle(entries, distance);
            found = Some(match found {
                None => these,
                Some(others) => self.builder.ins().bor(others, these),
            });
        }
        found.expect("a table has parts")
    }

    /// The steps of both halves of a table.
    fn by_signs(&mut self, table: &Table, codes: Value) -> Value {
        let (sixteen, sign) = (self.repeat(I8X16, ENTRIES as u64), self.repeat(I8X16, 0x80));
        let mut distances = [codes, self.builder.ins().bxor(codes, sign)];
        let mut found = None;
        for (n, step) in steps(table, distances.len()).iter().enumerate() {
            for (distance, entries) in distances.iter_mut().zip(step.chunks_exact(ENTRIES)) {
                if n > 0 {
                    *distance = self.builder.ins().uadd_sat(*distance, sixteen);
                }
                let entries = self.bytes(entries);
                let these = self.builder.ins().x86_pshufb(entries, *distance);
                found = Some(match found {
                    None => these,
                    Some(others) => self.builder.ins().bxor(others, these),
                });
            }
        }
        found.expect("a table has steps")
    }

    fn bytes(&mut self, bytes: &[u8]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(ConstantData::from(bytes));
        self.builder.ins().vconst(I8X16, constant)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{program, run_for};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{LoopFn, Param, ParamAccess, VType, interp};
    use edgecc_ir::scalar::table::{CODES, Table};
    use edgecc_ir::target::{Arch, Cpu, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    fn mapped(from: ElemType, to: ElemType, lanes: u8) -> LoopFn {
        let mut b = LoopBuilder::new("k0");
        let param = |elem, access| Param { ty: TensorType::new(elem, &[CODES]), access };
        let x = b.param(param(from, ParamAccess::Read));
        let y = b.param(param(to, ParamAccess::Write));
        b.for_each(CODES / usize::from(lanes), |b, i| {
            let at = vec![Affine::scaled(i, i64::from(lanes))];
            let codes = b.load(VType { elem: from, lanes }, x, at.clone(), lanes);
            let table = Table::new(to, |bits| bits.wrapping_mul(89) ^ bits >> 2);
            let found = b.lookup(table, codes);
            b.store(y, at, found, lanes);
        });
        b.finish()
    }

    #[test]
    fn every_code_is_looked_up() {
        let x86 = Cpu::named("x86-64-v2").expect("a row").target();
        for target in [x86, Target::default_for(Arch::Aarch64)] {
            for (from, to) in [(ElemType::U8, ElemType::I8), (ElemType::I8, ElemType::U8)] {
                for lanes in [1, 2, 4, 8, 16] {
                    let loops = program(mapped(from, to, lanes));
                    let ty = TensorType::new(from, &[CODES]);
                    let codes = [Tensor::from_fn(ty, |i| Scalar::from_bits(from, i as u64))];
                    let Some(found) = run_for(&loops, &codes, &target) else { continue };
                    assert_eq!(found, interp::run(&loops, &codes), "{lanes} lanes");
                }
            }
        }
    }
}
