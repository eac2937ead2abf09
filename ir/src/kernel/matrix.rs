//! Stages whose sums of dot products matrix tiles can make.

use super::schedule::Schedule;
use super::{Access, AxisId, Kernel, Outside, Role, Stage, Unit};
use crate::loops::matrix::{MOST_SUMS, TILE_ROWS, TILE_WORDS};
use crate::scalar::ScalarNode;
use crate::scalar::func::ScalarFn;
use crate::types::ElemType;

/// Codes of a word.
const CODES: i64 = 4;

/// A stage that sums dot products of words, which follow the columns, with words of codes, which
/// follow the rows.
#[derive(Clone, Debug)]
pub struct MatrixStage<'k> {
    /// Words of codes of 8 bits.
    pub codes: &'k Access,
    /// Words.
    pub words: &'k Access,
    /// What multiplies two words.
    pub dot: ScalarFn,
    /// The steps of the sum, outermost first, by the axis that moves with them: axes whose steps
    /// follow each other in both factors are one. Axes without one stand still.
    pub steps: Vec<(AxisId, usize)>,
}

impl<'k> MatrixStage<'k> {
    /// Whether and how a stage's sums are made in tiles, with rows along an axis and columns along
    /// another one, which is that of the vectors: there the words lie next to each other, or are
    /// constant and will be packed so.
    #[must_use]
    pub fn of(
        kernel: &'k Kernel,
        stage: &'k Stage,
        [row, column]: [AxisId; 2],
    ) -> Option<MatrixStage<'k>> {
        let (dot, [codes, words]) = factors(stage)?;
        let reduce = stage.reduce.as_ref()?;
        let sums = reduce.func == ScalarFn::Add && !reduce.init.is_true();
        let apart = !kernel.rows.contains(&row) && !kernel.rows.contains(&column);
        let plain = |read: &Access| {
            read.outside == Outside::Never
                && read.lookups().next().is_none()
                && kernel.operands[read.operand].role != Role::Local
        };
        let kinds = codes.unit == Unit::Word
            && matches!(kernel.operands[codes.operand].ty.elem, ElemType::U8 | ElemType::I8)
            && (words.unit, kernel.elem(words)) == (Unit::Element, ElemType::I32);
        let follows = |read: &Access, axis| read.index.iter().any(|i| i.follows(axis));
        let roles = follows(codes, row)
            && follows(words, column)
            && !follows(codes, column)
            && !follows(words, row);
        if !(apart && sums && kinds && roles && plain(codes) && plain(words)) {
            return None;
        }
        let packed = kernel.operands[words.operand].role == Role::Const;
        let consecutive = packed
            || (kernel.stride(words, column) == Some(1)
                && kernel.extent(column).is_multiple_of(TILE_WORDS));
        let mut found = MatrixStage { codes, words, dot, steps: Vec::new() };
        found.steps = found.joined(kernel, stage, packed)?;
        let last = found.steps.last().map_or(Some(CODES), |s| kernel.stride(codes, s.0));
        (consecutive && last == Some(CODES)).then_some(found)
    }

    /// The reduce axes of more than one point, joined where that is possible. Packed words are in
    /// the order of the steps.
    fn joined(&self, kernel: &Kernel, stage: &Stage, packed: bool) -> Option<Vec<(AxisId, usize)>> {
        let mut steps: Vec<(AxisId, usize)> = Vec::new();
        for axis in kernel.reduce_axes(stage).filter(|&a| kernel.extent(a) > 1) {
            let extent = kernel.extent(axis);
            let [codes, words] = [self.codes, self.words].map(|read| kernel.stride(read, axis));
            let (codes, words) = (codes?, words?);
            let joins = |&(outer, _): &(AxisId, usize)| {
                let run = |step: i64| Some(step * extent as i64);
                let in_order = packed && words != 0 && kernel.stride(self.words, outer) != Some(0);
                kernel.stride(self.codes, outer) == run(codes)
                    && (in_order || kernel.stride(self.words, outer) == run(words))
            };
            match steps.pop_if(|outer| joins(outer)) {
                Some((_, count)) => steps.push((axis, count * extent)),
                None => steps.push((axis, extent)),
            }
        }
        Some(steps)
    }

    /// Steps of the last axis, which one row of codes holds next to each other.
    #[must_use]
    pub fn run(&self) -> usize {
        self.steps.last().map_or(1, |s| s.1)
    }

    /// How often there is such a run.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.steps.iter().map(|s| s.1).product::<usize>() / self.run()
    }
}

/// The rows of a stage's tiles and the columns' axis, where a schedule asks for matrix tiles.
#[must_use]
pub fn tiles(kernel: &Kernel, stage: &Stage, schedule: &Schedule) -> Option<([AxisId; 2], usize)> {
    let &(row, rows) = schedule.matrix.iter().find(|(axis, _)| stage.axes.contains(axis))?;
    let mut columns = kernel.parallel_axes(stage).filter(|&a| schedule.lanes_of(a) > 1);
    Some(([row, columns.next()?], rows as usize))
}

/// Whether the sums of all stages for which a schedule asks for matrix tiles can be made in some, of
/// the same shape.
#[must_use]
pub fn suits(kernel: &Kernel, schedule: &Schedule) -> bool {
    let stages = |axis| kernel.stages.iter().filter(move |s| s.axes.contains(&axis));
    let is_used = |&(axis, _): &(AxisId, u32)| stages(axis).next().is_some();
    let all = schedule.matrix.iter().flat_map(|&(axis, _)| stages(axis));
    let shapes: Option<Vec<[usize; 2]>> = all.map(|s| shape(kernel, s, schedule)).collect();
    let alike = shapes.is_some_and(|all| all.windows(2).all(|pair| pair[0] == pair[1]));
    schedule.matrix.iter().all(is_used) && alike
}

/// The rows of a stage's tiles and the steps of a run, if its sums can be made in the tiles that a
/// schedule asks for.
fn shape(kernel: &Kernel, stage: &Stage, schedule: &Schedule) -> Option<[usize; 2]> {
    let ([row, column], rows) = tiles(kernel, stage, schedule)?;
    let (height, width) = (schedule.tile_of(row) as usize, schedule.tile_of(column) as usize);
    let whole = (1..=TILE_ROWS).contains(&rows)
        && height.is_multiple_of(rows)
        && width.is_multiple_of(TILE_WORDS)
        && schedule.lanes_of(column) as usize == TILE_WORDS;
    let found = MatrixStage::of(kernel, stage, [row, column])?;
    let is_const = kernel.operands[found.words.operand].role == Role::Const;
    let is_packed =
        schedule.pack.iter().any(|p| (p.operand, p.axis) == (found.words.operand, column));
    let stand_still = |a: AxisId| a == row || a == column || schedule.tile_of(a) == 1;
    let fits = whole
        && height / rows * (width / TILE_WORDS) <= MOST_SUMS
        && is_const == is_packed
        && !schedule.peel.contains(&row)
        && kernel.parallel_axes(stage).all(stand_still);
    fits.then(|| [rows, found.run()])
}

/// The function of the products, the codes and the words.
fn factors(stage: &Stage) -> Option<(ScalarFn, [&Access; 2])> {
    let (dot, nodes) = stage.body.product()?;
    let [Some(codes), Some(words)] = nodes.map(|node| match stage.body.nodes()[node as usize] {
        ScalarNode::Param(param) => stage.reads.get(param as usize),
        ScalarNode::Const(_)
        | ScalarNode::Cast(..)
        | ScalarNode::Call(..)
        | ScalarNode::Lookup(..) => None,
    }) else {
        return None;
    };
    (dot.products() == Some(CODES as usize)).then_some((dot, [codes, words]))
}
