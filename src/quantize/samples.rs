//! Samples of layers' inputs: what the weights of one result are applied to.

use super::patches;
use edgecc_frontend::quantize::{FloatModel, Layer, Reach};
use edgecc_passes::quantize::gram::Gram;
use edgecc_passes::quantize::range::Grid;
use std::collections::BTreeMap;

/// Samples for all layers with weights whose reach is described.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    /// By the first layer that sees them so.
    rows: BTreeMap<usize, Rows>,
    /// For each layer that first one.
    first: BTreeMap<usize, usize>,
}

/// Elements that some results of a layer depend on, for all groups one after the other.
#[derive(Clone, Debug)]
struct Rows {
    /// Elements for a group.
    len: usize,
    groups: usize,
    values: Vec<f32>,
}

/// Whether the inputs' products are needed or their sums are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Sums,
    Products,
}

impl Samples {
    /// Places for the samples of these layers; layers that see the same share them.
    pub(super) fn new(model: &FloatModel, layers: &[usize]) -> Samples {
        let mut samples = Samples { rows: BTreeMap::new(), first: BTreeMap::new() };
        for &n in layers {
            let Some(rows) = empty(&model.layers[n]) else { continue };
            let is_same = |&(&other, known): &(&usize, &Rows)| {
                let (a, b) = (&model.layers[n], &model.layers[other]);
                let sizes = (rows.len, rows.groups) == (known.len, known.groups);
                sizes && a.input == b.input && a.reach == b.reach
            };
            let first = samples.rows.iter().find(is_same).map_or(n, |(&other, _)| other);
            samples.first.insert(n, first);
            samples.rows.entry(first).or_insert(rows);
        }
        samples
    }

    /// Adds samples of a value with these dimensions and elements, that of example `n` of `count`.
    pub(super) fn add(
        &mut self,
        model: &FloatModel,
        value: &str,
        (dims, elements): (&[usize], &[f32]),
        (n, count): (usize, usize),
    ) {
        for (&layer, rows) in &mut self.rows {
            let layer = &model.layers[layer];
            if layer.input == value {
                let wanted = (Gram::wanted(rows.len, rows.groups) / count).max(1);
                patches::visit(layer, dims, elements, (wanted, n as u64), |patch| {
                    rows.values.extend_from_slice(patch);
                });
            }
        }
    }

    /// What each layer's input is like when it has the grid that `grid` tells for the layer.
    pub(super) fn grams<'a>(
        &self,
        detail: Detail,
        grid: impl Fn(usize) -> &'a Grid,
    ) -> BTreeMap<usize, Gram> {
        self.rows.iter().map(|(&n, rows)| (n, rows.gram(detail, grid(n)))).collect()
    }

    /// The layer whose gram is also that of layer `n`.
    pub(super) fn first(&self, n: usize) -> Option<usize> {
        self.first.get(&n).copied()
    }
}

fn empty(layer: &Layer) -> Option<Rows> {
    let weights = layer.weights().filter(|_| layer.reach != Reach::Other)?;
    let len = weights.values.numel() / weights.bias.len().max(1);
    (len > 0).then(|| Rows { len, groups: weights.groups, values: Vec::new() })
}

impl Rows {
    fn gram(&self, detail: Detail, grid: &Grid) -> Gram {
        let mut gram = match detail {
            Detail::Sums => Gram::of_sums(self.len, self.groups, grid.scale),
            Detail::Products => Gram::new(self.len, self.groups, grid.scale),
        };
        let mut codes: Vec<i16> = Vec::new();
        for row in self.values.chunks_exact(self.len * self.groups) {
            codes.clear();
            codes.extend(row.iter().map(|&x| grid.centred_code(x) as i16));
            gram.add(row, &codes);
        }
        gram.flush();
        gram
    }
}
