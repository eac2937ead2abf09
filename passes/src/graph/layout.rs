//! Channels-last: image ops get their channels innermost and no transpose stays between them.
//!
//! The pass rebuilds the graph in order and keeps for each value where its elements really are: as
//! the transpose of a new value. Ops that treat all dimensions alike work on the new value and pass
//! the permutation on, so transposes sink towards the results and meet their inverses; only an op
//! that insists on an order (matmul, a reshape that cuts across dimensions, a graph output) makes
//! one real. An explicit transpose in the model is such a permutation too.
//!
//! Needs: normal forms (`canonicalize`). Leaves: every conv and pool channels-last, transposes of
//! constants for `fold_constants`.

use super::canonicalize::{broadcast, reshape, transpose};
use super::operands::is_constant;
use super::perm::{self, Perm};
use super::rebuild::Rebuild;
use crate::manager::{Pass, PassCx};
use cranelift_entity::SecondaryMap;
use edgecc_ir::graph::ops::{
    Broadcast, Concat, Conv, Gather, Layout, Op, Pad, Pick, Pool, Reduce, Slice,
};
use edgecc_ir::graph::{Graph, OpId, Output};
use edgecc_ir::types::Shape;
use indexmap::{IndexMap, IndexSet};

/// The pass.
pub const PASS: Pass<Graph> =
    Pass { name: "layout", doc: "moves image tensors to channels-last and sinks transposes", run };

/// An old value as `transpose(id, perm)` of a new one.
#[derive(Clone, Debug)]
struct Placed {
    id: OpId,
    perm: Perm,
}

fn run(graph: &mut Graph, _cx: &PassCx<'_>) {
    let (old, mut new) = Rebuild::start(graph);
    let mut places: SecondaryMap<OpId, Option<Placed>> = SecondaryMap::new();
    for &id in &old.live {
        let data = &old.ops[id];
        let place = |&a: &OpId| places[a].clone().expect("G2: operands come first");
        let args: Vec<Placed> = data.args.iter().map(place).collect();
        new.set_loc(data.loc);
        places[id] = Some(lay_out(&mut new, &data.op, &args));
    }
    let outputs = old.outputs.into_iter().map(|output| {
        let place = places[output.value].as_ref().expect("G2: outputs are live");
        Output { value: place.plain(&mut new), ..output }
    });
    let outputs: Vec<Output> = outputs.collect();
    *graph = new.finish(&outputs);
}

fn lay_out(new: &mut Rebuild, op: &Op, args: &[Placed]) -> Placed {
    match op {
        Op::Broadcast(op) => lay_out_broadcast(new, op, &args[0]),
        Op::Concat(op) => lay_out_concat(new, op, args),
        Op::Conv(op) => lay_out_conv(new, op, args),
        Op::Pool(op) => lay_out_pool(new, op, &args[0]),
        Op::Gather(op) => lay_out_gather(new, op, args),
        Op::Pad(op) => args[0].then(new, |perm| {
            let order = perm::inverse(perm);
            let (low, high) = (perm::apply(&order, &op.low), perm::apply(&order, &op.high));
            Pad { low, high, value: op.value }
        }),
        Op::Reduce(op) => args[0].then(new, |perm| {
            let mut dims: Vec<u32> = op.dims.iter().map(|&d| perm[d as usize]).collect();
            dims.sort_unstable();
            Reduce { func: op.func, dims }
        }),
        Op::Slice(op) => args[0].then(new, |perm| {
            let order = perm::inverse(perm);
            Slice {
                starts: perm::apply(&order, &op.starts),
                steps: perm::apply(&order, &op.steps),
                shape: perm::shape(&order, &op.shape),
            }
        }),
        Op::Reshape(op) => lay_out_reshape(new, &op.shape, &args[0]),
        Op::Transpose(op) => {
            Placed { id: args[0].id, perm: perm::compose(&args[0].perm, &op.perm) }
        }
        Op::Map(_) | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => {
            let perm = common_perm(new, args);
            let operands = place_all(new, args, &perm);
            Placed { id: new.emit(op.clone(), &operands), perm }
        }
        Op::Const(_)
        | Op::If(_)
        | Op::Repeat(_)
        | Op::Input(_)
        | Op::MatMul(_)
        | Op::NonMaxSuppression(_)
        | Op::NonZero(_)
        | Op::Scatter(_)
        | Op::TopK(_) => {
            let operands: Vec<OpId> = args.iter().map(|a| a.plain(new)).collect();
            Placed::as_is(new, op.clone(), &operands)
        }
    }
}

impl Placed {
    fn as_is(new: &mut Rebuild, op: impl Into<Op>, args: &[OpId]) -> Placed {
        let id = new.emit(op, args);
        Placed { id, perm: perm::identity(new.ty(id).shape.rank()) }
    }

    /// The value with its dimensions in the model's order.
    fn plain(&self, new: &mut Rebuild) -> OpId {
        self.within(new, &perm::identity(self.perm.len()))
    }

    /// The new value whose transpose by `perm` is this value.
    fn within(&self, new: &mut Rebuild, perm: &[u32]) -> OpId {
        permute(new, &perm::compose(&self.perm, &perm::inverse(perm)), self.id)
    }

    /// An op on the new value; `op` gets the dimensions of the new value by those of the model.
    fn then<T: Into<Op>>(&self, new: &mut Rebuild, op: impl FnOnce(&[u32]) -> T) -> Placed {
        Placed { id: new.emit(op(&self.perm), &[self.id]), perm: self.perm.clone() }
    }
}

/// A transpose; of a broadcast, the broadcast to the other order.
fn permute(new: &mut Rebuild, perm: &[u32], x: OpId) -> OpId {
    let Op::Broadcast(op) = new.op(x).clone() else { return transpose(new, perm, x) };
    let place = perm::inverse(perm);
    let mut order = perm::identity(op.dims.len());
    order.sort_by_key(|&d| place[op.dims[d as usize] as usize]);
    let dims = order.iter().map(|&d| place[op.dims[d as usize] as usize]).collect();
    let small = permute(new, &order, new.arg(x, 0));
    broadcast(new, &Broadcast { dims, shape: perm::shape(perm, &op.shape) }, small)
}

fn place_all(new: &mut Rebuild, args: &[Placed], perm: &[u32]) -> Vec<OpId> {
    args.iter().map(|a| a.within(new, perm)).collect()
}

/// The permutation that most bytes among the operands have; constants and broadcasts adapt.
fn common_perm(new: &Rebuild, args: &[Placed]) -> Perm {
    let mut votes: IndexMap<&Perm, usize> = IndexMap::new();
    for arg in args {
        let adapts = is_constant(new, arg.id) || matches!(new.op(arg.id), Op::Broadcast(_));
        *votes.entry(&arg.perm).or_default() += if adapts { 0 } else { new.ty(arg.id).bytes() };
    }
    let most = votes.values().copied().max();
    let first = votes.into_iter().find(|&(_, bytes)| Some(bytes) == most);
    first.expect("the op has operands").0.clone()
}

fn lay_out_conv(new: &mut Rebuild, op: &Conv, args: &[Placed]) -> Placed {
    let perm = image_perm(op.layout, args[0].perm.len());
    let mut operands = place_all(new, args, &perm);
    operands[1] = args[1].plain(new);
    let conv = Conv { layout: Layout::ChannelsLast, ..op.clone() };
    Placed { id: new.emit(conv, &operands), perm }
}

fn lay_out_pool(new: &mut Rebuild, op: &Pool, x: &Placed) -> Placed {
    let perm = image_perm(op.layout, x.perm.len());
    let x = x.within(new, &perm);
    let pool = Pool { layout: Layout::ChannelsLast, ..op.clone() };
    Placed { id: new.emit(pool, &[x]), perm }
}

/// The permutation from channels-last to an image op's layout.
fn image_perm(layout: Layout, rank: usize) -> Perm {
    match layout {
        Layout::ChannelsFirst => perm::channels_first(rank),
        Layout::ChannelsLast => perm::identity(rank),
    }
}

fn lay_out_concat(new: &mut Rebuild, op: &Concat, args: &[Placed]) -> Placed {
    let perm = common_perm(new, args);
    let operands = place_all(new, args, &perm);
    let dim = perm[op.dim as usize];
    Placed { id: new.emit(Concat { dim }, &operands), perm }
}

/// The dimensions that the data's new dimensions are picked by come in that order.
fn lay_out_gather(new: &mut Rebuild, op: &Gather, args: &[Placed]) -> Placed {
    let picks = perm::apply(&perm::inverse(&args[0].perm), &op.picks);
    let picked_by = |pick: &Pick| match pick {
        Pick::Dim(d) => vec![*d],
        Pick::Index(dims) => dims.clone(),
    };
    let all = picks.iter().flat_map(picked_by).chain(0..op.shape.rank() as u32);
    let order: Perm = all.collect::<IndexSet<u32>>().into_iter().collect();
    let place = perm::inverse(&order);
    let renamed = |pick: &Pick| match pick {
        Pick::Dim(d) => Pick::Dim(place[*d as usize]),
        Pick::Index(dims) => Pick::Index(dims.iter().map(|&d| place[d as usize]).collect()),
    };
    let shape = perm::shape(&order, &op.shape);
    let mut operands: Vec<OpId> = args[1..].iter().map(|a| a.plain(new)).collect();
    reorder(&mut operands, &args[0].perm, &op.picks);
    operands.insert(0, args[0].id);
    let gather = Gather { picks: picks.iter().map(renamed).collect(), shape };
    Placed { id: new.emit(gather, &operands), perm: place }
}

/// Index operands, in the order of the picks by them, follow their dimensions of the data.
fn reorder(operands: &mut Vec<OpId>, perm: &[u32], picks: &[Pick]) {
    let mut next = operands.iter().copied();
    let of_dim: Vec<Option<OpId>> = picks
        .iter()
        .map(|pick| match pick {
            Pick::Dim(_) => None,
            Pick::Index(_) => next.next(),
        })
        .collect();
    *operands = perm::apply(&perm::inverse(perm), &of_dim).into_iter().flatten().collect();
}

/// The operand's dimensions keep their new order. Each other dimension stays behind its predecessor,
/// where a reshape that joins the two finds it.
fn lay_out_broadcast(new: &mut Rebuild, op: &Broadcast, x: &Placed) -> Placed {
    let rank = op.shape.rank() as u32;
    let added_after = |d: u32| (d..rank).take_while(|d| !op.dims.contains(d));
    let sources = perm::inverse(&x.perm).into_iter().map(|source| op.dims[source as usize]);
    let kept = sources.flat_map(|d| std::iter::once(d).chain(added_after(d + 1)));
    let order: Perm = added_after(0).chain(kept).collect();
    let dims = (0..rank).filter(|&place| op.dims.contains(&order[place as usize])).collect();
    let id = broadcast(new, &Broadcast { dims, shape: perm::shape(&order, &op.shape) }, x.id);
    Placed { id, perm: perm::inverse(&order) }
}

/// Dimensions that the reshape splits or joins become neighbours, if they are not in the new order;
/// otherwise dimensions keep that order.
fn lay_out_reshape(new: &mut Rebuild, shape: &Shape, x: &Placed) -> Placed {
    let Some(Regrouped { order, shape: there, perm }) =
        regroup(&new.ty(x.id).shape, &x.perm, shape)
    else {
        let x = x.plain(new);
        return Placed { id: reshape(new, shape, x), perm: perm::identity(shape.rank()) };
    };
    let dims = &new.ty(x.id).shape;
    let in_order = order.iter().filter(|&&d| dims[d as usize] != 1).is_sorted();
    let x = if in_order { x.id } else { transpose(new, &order, x.id) };
    Placed { id: reshape(new, &there, x), perm }
}

/// How `reshape(transpose(x, perm), to)` is said as
/// `transpose(reshape(transpose(x, order), shape), perm)`.
#[derive(Debug, PartialEq, Eq)]
struct Regrouped {
    order: Perm,
    shape: Shape,
    perm: Perm,
}

/// The order nearest to that of `x` in which each run of dimensions that the reshape splits or joins
/// is together: a run is placed by its largest dimension, the last of such, or after its predecessor
/// where it has no elements to move. `None` for empty tensors.
fn regroup(x: &Shape, perm: &[u32], to: &Shape) -> Option<Regrouped> {
    let from = perm::shape(perm, x);
    let mut place = 0;
    let keyed = groups(&from, to)?.into_iter().map(|group| {
        let largest = group.0.iter().copied().max_by_key(|&d| from[d]);
        place = largest.filter(|&d| from[d] != 1).map_or(place, |d| perm[d]);
        (place, group)
    });
    let mut groups: Vec<(u32, Group)> = keyed.collect();
    groups.sort_by_key(|(place, _)| *place);
    let order = groups.iter().flat_map(|(_, (dims, _))| dims).map(|&d| perm[d]).collect();
    let dims: Vec<u32> = groups.iter().flat_map(|(_, (_, dims))| dims).map(|&d| d as u32).collect();
    Some(Regrouped { order, shape: perm::shape(&dims, to), perm: perm::inverse(&dims) })
}

type Group = (Vec<usize>, Vec<usize>);

/// The smallest runs of dimensions of `from` and `to` with equal products. `None` for empty tensors.
fn groups(from: &[usize], to: &[usize]) -> Option<Vec<Group>> {
    if from.contains(&0) {
        return None;
    }
    let (mut groups, mut i, mut j) = (Vec::new(), 0, 0);
    while i < from.len() || j < to.len() {
        let mut group = (Vec::new(), Vec::new());
        let (mut a, mut b) = (1, 1);
        loop {
            if a <= b && i < from.len() {
                (a, i) = (a * from[i], i + 1);
                group.0.push(i - 1);
            } else if j < to.len() {
                (b, j) = (b * to[j], j + 1);
                group.1.push(j - 1);
            } else {
                break;
            }
            if a == b {
                break;
            }
        }
        groups.push(group);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::{Regrouped, regroup};
    use edgecc_ir::types::Shape;

    fn regrouped(x: &[usize], perm: &[u32], to: &[usize]) -> (Vec<u32>, Vec<usize>, Vec<u32>) {
        let found = regroup(&Shape::new(x), perm, &Shape::new(to));
        let Regrouped { order, shape, perm } = found.expect("no tensor is empty");
        (order, shape.to_vec(), perm)
    }

    #[test]
    fn splitting_channels_keeps_the_order() {
        let split = regrouped(&[2, 4, 5, 6], &[0, 3, 1, 2], &[2, 3, 2, 4, 5]);
        assert_eq!(split, (vec![0, 1, 2, 3], vec![2, 4, 5, 3, 2], vec![0, 3, 4, 1, 2]));
    }

    #[test]
    fn flattening_an_image_needs_the_order_of_the_model() {
        let flat = regrouped(&[2, 4, 5, 6], &[0, 3, 1, 2], &[2, 120]);
        assert_eq!(flat, (vec![0, 3, 1, 2], vec![2, 120], vec![0, 1]));
    }

    #[test]
    fn flattening_pooled_channels_keeps_the_order() {
        let flat = regrouped(&[2, 1, 1, 6], &[0, 3, 1, 2], &[2, 6]);
        assert_eq!(flat, (vec![0, 3, 1, 2], vec![2, 6], vec![0, 1]));
    }

    #[test]
    fn joining_points_and_repeats_leaves_channels_innermost() {
        let joined = regrouped(&[4, 5, 6, 2, 3], &[2, 0, 3, 1, 4], &[6, 8, 15]);
        assert_eq!(joined, (vec![0, 3, 1, 4, 2], vec![8, 15, 6], vec![2, 0, 1]));
    }

    #[test]
    fn joining_heads_leaves_their_features_innermost() {
        let joined = regrouped(&[12, 128, 26], &[1, 0, 2], &[128, 312]);
        assert_eq!(joined, (vec![1, 0, 2], vec![128, 312], vec![0, 1]));
    }
}
