//! `non_zero`: each element stores its position, or zeros, at the column that the count names; a
//! zero is overwritten by the next element.

use super::{at, clear, int, load, nest, params, select, types};
use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::Kernel;
use edgecc_ir::loops::build::LoopBuilder;
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::types::ElemType;

pub(super) fn lower(b: &mut LoopBuilder, kernel: &Kernel) {
    let types = types::<3>(kernel);
    let extents = types[0].shape.to_vec();
    let columns = types[0].shape.numel();
    let [x, places, count] = params(b, kernel, types);
    clear(b, places);
    let none = int(b, 0);
    let found = nest(b, &extents, &mut Vec::new(), &[none], &mut |b, indices, found| {
        let value = load(b, x, indices.iter().copied().map(at).collect());
        let truth = b.cast(ElemType::Bool, value);
        let column = b.index(columns, found[0]);
        for (d, &index) in indices.iter().enumerate() {
            let (place, zero) = (b.index_value(at(index)), int(b, 0));
            let place = select(b, truth, place, zero);
            b.store(places, vec![Affine::constant(d as i64), at(column)], place, 1);
        }
        let one = b.cast(ElemType::I64, truth);
        vec![b.apply(ScalarFn::Add, &[found[0], one])]
    });
    b.store(count, vec![], found[0], 1);
}

#[cfg(test)]
mod tests {
    use crate::library::testing::check;
    use edgecc_ir::graph::ops::OpTag;

    #[test]
    fn positions_are_those_of_the_evaluator() {
        check(OpTag::NonZero, 100);
    }
}
