//! L6: matrix sums are of whole tiles, of one shape in a function.

use crate::diag::Violation;
use crate::loops::matrix::{MOST_SUMS, MatrixSum, TILE_ROWS, TILE_WORDS, Tiles};
use crate::loops::walk::each_stmt;
use crate::loops::{LoopFn, Stmt};
use crate::types::ElemType;

/// Codes of a word.
const CODES: i64 = 4;

pub(super) fn check(func: &LoopFn) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut shape: Option<Tiles> = None;
    each_stmt(&func.body, &mut |stmt| {
        let Stmt::Matrix(sum) = stmt else { return };
        let mut reasons = reasons(func, sum);
        if *shape.get_or_insert(sum.tiles(func)) != sum.tiles(func) {
            reasons.push("the function has tiles of another shape".to_owned());
        }
        let at = || format!("{} {}", func.name, sum.to.param);
        found.extend(reasons.into_iter().map(|why| Violation::new("L6", at(), why)));
    });
    found
}

/// What is wrong with a sum that is well typed.
fn reasons(func: &LoopFn, sum: &MatrixSum) -> Vec<String> {
    let (rows, tile, columns) =
        (func.indices[sum.row], usize::from(sum.tile_rows), usize::from(sum.columns));
    let whole = (1..=TILE_ROWS).contains(&tile) && rows.is_multiple_of(tile);
    let whole = whole && columns > 0 && columns.is_multiple_of(TILE_WORDS);
    let mut found = Vec::new();
    if !whole {
        found.push(format!("{rows} rows by {tile} and {columns} columns are not whole tiles"));
    } else if rows / tile * (columns / TILE_WORDS) > MOST_SUMS {
        found.push(format!("{rows} rows by {tile} and {columns} columns are too many tiles"));
    }
    let [codes, words, to] = [&sum.codes, &sum.words, &sum.to]
        .map(|place| func.params[place.param].element(&place.index));
    let last = sum.steps.last().map_or(CODES, |&step| codes.coefficient(step));
    if last != CODES {
        found.push("the last steps of the codes are not consecutive words".to_owned());
    }
    let moves = |index| to.coefficient(index) != 0;
    if words.coefficient(sum.row) != 0 || sum.steps.iter().any(|&step| moves(step)) {
        found.push("the words move with the rows, or the sums with the steps".to_owned());
    }
    let apart = to.coefficient(sum.row);
    if rows > 1 && apart < columns as i64 {
        found.push("rows of sums are stored over each other".to_owned());
    }
    found
}

/// Why the types of a sum do not fit each other.
pub(super) fn mistyped(func: &LoopFn, sum: &MatrixSum) -> Option<String> {
    let elem = |param| func.params.get(param).map(|p| p.ty.elem);
    let codes = elem(sum.codes.param).is_some_and(|e| matches!(e, ElemType::U8 | ElemType::I8));
    let i32s = [sum.words.param, sum.to.param].iter().all(|&p| elem(p) == Some(ElemType::I32));
    let bytes = sum.dot.products() == Some(CODES as usize);
    (!codes || !i32s || !bytes)
        .then(|| "a matrix sum is of 8-bit codes and words of i32".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::loops::verify::verify_fn;
    use crate::target::Cpu;
    use crate::text::parse_loops;

    /// What is wrong with a sum over rows `i0`, steps `i1` and `i2` of words.
    fn violations(sum: &str) -> Vec<String> {
        let text = format!(
            "loops @m () -> () func @f0 \"f\" (%x: u8[32,192], %w: i32[48,32]) -> (%y: i32[32,32]) \
             {{ {sum} }} program {{}}"
        );
        let loops = parse_loops(&text).expect("the text parses").ir;
        let func = loops.funcs.values().next().expect("a function");
        let target = Cpu::named("sapphirerapids").expect("a row").target();
        let found = verify_fn(func, Some(&target)).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    const INDICES: &str = "matrix i0 in 0..32 by 16 sum i1 in 0..3 sum i2 in 0..16 dot_u8";

    #[test]
    fn a_sum_inside_its_buffers_is_sound() {
        let sum = "%x[i0, i1*64+i2*4], %w[i1*16+i2, 0] to %y[i0, 0] columns 32";
        assert_eq!(violations(&format!("{INDICES} {sum}")), [""; 0]);
    }

    #[test]
    fn l2_every_row_step_and_column_is_inside() {
        for (sum, found) in [
            ("%x[i0, i1*64+i2*4+1]", "L2 at f p0: elements 1 to 6144 of u8[32,192] are used"),
            ("%x[i0-1, i1*64+i2*4]", "L2 at f p0: elements -192 to 5951 of u8[32,192] are used"),
        ] {
            let rest = "%w[i1*16+i2, 0] to %y[i0, 0] columns 32";
            assert_eq!(violations(&format!("{INDICES} {sum}, {rest}")), [found]);
        }
        let sum = "%x[i0, i1*64+i2*4], %w[i1*16+i2, 16] to %y[i0, 0] columns 32";
        let found = "L2 at f p1: elements 16 to 1551 of i32[48,32] are used";
        assert_eq!(violations(&format!("{INDICES} {sum}")), [found]);
    }

    #[test]
    fn l6_tiles_are_whole_and_codes_are_words() {
        let sum = |indices: &str, codes: &str, columns: usize| {
            let rest = "%w[i1*16+i2, 0] to %y[i0, 0] columns";
            violations(&format!("{indices} %x[{codes}], {rest} {columns}"))
        };
        let codes = "i0, i1*64+i2*4";
        let three = INDICES.replace("by 16", "by 3");
        let found = "L6 at f p2: 32 rows by 3 and 32 columns are not whole tiles";
        assert_eq!(sum(&three, codes, 32), [found]);
        let found = "L6 at f p2: 32 rows by 16 and 24 columns are not whole tiles";
        assert_eq!(sum(INDICES, codes, 24), [found]);
        let found = "L6 at f p2: 32 rows by 4 and 32 columns are too many tiles";
        assert_eq!(sum(&INDICES.replace("by 16", "by 4"), codes, 32), [found]);
        let found = "L6 at f p2: the last steps of the codes are not consecutive words";
        assert_eq!(sum(INDICES, "i0, i1*64+i2*2", 32), [found]);
    }

    #[test]
    fn l6_a_function_has_tiles_of_one_shape() {
        let rest = "%w[i1*16+i2, 0] to %y[i0, 0] columns 16";
        let sum = format!("{INDICES} %x[i0, i1*64+i2*4], {rest}");
        let other = sum.replace("i0", "i3").replace("i1", "i4").replace("i2", "i5");
        assert_eq!(violations(&format!("{sum} {other}")), [""; 0]);
        let found = "L6 at f p2: the function has tiles of another shape";
        assert_eq!(violations(&format!("{sum} {}", other.replace("by 16", "by 8"))), [found]);
    }

    #[test]
    fn l4_tiles_need_the_instruction() {
        let indices = INDICES.replace("dot_u8", "dot_i8");
        let sum = "%x[i0, i1*64+i2*4], %w[i1*16+i2, 0] to %y[i0, 0] columns 32";
        let found = ["L4 at f p2: a matrix sum by dot_i8 is not legal"];
        assert_eq!(violations(&format!("{indices} {sum}")), found);
    }

    #[test]
    fn l1_indices_belong_to_one_sum() {
        let sum = "%x[i0, i1*64+i2*4], %w[i1*16+i2, 0] to %y[i0, 0] columns 32";
        let twice = format!("{INDICES} {sum} {INDICES} {sum}");
        assert_eq!(violations(&twice).len(), 3, "{:?}", violations(&twice));
        let behind = format!("{INDICES} {sum} prefetch %x[i0, 0]");
        let found = "L1 at f i0: the index is used where it is not defined";
        assert_eq!(violations(&behind), [found]);
    }
}
