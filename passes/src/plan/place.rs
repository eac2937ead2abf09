//! Offsets: each storage in turn at the lowest offset that is free during its life.
//!
//! The result depends on the order of the turns. Several fixed orders are tried, then each is
//! improved by moving the storage that ends highest to the front; the smallest arena wins.

use super::live::Storage;
use std::cmp::Reverse;

/// Improvements tried for each order of a small model.
const MAX_ROUNDS: usize = 48;

/// Bound on storage comparisons, which limits the rounds of large models.
const MAX_WORK: usize = 40_000_000;

/// One offset per storage: a multiple of `align`.
pub(super) fn place(storages: &[Storage], align: usize) -> Vec<usize> {
    let rounds = (MAX_WORK / (storages.len().pow(2) + 1)).clamp(1, MAX_ROUNDS);
    let attempts =
        orders(storages).into_iter().map(|order| improve(storages, align, order, rounds));
    attempts.min_by_key(|offsets| top(storages, offsets).1).unwrap_or_default()
}

/// The orders to start from: largest, longest, largest times longest and first born to the front;
/// ties by size and birth.
fn orders(storages: &[Storage]) -> Vec<Vec<usize>> {
    let span = |s: &Storage| s.life.end - s.life.start + 1;
    let keys: [Vec<usize>; 4] = [
        storages.iter().map(|s| s.bytes).collect(),
        storages.iter().map(span).collect(),
        storages.iter().map(|s| s.bytes.saturating_mul(span(s))).collect(),
        storages.iter().map(|s| usize::MAX - s.life.start).collect(),
    ];
    keys.iter().map(|key| descending(storages, key)).collect()
}

fn descending(storages: &[Storage], key: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..storages.len()).collect();
    order.sort_by_key(|&n| (Reverse(key[n]), Reverse(storages[n].bytes), n));
    order
}

fn improve(storages: &[Storage], align: usize, mut order: Vec<usize>, rounds: usize) -> Vec<usize> {
    let mut best = in_order(storages, align, &order);
    let mut last = best.clone();
    for _ in 1..rounds {
        let Some(highest) = top(storages, &last).0 else { break };
        let at = order.iter().position(|&n| n == highest).expect("a permutation");
        order[..=at].rotate_right(1);
        last = in_order(storages, align, &order);
        if top(storages, &last).1 < top(storages, &best).1 {
            best.clone_from(&last);
        }
    }
    best
}

/// The storage that ends highest and its end.
fn top(storages: &[Storage], offsets: &[usize]) -> (Option<usize>, usize) {
    let ends = storages.iter().zip(offsets).map(|(s, offset)| offset + s.bytes);
    let top = ends.enumerate().max_by_key(|&(n, end)| (end, Reverse(n)));
    top.map_or((None, 0), |(n, end)| (Some(n), end))
}

fn in_order(storages: &[Storage], align: usize, order: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0; storages.len()];
    // Placed storages by offset, so that the first gap is found in one sweep.
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    for &n in order {
        offsets[n] = first_gap(storages, align, &offsets, &placed, n);
        let at = placed.partition_point(|&p| offsets[p] <= offsets[n]);
        placed.insert(at, n);
    }
    offsets
}

fn first_gap(
    storages: &[Storage],
    align: usize,
    offsets: &[usize],
    placed: &[usize],
    n: usize,
) -> usize {
    let life = storages[n].life;
    let mut offset = 0;
    for &other in placed {
        let s = &storages[other];
        if s.life.end < life.start || life.end < s.life.start {
            continue;
        }
        if offset + storages[n].bytes <= offsets[other] {
            break;
        }
        offset = offset.max((offsets[other] + s.bytes).next_multiple_of(align));
    }
    offset
}
