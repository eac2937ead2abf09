//! What this machine can do at most, measured by the compiler's own code.

use super::clock::seconds_of;
use edgecc::Failure;
use edgecc::host::Host;
use edgecc_backend::EmitOptions;
use edgecc_ir::loops::Loops;
use edgecc_ir::loops::matrix::{TILE_ROWS, TILE_WORDS};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::Target;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::text::parse_loops;
use edgecc_ir::types::ElemType;
use edgecc_rt::hooks::Hooks;
use std::hint::black_box;

/// Independent sums: enough to hide the latency of two units, few enough for 16 registers.
const SUMS: usize = 12;

/// Iterations of a run of the loop, and runs; the fastest counts, since anything else that runs on
/// the machine can only slow it down.
const STEPS: usize = 100_000;
const ROUNDS: usize = 50;
/// Rows and columns of a block of four matrix tiles.
const BLOCK: usize = 32;

/// Memory that no cache of a core holds.
const MEMORY_BYTES: usize = 64 << 20;

/// Bytes that are copied in all to measure a rate, and in how many parts; the fastest counts.
const COPIED_BYTES: usize = 512 << 20;
const PARTS: usize = 8;

/// GFLOP/s of multiply-adds on f32 vectors of the target's width, all in registers, on one core.
pub(super) fn peak_gflops(target: &Target) -> Result<f64, Failure> {
    let seconds = fastest(target, &multiply_adds(target), Scalar::f32(0.5))?;
    Ok(2e-9 * (SUMS * STEPS) as f64 / seconds * f64::from(target.lanes(4)))
}

/// The same in GOP/s of the target's best dot product of codes, in matrix tiles where it has them;
/// `None` without one.
pub(super) fn peak_dot_gops(target: &Target) -> Result<Option<f64>, Failure> {
    let Some((&func, products)) = target.dots.first().and_then(|f| Some((f, f.products()?))) else {
        return Ok(None);
    };
    let ones = Scalar::from_i64(ElemType::I32, 0x0101_0101);
    let (program, words) = match target.matrix_tiles {
        true => (sums_in_tiles(func), BLOCK * BLOCK * TILE_WORDS),
        false => (dot_products(target, func), SUMS * target.lanes(4) as usize),
    };
    let seconds = fastest(target, &program, ones)?;
    Ok(Some(2e-9 * (words * STEPS * products) as f64 / seconds))
}

/// Seconds of the fastest run of a program whose inputs have these bits everywhere.
fn fastest(target: &Target, loops: &Loops, input: Scalar) -> Result<f64, Failure> {
    let options = EmitOptions { producer: String::new(), states: Vec::new() };
    let host = Host::load_code(loops, &edgecc_backend::emit(loops, target, &options)?)?;
    let ports = loops.inputs.iter();
    let bits = |elem| Scalar::from_bits(elem, input.bits());
    let inputs: Vec<Tensor> =
        ports.map(|port| Tensor::splat(&port.ty.shape, bits(port.ty.elem))).collect();
    let model = host.model()?;
    let mut buffers = host.buffers(&inputs)?;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        best = best.min(seconds_of(|| host.run_with(&model, &Hooks::NONE, &mut buffers))?);
    }
    Ok(best)
}

/// GB/s between memory and a core.
pub(super) fn memory_gb_per_s() -> f64 {
    gb_per_s(MEMORY_BYTES)
}

/// GB/s between a core and its second-level cache, half of which the copied bytes fill.
pub(super) fn cache_gb_per_s(target: &Target) -> f64 {
    gb_per_s(target.l2_bytes / 4)
}

/// GB/s of copying so many bytes, reads and writes counted.
fn gb_per_s(bytes: usize) -> f64 {
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    let times = (COPIED_BYTES / PARTS / bytes).max(1);
    let part = || {
        seconds_of::<()>(|| {
            for _ in 0..times {
                to.copy_from_slice(black_box(&from));
                black_box(&mut to);
            }
            Ok(())
        })
    };
    let parts = std::iter::repeat_with(part).take(PARTS).flatten();
    2e-9 * (times * bytes) as f64 / parts.fold(f64::MAX, f64::min)
}

/// A program that multiplies and adds in a loop without memory.
fn multiply_adds(target: &Target) -> Loops {
    parsed(&text(target.lanes(4), ElemType::F32, |n| match target.fma {
        true => format!("    %p{n}: V = fma %i{n}, %a, %b\n"),
        false => format!("    %m{n}: V = mul %i{n}, %a\n    %p{n}: V = add %m{n}, %b\n"),
    }))
}

/// A program that adds dot products in a loop without memory.
fn dot_products(target: &Target, func: ScalarFn) -> Loops {
    let name = func.info().mnemonic;
    let product = |n| format!("    %p{n}: V = {name} %a, %b, %i{n}\n");
    parsed(&text(target.lanes(4), ElemType::I32, product))
}

/// A program that sums dot products in four matrix tiles, which stay where they are while tiles of
/// words come from the nearest memory.
fn sums_in_tiles(func: ScalarFn) -> Loops {
    let (name, row) = (func.info().mnemonic, 4 * TILE_WORDS);
    let (x, w) = (format!("u8[{BLOCK},{row}]"), format!("i32[{TILE_WORDS},{BLOCK}]"));
    let y = format!("i32[{BLOCK},{BLOCK}]");
    parsed(&format!(
        "loops @peak (\"x\": {x}, \"w\": {w}) -> (\"y\": {y})\n\
         func @f0 \"peak\" (%x: {x}, %w: {w}) -> (%y: {y}) {{\n\
         \x20 matrix i in 0..{BLOCK} by {TILE_ROWS} sum j in 0..{STEPS} sum k in 0..{TILE_WORDS} {name}\n\
         \x20   %x[i, k*4], %w[k, 0] to %y[i, 0] columns {BLOCK}\n}}\n\
         program {{\n  %x = input 0 : {x}\n  %w = input 1 : {w}\n  %y = output 0 : {y}\n\
         \x20 call @f0 (%x, %w) -> (%y)\n}}\nplan arena 0 align 64 bound 0 {{\n}}\n"
    ))
}

fn parsed(text: &str) -> Loops {
    parse_loops(text).unwrap_or_else(|why| panic!("the loop is well formed: {why}\n{text}")).ir
}

/// The program in text form; the sums start at different values, so that they stay apart.
fn text(lanes: u32, elem: ElemType, product: impl Fn(usize) -> String) -> String {
    let each = |part: &dyn Fn(usize) -> String| (0..SUMS).map(part).collect::<Vec<_>>();
    let inits = each(&|n| format!("  %z{n}: V = const {n}\n")).concat();
    let carried = each(&|n| format!("%i{n}: V = %z{n}")).join(", ");
    let products = each(&product).concat();
    let next = each(&|n| format!("%r{n}: V = %p{n}")).join(", ");
    let stores = each(&|n| format!("  store %r{n}, %y[{n}, 0]\n")).concat();
    let (input, output) = (format!("{elem}[{lanes}]"), format!("{elem}[{SUMS},{lanes}]"));
    let text = format!(
        "loops @peak (\"x\": {input}) -> (\"y\": {output})\n\
         func @f0 \"peak\" (%x: {input}) -> (%y: {output}) {{\n\
         \x20 %a: V = load %x[0]\n  %b: V = add %a, %a\n{inits}\
         \x20 for i in 0..{STEPS} carry ({carried}) {{\n{products}  }} next ({next})\n{stores}}}\n\
         program {{\n  %x = input 0 : {input}\n  %y = output 0 : {output}\n\
         \x20 call @f0 (%x) -> (%y)\n}}\nplan arena 0 align 64 bound 0 {{\n}}\n"
    );
    text.replace(": V =", &format!(": {elem}x{lanes} ="))
}

#[cfg(test)]
mod tests {
    use super::{dot_products, multiply_adds, sums_in_tiles};
    use edgecc_ir::loops::verify::verify;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::CPUS;

    #[test]
    fn the_loops_are_legal_on_every_target() {
        for cpu in CPUS {
            let target = cpu.target();
            verify(&multiply_adds(&target), Some(&target)).expect(cpu.name);
            for &func in &target.dots {
                verify(&dot_products(&target, func), Some(&target)).expect(cpu.name);
                if target.matrix_tiles && func == ScalarFn::DotU8 {
                    verify(&sums_in_tiles(func), Some(&target)).expect(cpu.name);
                }
            }
        }
    }
}
