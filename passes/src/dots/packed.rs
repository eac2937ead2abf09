//! Sums of products of two values of single codes, by dot products of words: a kernel of its own
//! first packs the codes of one factor into words whose columns lie next to each other.
//!
//! `Σ (x − z)·(w − v) = Σ x·w − v·Σ x − z·Σ (w − v)`: the codes of zero leave the sum, and what they
//! contribute is a term of each row and one of each column, `terms`. Packed codes are signed; unsigned
//! ones and their code of zero are moved by 128. Sums of integers wrap, so that results keep their bits.

use super::before::{Making, To};
use super::site::{dot_product, has_room, instruction, is_consecutive, read_words};
use super::terms;
use crate::form_kernels::position;
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::build::{KernelBuilder, access, access_axes};
use edgecc_ir::kernel::{Access, AxisId, Index, Kernel, Outside, Role, Stage, Unit};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::scalar::{ExprBuilder, NodeId, ScalarExpr, ScalarNode};
use edgecc_ir::target::Target;
use edgecc_ir::tensor::Scalar;
use edgecc_ir::types::{ElemType, TensorType};

/// Codes of a word.
const CODES: usize = 4;
/// Rows that pay for packing a column, and columns that make a vector.
const ROWS: usize = 8;
const COLUMNS: usize = 8;

/// Whether products of this size of two values are faster when one of them is packed.
pub(crate) fn pays(rows: usize, columns: usize, steps: usize) -> bool {
    rows >= ROWS && columns >= COLUMNS && steps.is_multiple_of(CODES)
}

/// A stage that sums products of codes of two values.
struct Pair {
    stage: usize,
    dot: ScalarFn,
    /// Among the reads: the factor that is packed.
    packed: usize,
    /// The codes of zero of the reads.
    zeros: [i32; 2],
    /// The reduce axis.
    steps: AxisId,
    /// The axes that the packed factor follows, columns last.
    columns: Vec<AxisId>,
}

/// Makes a stage multiply words of two values; gives what makes the words and the terms.
pub(super) fn rewrite(kernel: &mut Kernel, number: usize, target: &Target) -> Vec<Making> {
    let pair = (0..2).find_map(|packed| Pair::of(kernel, number, packed, target));
    pair.map_or_else(Vec::new, |pair| pair.rewrite(kernel))
}

impl Pair {
    fn of(kernel: &Kernel, number: usize, packed: usize, target: &Target) -> Option<Pair> {
        let stage = &kernel.stages[number];
        let [f, g] = stage.factors()?;
        let zeros = [centred(&f)?, centred(&g)?];
        let (x, w) = (&stage.reads[1 - packed], &stage.reads[packed]);
        let mut reduced = kernel.reduce_axes(stage);
        let (steps, None) = (reduced.next()?, reduced.next()) else { return None };
        let dot = instruction(kernel.elem(x), ElemType::I8)?;
        let suits = target.dots.contains(&dot) && dot.products() == Some(CODES);
        let words = kernel.is_of_one_stage(steps)
            && is_consecutive(x, steps)
            && has_room(kernel, x, steps, CODES);
        if !suits || !words || !is_code(kernel, w) || ![x, w].iter().all(|r| is_plain(kernel, r)) {
            return None;
        }
        let columns = columns(kernel, stage, packed)?;
        let rows = kernel.parallel_axes(stage).filter(|a| !columns.contains(a));
        let rows = rows.map(|a| kernel.extent(a)).product();
        let width = kernel.extent(*columns.last()?);
        pays(rows, width, kernel.extent(steps)).then_some(Pair {
            stage: number,
            dot,
            packed,
            zeros,
            steps,
            columns,
        })
    }

    fn rewrite(&self, kernel: &mut Kernel) -> Vec<Making> {
        let count = kernel.extent(self.steps) as i32;
        let pack = self.pack(kernel);
        let stage = &kernel.stages[self.stage];
        let [x, w] = [1 - self.packed, self.packed].map(|read| stage.reads[read].operand);
        let moved = if kernel.operands[w].ty.elem == ElemType::U8 { 128 } else { 0 };
        let x_zero = self.zeros[1 - self.packed];
        let w_zero = self.zeros[self.packed].wrapping_sub(moved);
        self.read_words(kernel, &pack);
        let product = terms::Product::new(self.stage, self.steps, self.dot, self.packed);
        let offset = count.wrapping_mul(w_zero).wrapping_neg();
        let of_columns = terms::Scale { offset, factor: x_zero.wrapping_neg() };
        let of_rows = terms::Scale { offset: 0, factor: w_zero.wrapping_neg() };
        let mut makings = vec![Making { from: w, to: To::Same, kernel: pack }];
        makings.extend(product.term_of(kernel, (self.packed, w), of_columns));
        makings.extend(product.term_of(kernel, (1 - self.packed, x), of_rows));
        makings
    }

    /// Makes the stage sum dot products of what a kernel packs.
    fn read_words(&self, kernel: &mut Kernel, pack: &Kernel) {
        kernel.axes[self.steps].extent /= CODES;
        let stage = &mut kernel.stages[self.stage];
        stage.body = dot_product(self.dot, [1 - self.packed, self.packed].map(|n| n as u32));
        read_words(&mut stage.reads[1 - self.packed], self.steps, CODES);
        let packed = &mut stage.reads[self.packed];
        *packed = access_axes(packed.operand, &self.packed_axes());
        let written = pack.operands.values().last().expect("what is packed");
        kernel.operands[packed.operand].ty = written.ty.clone();
    }

    /// The axes of the dimensions of what is packed.
    fn packed_axes(&self) -> Vec<AxisId> {
        let (column, others) = self.columns.split_last().expect("columns");
        others.iter().copied().chain([self.steps, *column]).collect()
    }

    /// The kernel that packs: words of consecutive steps, neighbours of which are columns.
    fn pack(&self, kernel: &Kernel) -> Kernel {
        let read = &kernel.stages[self.stage].reads[self.packed];
        let from = &kernel.operands[read.operand].ty;
        let known = self.packed_axes();
        let extent = |&a: &AxisId| kernel.extent(a) / if a == self.steps { CODES } else { 1 };
        let dims: Vec<usize> = known.iter().map(extent).collect();
        let to = TensorType::new(ElemType::I32, &dims);
        let mut b = KernelBuilder::new("pack");
        let (source, result) = (b.read(from), b.write(&to));
        let axes = b.parallel(&to.shape);
        let code = |code: usize| {
            let moved = |a: AxisId| {
                let at = known.iter().position(|&k| k == a).expect("a factor's axis");
                match a == self.steps {
                    true => Affine::scaled(axes[at], CODES as i64).offset(code as i64),
                    false => Affine::var(axes[at]),
                }
            };
            let place = |index: &Index| index.affine().expect("a known place").substitute(moved);
            access(source, read.index.iter().map(place).collect())
        };
        let in_place =
            is_consecutive(read, self.steps) && has_room(kernel, read, self.steps, CODES);
        let (reads, body) = if in_place {
            (vec![Access { unit: Unit::Word, ..code(0) }], word_of_word(from.elem))
        } else {
            ((0..CODES).map(code).collect(), word_of_codes(from.elem))
        };
        b.map_stage(axes.clone(), reads, body, access_axes(result, &axes));
        b.finish()
    }
}

/// The code of zero of `(x) -> i32(x) − zero`.
fn centred(factor: &ScalarExpr) -> Option<i32> {
    match factor.nodes() {
        [ScalarNode::Param(0), ScalarNode::Cast(ElemType::I32, 0)] => Some(0),
        [
            ScalarNode::Param(0),
            ScalarNode::Cast(ElemType::I32, 0),
            ScalarNode::Const(zero),
            ScalarNode::Call(func, args),
        ] if args[..] == [1, 2] => match func {
            ScalarFn::Sub => Some(zero.as_i64() as i32),
            ScalarFn::Add => Some((zero.as_i64() as i32).wrapping_neg()),
            _ => None,
        },
        _ => None,
    }
}

fn is_code(kernel: &Kernel, access: &Access) -> bool {
    matches!(kernel.elem(access), ElemType::U8 | ElemType::I8)
}

/// Whether an access reads single elements, at places inside that are known now, of an operand of
/// which nothing else reads.
fn is_plain(kernel: &Kernel, access: &Access) -> bool {
    kernel.operands[access.operand].role == Role::Read
        && (access.outside, access.unit) == (Outside::Never, Unit::Element)
        && access.lookups().next().is_none()
        && kernel.is_read_once(access.operand)
}

/// The parallel axes that the factor to pack follows, the one along which results lie next to each
/// other, which the other factor does not follow, last.
fn columns(kernel: &Kernel, stage: &Stage, packed: usize) -> Option<Vec<AxisId>> {
    let follows = |read: usize, axis: AxisId| stage.reads[read].axes().any(|a| a == axis);
    let written = position(kernel, &stage.write)?;
    let is_column = |&a: &AxisId| written.coefficient(a) == 1 && !follows(1 - packed, a);
    let axes = || kernel.parallel_axes(stage).filter(|&a| follows(packed, a));
    let column = axes().find(is_column)?;
    Some(axes().filter(|&a| a != column).chain([column]).collect())
}

/// The word of a word of codes.
fn word_of_word(codes: ElemType) -> ScalarExpr {
    ScalarExpr::build(1, |b| {
        let word = b.param(0);
        signed(b, codes, word)
    })
}

/// The word of codes, the first of them in the lowest bits.
fn word_of_codes(codes: ElemType) -> ScalarExpr {
    ScalarExpr::build(CODES as u32, |b| {
        let first = part(b, codes, 0);
        let word = (1..CODES).fold(first, |word, at| {
            let part = part(b, codes, at);
            b.call(ScalarFn::Or, &[word, part])
        });
        signed(b, codes, word)
    })
}

/// A code in its place in a word.
fn part(b: &mut ExprBuilder, codes: ElemType, at: usize) -> NodeId {
    let code = b.param(at as u32);
    let mut wide = b.cast(ElemType::I32, code);
    if codes == ElemType::I8 && at + 1 < CODES {
        let byte = b.constant(Scalar::from_i64(ElemType::I32, 0xff));
        wide = b.call(ScalarFn::And, &[wide, byte]);
    }
    if at == 0 {
        return wide;
    }
    let by = b.constant(Scalar::from_i64(ElemType::I32, 8 * at as i64));
    b.call(ScalarFn::Shl, &[wide, by])
}

/// Each code of a word less 128, if it is unsigned.
fn signed(b: &mut ExprBuilder, codes: ElemType, word: NodeId) -> NodeId {
    if codes == ElemType::I8 {
        return word;
    }
    let highest = i64::from(0x8080_8080_u32 as i32);
    let highest = b.constant(Scalar::from_i64(ElemType::I32, highest));
    b.call(ScalarFn::Xor, &[word, highest])
}
