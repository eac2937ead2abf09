//! Values of narrow types: which ones they are, and that results are on their grid.

use crate::emit::Emit;
use crate::format::{Conversion, Format};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::graph::OpId;
use std::collections::BTreeSet;

/// A value of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    /// What computes it.
    pub op: OpId,
    /// The narrow type whose numbers it has, if it is of one.
    pub format: Option<&'static Format>,
}

/// The values of narrow types that are known to have numbers of their type only.
#[derive(Default)]
pub(crate) struct Grid {
    known: BTreeSet<OpId>,
}

impl Grid {
    /// Notes a value that is on the grid of its type.
    pub(crate) fn note(&mut self, value: Value) {
        if value.format.is_some() {
            self.known.insert(value.op);
        }
    }

    /// The results of a node: of the stated narrow type, on whose grid they are, or of the first
    /// operand's that the element type fits; rounded where they are computed and not only moved.
    pub(crate) fn settle(
        &mut self,
        emit: &mut Emit,
        results: Vec<OpId>,
        operands: &[Option<Value>],
        stated: Option<Option<&'static Format>>,
    ) -> Result<Vec<Value>, Diagnostic> {
        let formats = || operands.iter().flatten().filter_map(|value| value.format);
        let settled = results.into_iter().map(|op| {
            let elem = emit.elem(op);
            let format = stated.unwrap_or_else(|| formats().find(|f| f.carrier() == elem));
            let Some(format) = format else { return Ok(Value { op, format: None }) };
            let is_exact = stated.is_some() || format.int_range().is_some();
            let op = match is_exact || self.is_on_grid(emit, op) {
                true => op,
                false => format.convert(emit, op, Conversion::default())?,
            };
            self.known.insert(op);
            Ok(Value { op, format: Some(format) })
        });
        settled.collect()
    }

    fn is_on_grid(&self, emit: &Emit, x: OpId) -> bool {
        let moved = emit.moved(x);
        self.known.contains(&x)
            || (!moved.is_empty() && moved.iter().all(|&m| self.is_on_grid(emit, m)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, Value};
    use crate::emit::Emit;
    use crate::format;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn moved_values_stay_and_computed_ones_are_rounded() {
        let mut emit = Emit::new("g");
        let op = emit.input("x", TensorType::new(ElemType::F32, &[2, 3]));
        let x = Value { op, format: format::from_code(16) };
        let mut grid = Grid::default();
        grid.note(x);
        let moved = emit.transpose(op, vec![1, 0]).expect("a matrix");
        let sum = emit.map(&[op], |b, p| b.sum(p[0], p[0])).expect("a float");
        let results = grid.settle(&mut emit, vec![moved, sum], &[Some(x)], None).expect("floats");
        assert_eq!(results[0].op, moved);
        assert_ne!(results[1].op, sum);
        assert_eq!(results[1].format, x.format);
    }
}
