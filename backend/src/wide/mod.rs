//! `LoopFn` → x86-64 machine code with vectors of 256 and 512 bits, which Cranelift does not have.
//!
//! The statements become instructions over virtual registers (`select`), which `regalloc2` places,
//! and bytes (`emit`, `encode`). A function takes one pointer per parameter (System V) and returns
//! nothing. A vector lives in the low lanes of the shortest of xmm, ymm and zmm that holds it; what
//! the other lanes hold means nothing. With AVX-512 every vector instruction is EVEX, because VEX
//! does not reach registers 16 to 31; otherwise every one is VEX.
//!
//! To add an instruction: one row in `row.rs`; the tests decode what they compile. A function of
//! scalars: one arm in `select/float.rs`, `select/int.rs` and `select/scalar.rs`.

mod code;
mod emit;
mod encode;
mod inst;
mod legal;
mod pool;
mod print;
mod row;
mod select;
#[cfg(test)]
mod tests;

pub(crate) use emit::Compiled;
pub(crate) use legal::check;

use edgecc_ir::loops::walk::each_stmt;
use edgecc_ir::loops::{Expr, LoopFn, Stmt, VType};
use edgecc_ir::target::{Arch, Target};
use edgecc_ir::types::ElemType;
use emit::Encoding;

/// Alignment of a function: that of its constants and of its loops.
pub(crate) const ALIGNMENT: u64 = 64;

/// Whether a function is compiled here: one of its vectors is wider than 128 bits, codes in vectors are
/// looked up, for which wider ones are better, or it has sums in matrix tiles.
pub(crate) fn is_wide(func: &LoopFn, target: &Target) -> bool {
    let bits = |elem: ElemType, lanes: u8| match elem {
        ElemType::Bool => 0,
        elem => 8 * elem.bytes() * usize::from(lanes),
    };
    let is_wide = |ty: &VType| ty.lanes > 1 && bits(ty.elem, ty.lanes) > 128;
    let has_wide = || func.values.values().any(is_wide);
    let gains = || target.vector_bits > 128 && looks_up(func) || func.matrix_tiles().is_some();
    target.arch == Arch::X86_64 && (has_wide() || gains())
}

fn looks_up(func: &LoopFn) -> bool {
    let mut found = false;
    each_stmt(&func.body, &mut |stmt| {
        let Stmt::Let { value, expr: Expr::Lookup(..) } = stmt else { return };
        found |= func.values[*value].lanes > 1;
    });
    found
}

/// Compiles a function that `check` accepts. Fails when it needs more than registers give.
pub(crate) fn compile(func: &LoopFn, target: &Target) -> Result<Compiled, String> {
    let evex = has_avx512(target);
    let (code, pool) = select::select(func, target, evex);
    emit::assemble(&code, &pool, Encoding { evex })
}

/// The instructions of a function that `check` accepts, one in a line.
pub(crate) fn listing(func: &LoopFn, target: &Target) -> Result<String, String> {
    let evex = has_avx512(target);
    let (code, _) = select::select(func, target, evex);
    emit::list(&code, Encoding { evex })
}

fn has_avx512(target: &Target) -> bool {
    has(target, &["avx512f", "avx512bw", "avx512dq", "avx512vl"])
}

fn has(target: &Target, features: &[&str]) -> bool {
    features.iter().all(|name| target.features.iter().any(|f| f == name))
}
