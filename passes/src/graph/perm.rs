//! Permutations of dimensions: `perm[d]` is the source dimension of result dimension `d`.

use edgecc_ir::types::Shape;

/// A permutation as `Transpose` stores it.
pub(crate) type Perm = Vec<u32>;

/// The permutation that changes nothing.
pub(crate) fn identity(rank: usize) -> Perm {
    (0..rank as u32).collect()
}

/// `transpose(transpose(x, inner), outer) = transpose(x, compose(inner, outer))`.
pub(crate) fn compose(inner: &[u32], outer: &[u32]) -> Perm {
    outer.iter().map(|&d| inner[d as usize]).collect()
}

/// The permutation that undoes `perm`.
pub(crate) fn inverse(perm: &[u32]) -> Perm {
    let mut inverse = vec![0; perm.len()];
    for (d, &p) in perm.iter().enumerate() {
        inverse[p as usize] = d as u32;
    }
    inverse
}

/// `values` in the order of the result.
pub(crate) fn apply<T: Clone>(perm: &[u32], values: &[T]) -> Vec<T> {
    perm.iter().map(|&d| values[d as usize].clone()).collect()
}

/// The result shape of a transpose.
pub(crate) fn shape(perm: &[u32], of: &Shape) -> Shape {
    perm.iter().map(|&d| of[d as usize]).collect()
}

/// Whether the elements keep their row-major order: only dimensions of extent 1 move.
pub(crate) fn keeps_order(perm: &[u32], of: &Shape) -> bool {
    perm.iter().filter(|&&d| of[d as usize] != 1).is_sorted()
}

/// From `[n, spatial…, c]` to `[n, c, spatial…]`.
pub(crate) fn channels_first(rank: usize) -> Perm {
    let last = rank as u32 - 1;
    [0, last].into_iter().chain(1..last).collect()
}

#[cfg(test)]
mod tests {
    use super::{apply, channels_first, compose, identity, inverse, keeps_order};
    use edgecc_ir::types::Shape;

    #[test]
    fn a_permutation_and_its_inverse_cancel() {
        let perm = channels_first(4);
        assert_eq!(perm, [0, 3, 1, 2]);
        assert_eq!(compose(&perm, &inverse(&perm)), identity(4));
        assert_eq!(apply(&perm, &["n", "h", "w", "c"]), ["n", "c", "h", "w"]);
    }

    #[test]
    fn moving_unit_dimensions_keeps_the_order() {
        assert!(keeps_order(&[0, 3, 1, 2], &Shape::new(&[2, 1, 1, 5])));
        assert!(!keeps_order(&[0, 3, 1, 2], &Shape::new(&[2, 1, 3, 5])));
    }
}
