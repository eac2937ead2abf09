//! Sums of tiles that matrix tiles make: they go to memory of the function's own, and a loop over
//! the rows finishes them.
//!
//! Where the rows of an axis are no whole matrix tiles, the last ones start early and make some sums
//! again, which are not finished twice. Columns beyond the axis are sums of the zeros behind packed
//! words.

use super::Cx;
use super::finish::{self, Made};
use super::nest::{Env, Point};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::matrix::{MatrixStage, tiles};
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel};
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::loops::matrix::{MatrixSum, Place, TILE_WORDS};
use edgecc_ir::loops::{IndexId, Param, ParamAccess, ParamId, ValueId};
use edgecc_ir::types::{ElemType, TensorType};

/// Gives the function memory for the sums of the largest tile.
pub(super) fn declare(b: &mut LoopBuilder, kernel: &Kernel) -> Option<ParamId> {
    let schedule = kernel.schedule.as_ref()?;
    let sums = |stage| {
        let ([row, column], _) = tiles(kernel, stage, schedule)?;
        Some((schedule.tile_of(row) * schedule.tile_of(column)) as usize)
    };
    let largest = kernel.stages.iter().filter_map(sums).max()?;
    let ty = TensorType::new(ElemType::I32, &[largest]);
    Some(b.param(Param { ty, access: ParamAccess::ReadWrite }))
}

/// Makes and finishes the sums of a tile, if matrix tiles do; `then` gets each value with its place.
/// Returns whether it did.
pub(super) fn lower(
    b: &mut LoopBuilder,
    cx: &Cx<'_>,
    env: &Env,
    then: impl FnMut(&mut LoopBuilder, &Env, &Point, ValueId),
) -> bool {
    let Some((axes, rows)) = tiles(cx.kernel, cx.stage, &cx.schedule) else { return false };
    let memory = cx.matrix_sums.expect("sums in matrix tiles have memory");
    let stage = MatrixStage::of(cx.kernel, cx.stage, axes).expect("K5: the sums suit tiles");
    let [row, column] = axes;
    let block = Block {
        row,
        tile_rows: rows,
        rows: env.size(row).next_multiple_of(rows),
        columns: env.size(column).next_multiple_of(TILE_WORDS),
    };
    block.sums(b, cx, env, memory, &stage);
    let made = Made {
        memory,
        elem: ElemType::I32,
        first: (block.rows - env.size(row)) * block.columns,
        width: block.columns,
    };
    finish::finish_rows(b, cx, env, row, &made, &cx.stage.epilogue, then);
    true
}

/// Rows and columns of whole matrix tiles.
struct Block {
    row: AxisId,
    tile_rows: usize,
    rows: usize,
    columns: usize,
}

impl Block {
    fn sums(
        &self,
        b: &mut LoopBuilder,
        cx: &Cx<'_>,
        env: &Env,
        memory: ParamId,
        stage: &MatrixStage<'_>,
    ) {
        let row = b.own_index(self.rows);
        let steps: Vec<IndexId> = stage.steps.iter().map(|s| b.own_index(s.1)).collect();
        let first = env.at(self.row, &Point::default());
        let early = env.size(self.row) as i64 - self.rows as i64;
        let rows = first.offset(early).add_scaled(&Affine::var(row), 1);
        let still = cx.kernel.reduce_axes(cx.stage);
        let env = still.fold(env.clone(), |env, axis| env.bind(axis, Affine::constant(0), 1));
        let env = stage
            .steps
            .iter()
            .zip(&steps)
            .fold(env, |env, (&(axis, _), &step)| env.bind(axis, Affine::var(step), 1));
        let env = env.bind(self.row, rows, 1);
        b.matrix(MatrixSum {
            row,
            tile_rows: self.tile_rows as u8,
            steps: steps.into(),
            columns: self.columns as u8,
            dot: stage.dot,
            codes: place(cx, &env, stage.codes),
            words: place(cx, &env, stage.words),
            to: Place { param: memory, index: vec![Affine::scaled(row, self.columns as i64)] },
        });
    }
}

fn place(cx: &Cx<'_>, env: &Env, access: &Access) -> Place {
    let at = |axis| env.at(axis, &Point::default());
    match cx.packed(access) {
        Some((param, layout)) => Place { param, index: vec![layout.index(at)] },
        None => {
            let places = access.index.iter().filter_map(Index::affine);
            Place { param: cx.param(access), index: places.map(|i| i.substitute(at)).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dots::testing::{codes, contraction};
    use crate::dots::use_dots;
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::plan::{ALIGN, check, plan};
    use crate::schedule::parts::{Division, divide};
    use crate::schedule::{contraction as strategy, schedule};
    use edgecc_ir::graph::Graph;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{Conv, Layout, MatMul, Window, Zeros};
    use edgecc_ir::kernel::schedule::Schedule;
    use edgecc_ir::kernel::verify::verify;
    use edgecc_ir::kernel::{KernelId, Kernels};
    use edgecc_ir::loops::{self, interp};
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Cpu, Target};
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::ElemType;

    fn target() -> Target {
        Cpu::named("sapphirerapids").expect("a row").target()
    }

    /// All schedules with matrix tiles of kernels, each with its kernel.
    fn in_matrix_tiles(kernels: &Kernels) -> Vec<(KernelId, Schedule)> {
        let plans = kernels.kernels.iter().flat_map(|(id, kernel)| {
            strategy::plans(kernel, &target()).into_iter().map(move |plan| (id, plan))
        });
        plans.filter(|(_, plan)| !plan.matrix.is_empty()).collect()
    }

    /// Every block of matrix tiles gives what the evaluator does; says how many there were.
    fn check(graph: &Graph, inputs: &[Tensor]) -> usize {
        let expected = eval(graph, inputs);
        let mut kernels = form_kernels(graph);
        use_dots(&mut kernels, &target());
        let schedules = in_matrix_tiles(&kernels);
        for (id, chosen) in &schedules {
            for parts in [1, 3] {
                let mut kernels = kernels.clone();
                kernels.kernels[*id].schedule = Some(chosen.clone());
                schedule(&mut kernels, &target(), Class::Reassoc);
                divide(&mut kernels, &target(), Division { parts, grain: 1 });
                assert_eq!(run(&kernels, inputs), expected, "{chosen:?}");
            }
        }
        schedules.len()
    }

    /// What scheduled kernels compute, after everything was verified.
    fn run(kernels: &Kernels, inputs: &[Tensor]) -> Vec<Tensor> {
        assert_eq!(verify(kernels), Ok(()));
        let mut lowered = lower(kernels, &target());
        lowered.plan = Some(plan(&lowered, ALIGN));
        assert_eq!(check::check(&lowered), Ok(()));
        assert_eq!(loops::verify::verify(&lowered, Some(&target())), Ok(()));
        interp::run(&lowered, inputs)
    }

    fn product([rows, steps, columns]: [usize; 3]) -> usize {
        let x = codes(ElemType::U8, &[rows, steps]);
        check(&contraction(MatMul::plain(), &x, codes(ElemType::I8, &[steps, columns])), &[x])
    }

    #[test]
    fn products_end_at_any_row_step_and_column() {
        for rows in [2, 15, 16, 17, 33, 49, 70] {
            assert!(product([rows, 128, 32]) > 0, "{rows}");
        }
        for steps in [4, 60, 64, 68, 124, 160] {
            assert!(product([20, steps, 16]) > 0, "{steps}");
        }
        for columns in [8, 16, 17, 40, 100] {
            assert!(product([37, 72, columns]) > 0, "{columns}");
        }
    }

    /// Whether the plan of a product has matrix tiles.
    fn is_planned([rows, steps, columns]: [usize; 3]) -> bool {
        let x = codes(ElemType::U8, &[rows, steps]);
        let graph = contraction(MatMul::plain(), &x, codes(ElemType::I8, &[steps, columns]));
        let mut kernels = form_kernels(&graph);
        use_dots(&mut kernels, &target());
        schedule(&mut kernels, &target(), Class::Reassoc);
        let mut schedules = kernels.kernels.values().filter_map(|k| k.schedule.as_ref());
        schedules.any(|schedule| !schedule.matrix.is_empty())
    }

    #[test]
    fn long_sums_of_many_rows_are_planned_in_tiles() {
        assert!(is_planned([64, 256, 64]));
        assert!(!is_planned([64, 8, 64]));
        assert!(!is_planned([2, 256, 64]));
    }

    fn conv(image: [usize; 4], weights: [usize; 4], stride: u32, pad: u32) -> usize {
        let (strides, pads_begin) = (vec![stride; 2], vec![pad; 2]);
        let pads_end = pads_begin.clone();
        let window = Window { strides, pads_begin, pads_end, ..Window::unit(2) };
        let x = codes(ElemType::U8, &image);
        let op = Conv::plain(window, 1, Layout::ChannelsLast);
        check(&contraction(op, &x, codes(ElemType::I8, &weights)), &[x])
    }

    #[test]
    fn convolutions_step_over_rows_of_an_image() {
        assert!(conv([2, 5, 18, 24], [40, 24, 1, 1], 1, 0) > 0);
        assert!(conv([1, 9, 33, 16], [24, 16, 1, 1], 2, 0) > 0);
    }

    #[test]
    fn windows_join_what_lies_next_to_each_other() {
        assert!(conv([1, 7, 20, 16], [33, 16, 3, 3], 1, 0) > 0);
        assert!(conv([1, 9, 20, 32], [16, 32, 3, 3], 2, 0) > 0);
    }

    #[test]
    fn windows_at_borders_read_a_copy_with_pads() {
        assert!(conv([1, 17, 19, 64], [64, 64, 3, 3], 1, 1) > 0);
        assert!(conv([1, 16, 16, 64], [64, 64, 3, 3], 2, 1) > 0);
    }

    #[test]
    fn stages_of_blocks_sum_in_tiles_of_their_own() {
        let image = codes(ElemType::U8, &[1, 48, 48, 64]);
        let inputs = [image.clone(), image];
        let mut b = GraphBuilder::new("m");
        let [x, z] = [0, 1].map(|n| b.input("x", inputs[n].ty.clone()));
        let [v, w] = [ElemType::I8; 2].map(|elem| b.constant(codes(elem, &[64, 64, 1, 1])));
        let conv = Conv::plain(Window::unit(2), 1, Layout::ChannelsLast);
        let first = b.add(conv.clone(), &[x, v]).expect("a convolution");
        let epilogue = ScalarExpr::call(ScalarFn::Add);
        let y = b.add(Conv { epilogue, ..conv }, &[z, w, first]).expect("a convolution");
        b.output("y", y);
        let graph = b.finish();
        let mut kernels = form_kernels(&graph);
        use_dots(&mut kernels, &target());
        schedule(&mut kernels, &target(), Class::Reassoc);
        let mut both = kernels.kernels.values().filter(|kernel| kernel.stages.len() == 2);
        let schedule = both.next().and_then(|kernel| kernel.schedule.as_ref());
        assert_eq!(schedule.map(|schedule| schedule.matrix.len()), Some(2));
        divide(&mut kernels, &target(), Division { parts: 3, grain: 1 });
        assert_eq!(run(&kernels, &inputs), eval(&graph, &inputs));
    }

    #[test]
    fn products_of_two_values_multiply_packed_words() {
        for [rows, steps, columns] in [[40, 64, 48], [33, 36, 16]] {
            let dims = [[2, rows, steps], [2, steps, columns]];
            let inputs = [codes(ElemType::U8, &dims[0]), codes(ElemType::U8, &dims[1])];
            let mut b = GraphBuilder::new("m");
            let factors = [0, 1].map(|n| b.input("x", inputs[n].ty.clone()));
            let zeros = Zeros { x: 3, w: 120 };
            let y = b.add(MatMul { zeros, ..MatMul::plain() }, &factors).expect("a product");
            b.output("y", y);
            assert!(check(&b.finish(), &inputs) > 0);
        }
    }
}
