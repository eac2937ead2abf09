//! Repetitions and choices: steps around the kernels of their bodies.
//!
//! A carried value lives in one buffer, its state: written before the repetition and again at the
//! end of each iteration. A slice of a scanned or stacked value is a place that moves with the
//! counter.

use super::views::View;
use super::{Former, Item, live, steps};
use cranelift_entity::EntityRef;
use edgecc_ir::affine::Affine;
use edgecc_ir::graph::ops::{If, Op, Repeat};
use edgecc_ir::graph::{Graph, OpId};
use edgecc_ir::kernel::{BufferId, Home, KernelId};
use edgecc_ir::program::{self, Branch, CounterId, Place, Step};
use edgecc_ir::types::TensorType;
use std::collections::BTreeSet;
use std::mem::{replace, take};

/// Where a block leaves a value of its graph.
struct Target {
    value: OpId,
    place: Place,
}

impl Former<'_, '_> {
    /// The value of an op with bodies; ops that share one execution make its steps once.
    pub(super) fn region(&mut self, id: OpId) -> View {
        let data = &self.graph.ops[id];
        let (op, result) = data.op.shared().expect("an op with bodies has results to choose from");
        let key = (op, data.args.clone());
        if !self.regions.contains_key(&key) {
            let wanted = self.wanted(&key);
            let views = match &key.0 {
                Op::Repeat(op) => self.repeat(op, &key.1, &wanted),
                Op::If(op) => self.choice(op, &key.1, &wanted),
                other => unreachable!("{} has no bodies", other.tag().mnemonic()),
            };
            self.regions.insert(key.clone(), views);
        }
        self.regions[&key][result as usize].clone().expect("the op's own result is wanted")
    }

    /// The results of one execution that ops of this graph stand for.
    fn wanted(&self, key: &super::RegionKey) -> BTreeSet<usize> {
        let alike = self.graph.order.iter().map(|&id| &self.graph.ops[id]);
        let alike = alike.filter(|data| data.args == key.1 && data.op.tag() == key.0.tag());
        let results = alike.filter_map(|data| data.op.shared().filter(|(op, _)| *op == key.0));
        results.map(|(_, result)| result as usize).collect()
    }

    fn repeat(
        &mut self,
        op: &Repeat,
        args: &[OpId],
        wanted: &BTreeSet<usize>,
    ) -> Vec<Option<View>> {
        let (graph, carried) = (op.body.graph(), op.carried as usize);
        let live = live::of_repeat(op, wanted);
        let counter = self.out.kernels.program.counters.push(op.count as usize);
        let mut results: Vec<Option<View>> = Vec::new();
        let mut targets = Vec::new();
        for (n, output) in graph.outputs.iter().enumerate() {
            if !live.results.contains(&n) {
                results.push(None);
                continue;
            }
            let slice = graph.ty(output.value);
            let (place, view) = match n.checked_sub(carried) {
                None => self.state(args[n], slice),
                Some(at) => self.stack(op, slice, counter, op.stacked[at]),
            };
            targets.push(Target { value: output.value, place });
            results.push(Some(view));
        }
        let params = (0..args.len()).map(|n| {
            if !live.params.contains(&n) {
                return None;
            }
            Some(match n.checked_sub(carried) {
                None => results[n].clone().expect("a carried value that is read is written"),
                Some(at) => match op.scanned.get(at) {
                    Some(&step) => self.scan(op, args[n], counter, step),
                    None => self.view(args[n]).clone(),
                },
            })
        });
        let params = params.collect();
        let test = op.conditional.then(|| targets[0].place.clone());
        let body = self.block(graph, params, &live.ops, targets);
        self.push(Step::Repeat(program::Repeat { counter, test, body }));
        results
    }

    /// The state of a carried value that starts with `arg`.
    fn state(&mut self, arg: OpId, ty: &TensorType) -> (Place, View) {
        let buffer = self.buffer(ty, Home::Arena);
        self.copy_into(arg, buffer.into());
        (buffer.into(), View::whole(buffer.into(), ty))
    }

    /// The slice that an iteration writes of a stacked value, and the value.
    fn stack(
        &mut self,
        op: &Repeat,
        slice: &TensorType,
        counter: CounterId,
        step: i32,
    ) -> (Place, View) {
        let dims = [&[op.count as usize], &slice.shape[..]].concat();
        let ty = TensorType::new(slice.elem, &dims);
        let buffer = self.buffer(&ty, Home::Arena);
        let place = Place::from(buffer).shifted(&moving(op, counter, step, slice));
        (place, View::whole(buffer.into(), &ty))
    }

    /// The slice that an iteration reads of a scanned value.
    fn scan(&mut self, op: &Repeat, arg: OpId, counter: CounterId, step: i32) -> View {
        if !self.view(arg).is_whole() {
            self.materialize(arg);
        }
        let ty = self.graph.ty(arg);
        let slice = TensorType::new(ty.elem, &ty.shape[1..]);
        let place = self.view(arg).place.shifted(&moving(op, counter, step, &slice));
        View::whole(place, &slice)
    }

    fn choice(&mut self, op: &If, args: &[OpId], wanted: &BTreeSet<usize>) -> Vec<Option<View>> {
        if !self.view(args[0]).is_whole() {
            self.materialize(args[0]);
        }
        let test = self.view(args[0]).place.clone();
        let results: Vec<Option<View>> = (0..op.then.results().len())
            .map(|n| {
                let ty = op.then.results().nth(n).expect("below the number of results");
                wanted.contains(&n).then(|| {
                    let buffer = self.buffer(ty, Home::Arena);
                    View::whole(buffer.into(), ty)
                })
            })
            .collect();
        let [then, otherwise] = [&op.then, &op.otherwise].map(|body| {
            let graph = body.graph();
            let live = live::of_results(graph, wanted);
            let params = args[1..].iter().map(|&a| Some(self.view(a).clone())).collect();
            let targets = graph.outputs.iter().zip(&results).filter_map(|(output, result)| {
                let place = result.as_ref()?.place.clone();
                Some(Target { value: output.value, place })
            });
            self.block(graph, params, &live.ops, targets.collect())
        });
        self.push(Step::If(Branch { test, then, otherwise }));
        results
    }

    /// The steps of a body that leave its results at their targets.
    fn block(
        &mut self,
        graph: &Graph,
        params: Vec<Option<View>>,
        ops: &[OpId],
        targets: Vec<Target>,
    ) -> Vec<Step<KernelId>> {
        let outside = take(&mut self.out.items);
        let mut inner = Former::inside(self.out, graph, params);
        inner.run(ops);
        let kept = targets.iter().map(|target| inner.view(target.value).place.buffer).collect();
        inner.join(&kept);
        inner.deliver(targets);
        steps(replace(&mut self.out.items, outside))
    }

    /// Leaves each value at its target: where it can be computed there it is, otherwise by a copy
    /// at the end.
    fn deliver(&mut self, targets: Vec<Target>) {
        let states: BTreeSet<BufferId> = targets.iter().map(|t| t.place.buffer).collect();
        let unchanged = |former: &Self, target: &Target| {
            let view = former.view(target.value);
            view.is_whole() && view.place == target.place
        };
        let targets: Vec<Target> = targets.into_iter().filter(|t| !unchanged(self, t)).collect();
        for target in &targets {
            if states.contains(&self.view(target.value).place.buffer) {
                self.materialize(target.value);
                self.join(&BTreeSet::new());
            }
        }
        for target in targets {
            if !self.compute_at(&target) {
                self.copy_into(target.value, target.place);
                self.join(&BTreeSet::new());
            }
        }
    }

    /// Renames the buffer of a value to its target, unless something would then read the target's
    /// old value too late.
    fn compute_at(&mut self, target: &Target) -> bool {
        let view = self.view(target.value);
        let from = view.place.buffer;
        let is_local = from.index() >= self.first_local && self.is_all_of_its_buffer(view);
        let touched = |item: &Item, buffer| match item {
            Item::Step(step) => touches(step, buffer),
            Item::Piece(_) => true,
        };
        let items = &mut self.out.items;
        let first = items.iter().position(|item| touched(item, from));
        let Some(first) = first.filter(|_| is_local) else { return false };
        if items[first..].iter().any(|item| touched(item, target.place.buffer)) {
            return false;
        }
        for item in &mut items[first..] {
            if let Item::Step(step) = item {
                rename(step, from, &target.place);
            }
        }
        for view in self.views.values_mut().flatten() {
            view.place = renamed(&view.place, from, &target.place);
        }
        true
    }
}

/// The first element of an iteration's slice.
fn moving(op: &Repeat, counter: CounterId, step: i32, slice: &TensorType) -> Affine<CounterId> {
    let elements = slice.shape.numel() as i64;
    let start = op.slice(step, 0) as i64;
    Affine::scaled(counter, i64::from(step) * elements).offset(start * elements)
}

fn touches(step: &Step<KernelId>, buffer: BufferId) -> bool {
    let tested = step.test().is_some_and(|place| place.buffer == buffer);
    let called =
        step.call().is_some_and(|call| call.args.iter().any(|place| place.buffer == buffer));
    tested || called || step.blocks().flatten().any(|step| touches(step, buffer))
}

/// Adds the buffers of a step.
pub(super) fn collect(step: &Step<KernelId>, buffers: &mut BTreeSet<BufferId>) {
    buffers.extend(step.test().map(|place| place.buffer));
    if let Some(call) = step.call() {
        buffers.extend(call.args.iter().map(|place| place.buffer));
    }
    step.blocks().flatten().for_each(|step| collect(step, buffers));
}

fn rename(step: &mut Step<KernelId>, from: BufferId, to: &Place) {
    let place = |_: &mut (), place: &Place| renamed(place, from, to);
    let call = |cx: &mut (), call: &program::Call<KernelId>| program::Call {
        args: call.args.iter().map(|arg| place(cx, arg)).collect(),
        ..call.clone()
    };
    let steps = program::map_steps(std::slice::from_ref(step), &mut (), &call, &place);
    *step = steps.into_iter().next().expect("one step for one");
}

fn renamed(place: &Place, from: BufferId, to: &Place) -> Place {
    if place.buffer == from { to.shifted(&place.offset) } else { place.clone() }
}

#[cfg(test)]
mod tests {
    use crate::eqsat::rule::Class;
    use crate::form_kernels::form_kernels;
    use crate::lower_to_loops::lower;
    use crate::plan::{ALIGN, check, order, plan};
    use crate::schedule::parts::{Division, divide};
    use crate::schedule::schedule;
    use edgecc_ir::graph::build::GraphBuilder;
    use edgecc_ir::graph::eval::eval;
    use edgecc_ir::graph::ops::{If, Map, Op, OpTag, Repeat};
    use edgecc_ir::graph::random::{op_instance, tensor};
    use edgecc_ir::graph::{Graph, OpId};
    use edgecc_ir::kernel;
    use edgecc_ir::loops::{interp, verify};
    use edgecc_ir::program::Step;
    use edgecc_ir::rng::Rng;
    use edgecc_ir::scalar::ScalarExpr;
    use edgecc_ir::scalar::func::ScalarFn;
    use edgecc_ir::target::{Arch, Target};
    use edgecc_ir::tensor::{Scalar, Tensor};
    use edgecc_ir::types::{ElemType, TensorType};

    /// All levels give the same, the last one in planned memory.
    fn check_levels(graph: &Graph, inputs: &[Tensor]) {
        let (expected, target) = (eval(graph, inputs), Target::default_for(Arch::X86_64));
        let mut kernels = form_kernels(graph);
        assert_eq!(kernel::verify::verify(&kernels), Ok(()));
        assert_eq!(kernel::eval::eval(&kernels, inputs), expected);
        schedule(&mut kernels, &target, Class::Exact);
        for parts in [1, 3] {
            divide(&mut kernels, &target, Division { parts, grain: 1 });
            let mut loops = lower(&kernels, &target);
            order::reorder(&mut loops);
            loops.plan = Some(plan(&loops, ALIGN));
            assert_eq!(verify::verify(&loops, None), Ok(()));
            assert_eq!(check::check(&loops), Ok(()));
            assert_eq!(interp::run(&loops, inputs), expected, "{parts} parts");
        }
    }

    /// Every result of the op, of which a random part is wanted.
    fn results(op: &Op, rng: &mut Rng) -> Vec<Op> {
        let count = match op {
            Op::Repeat(op) => op.body.results().len(),
            Op::If(op) => op.then.results().len(),
            _ => unreachable!("an op with bodies"),
        };
        let last = rng.below(count);
        let wanted = (0..count).filter(|&n| n == last || rng.flip()).map(|n| n as u32);
        let with = |result| match op.clone() {
            Op::Repeat(op) => Op::from(Repeat { result, ..op }),
            Op::If(op) => Op::from(If { result, ..op }),
            other => other,
        };
        wanted.map(with).collect()
    }

    #[test]
    fn random_repetitions_and_choices_mean_the_same_on_all_levels() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let tag = if seed % 4 == 0 { OpTag::If } else { OpTag::Repeat };
            let (op, inputs) = op_instance(tag, &mut rng);
            let mut b = GraphBuilder::new("m");
            let args: Vec<OpId> = inputs.iter().map(|x| b.input("x", x.ty.clone())).collect();
            for result in results(&op, &mut rng) {
                let y = b.add(result, &args).expect("a legal op");
                b.output("y", y);
            }
            check_levels(&b.finish(), &inputs);
        }
    }

    fn f32() -> TensorType {
        TensorType::new(ElemType::F32, &[3])
    }

    fn repeat(body: Graph, carried: u32, result: u32) -> Repeat {
        let (scanned, stacked) = (Vec::new(), Vec::new());
        Repeat {
            body: body.into(),
            count: 3,
            carried,
            scanned,
            stacked,
            conditional: false,
            result,
        }
    }

    #[test]
    fn carried_values_may_change_places() {
        let mut b = GraphBuilder::new("swap");
        let [x, y] = ["x", "y"].map(|name| b.input(name, f32()));
        b.output("x", y);
        b.output("y", x);
        let body = b.finish();
        let mut b = GraphBuilder::new("m");
        let args = ["x", "y"].map(|name| b.input(name, f32()));
        for result in 0..2 {
            let y = b.add(repeat(body.clone(), 2, result), &args).expect("a swap");
            b.output("y", y);
        }
        let inputs = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].map(|x| Tensor::from_f32s(&[3], &x));
        check_levels(&b.finish(), &inputs);
    }

    #[test]
    fn a_value_is_computed_in_its_state_when_nothing_reads_the_old_one_later() {
        let mut b = GraphBuilder::new("body");
        let [x, y] = ["x", "y"].map(|name| b.input(name, f32()));
        let sum = b.add(Map { body: ScalarExpr::call(ScalarFn::Add) }, &[x, y]).expect("a map");
        let next = b.add(Map { body: ScalarExpr::call(ScalarFn::Neg) }, &[sum]).expect("a map");
        b.output("x", next);
        let body = b.finish();
        let mut b = GraphBuilder::new("m");
        let args = ["x", "y"].map(|name| b.input(name, f32()));
        let y = b.add(repeat(body, 1, 0), &args).expect("a repetition");
        b.output("y", y);
        let graph = b.finish();
        let inputs = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].map(|x| Tensor::from_f32s(&[3], &x));
        check_levels(&graph, &inputs);
        let program = form_kernels(&graph).program;
        let Some(Step::Repeat(all)) = program.steps.last() else { panic!("a repetition") };
        assert_eq!(all.body.len(), 2, "no copy");
    }

    #[test]
    fn a_condition_ends_a_nested_repetition() {
        let flag = TensorType::new(ElemType::Bool, &[]);
        let mut b = GraphBuilder::new("inner");
        let go = b.input("go", flag.clone());
        let x = b.input("x", f32());
        let not = b.add(Map { body: ScalarExpr::call(ScalarFn::Not) }, &[go]).expect("a map");
        let twice = ScalarExpr::build(1, |b| {
            let x = b.param(0);
            b.call(ScalarFn::Add, &[x, x])
        });
        let x = b.add(Map { body: twice }, &[x]).expect("a map");
        b.output("go", not);
        b.output("x", x);
        let inner = Repeat { conditional: true, ..repeat(b.finish(), 2, 1) };
        let mut b = GraphBuilder::new("outer");
        let x = b.input("x", f32());
        let go = b.input("go", flag.clone());
        let y = b.add(inner, &[go, x]).expect("a repetition");
        b.output("x", y);
        let outer = repeat(b.finish(), 1, 0);
        let mut b = GraphBuilder::new("m");
        let x = b.input("x", f32());
        let go = b.input("go", flag);
        let y = b.add(outer, &[x, go]).expect("a repetition");
        b.output("y", y);
        let graph = b.finish();
        for go in [false, true] {
            let x = tensor(&f32(), &mut Rng::new(1));
            check_levels(&graph, &[x, Tensor::splat(&[], Scalar::bool(go))]);
        }
    }
}
