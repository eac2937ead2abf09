//! Every way to run a kernel, on graphs that it suits: code for this machine computes what the
//! evaluator does for sizes at which tiles end, vectors of every width, and whatever schedule a
//! search may try.

mod graphs;

use crate::support::case::Case;
use crate::support::runs_here;
use edgecc::driver::{Compiled, Ir, compile_graph, reordering};
use edgecc::host::Host;
use edgecc::{FloatMode, OptLevel, Options, Records};
use edgecc_ir::graph::Graph;
use edgecc_ir::kernel::{Kernel, Kernels};
use edgecc_ir::scalar::func::ScalarFn;
use edgecc_ir::target::{CPUS, Cpu, Target};
use edgecc_ir::tensor::Tensor;
use edgecc_passes::schedule::{STRATEGIES, choices, planned, records};
use std::collections::BTreeSet;
use std::thread;

/// A graph that a strategy runs, and sizes at which it does.
pub(crate) struct Subject {
    pub(crate) strategy: &'static str,
    pub(crate) name: &'static str,
    pub(crate) float_mode: FloatMode,
    /// That of small weights leaves convolutions as they are.
    opt_level: OptLevel,
    sizes: &'static [usize],
    graph: fn(&[usize]) -> Graph,
}

/// A row of the table; the function's sizes are as many as the row has.
macro_rules! subject {
    ($strategy:literal, $mode:ident, $graph:ident, $sizes:expr) => {
        subject!($strategy, $mode, $graph, $sizes, Os)
    };
    ($strategy:literal, $mode:ident, $graph:ident, $sizes:expr, $level:ident) => {
        Subject {
            strategy: $strategy,
            name: stringify!($graph),
            float_mode: FloatMode::$mode,
            opt_level: OptLevel::$level,
            sizes: &$sizes,
            graph: |sizes| graphs::$graph(sizes.try_into().expect("as many as in the row")),
        }
    };
}

/// The first row of a strategy shows its code.
pub(crate) const SUBJECTS: &[Subject] = &[
    subject!("contraction", Relaxed, product, [19, 83, 37]),
    subject!("contraction", Relaxed, products, [19, 83, 37]),
    subject!("contraction", Relaxed, scores, [37, 29, 19]),
    subject!("contraction", Relaxed, conv, [13, 11, 67]),
    subject!("contraction", Relaxed, codes_product, [19, 83, 37]),
    subject!("contraction", Relaxed, codes_products, [19, 37, 5]),
    subject!("contraction", Relaxed, codes_scores, [19, 37, 5]),
    subject!("contraction", Relaxed, codes_conv, [13, 11, 67]),
    subject!("window", Relaxed, depthwise, [13, 67]),
    subject!("window", Relaxed, depthwise_in_steps, [13, 67]),
    subject!("window", Relaxed, wide_depthwise, [13, 67]),
    subject!("window", Relaxed, codes_depthwise, [13, 67]),
    subject!("window", Relaxed, codes_depthwise_in_steps, [13, 67]),
    subject!("window", Relaxed, codes_wide_depthwise, [13, 67]),
    subject!("window", Relaxed, max_pool, [13, 67]),
    subject!("window", Relaxed, totals, [13, 67]),
    subject!("row", Relaxed, scores, [3, 13, 199]),
    subject!("row", Relaxed, largest, [5, 67]),
    subject!("row", Relaxed, softmax, [5, 67]),
    subject!("row", Relaxed, attention, [37, 19]),
    subject!("row-in-order", Strict, softmax, [5, 67]),
    subject!("stages", Relaxed, side_by_side, [13, 11, 67]),
    subject!("stages", Relaxed, conv, [29, 35, 67], O2),
    subject!("stages-in-order", Strict, side_by_side, [13, 11, 67]),
    subject!("elementwise", Relaxed, exponentials, [5, 67]),
    subject!("elementwise", Relaxed, transposed, [13, 67]),
    subject!("scalar", Relaxed, integers, [5, 17]),
];

impl Subject {
    /// The graph at sizes that vectors divide, a little larger than those of the row.
    pub(crate) fn even_graph(&self) -> Graph {
        let sizes: Vec<usize> = self.sizes.iter().map(|s| s.next_multiple_of(16)).collect();
        (self.graph)(&sizes)
    }

    pub(crate) fn options(&self) -> Options {
        let Subject { float_mode, opt_level, .. } = *self;
        Options { float_mode, opt_level, ..Options::default() }
    }

    /// The compiled graph in these sizes, and its kernels with schedules.
    fn compile(&self, graph: &Graph, target: &Target) -> (Compiled, Kernels) {
        let mut kernels = None;
        let mut keep = |pass: &str, ir: Ir<'_>| match ir {
            Ir::Kernels(k) if pass == "schedule" => kernels = Some(k.clone()),
            Ir::Graph(_) | Ir::Kernels(_) | Ir::Loops(_) => {}
        };
        let (graph, target) = (graph.clone(), target.clone());
        let compiled = compile_graph(graph, Vec::new(), target, &self.options(), &mut keep);
        let compiled = compiled.unwrap_or_else(|failure| panic!("{}: {failure:?}", self.name));
        (compiled, kernels.expect("kernels are scheduled"))
    }

    fn check(&self, target: &Target) {
        let (compiled, kernels) = self.compile(&(self.graph)(self.sizes), target);
        let place = format!("{} for {}", self.name, target.cpu);
        let found: Vec<&str> = compiled.report.layers.iter().map(|l| l.strategy).collect();
        assert!(found.contains(&self.strategy), "{place} runs as {found:?}");
        for sizes in self.variants(&kernels) {
            let case = Case::of((self.graph)(&sizes), &[]);
            let (compiled, _) = self.compile(&case.graph, target);
            let host = Host::load(&compiled).expect("this machine has what the code needs");
            let outputs = host.run(&case.inputs).expect("the model runs");
            case.assert_agrees(&format!("{place}, sizes {sizes:?}"), &outputs);
        }
    }

    /// Runs the graph with every schedule that a search may try for one of its kernels.
    fn check_choices(&self, target: &Target) {
        let case = Case::of((self.graph)(self.sizes), &[]);
        let (_, kernels) = self.compile(&case.graph, target);
        let allowed = reordering(&self.options());
        for kernel in kernels.kernels.values() {
            let bare = Kernel { schedule: None, ..kernel.clone() };
            let plan = planned(&bare, target, allowed);
            let near = choices::neighbours(&bare, &plan, target, allowed);
            for choice in choices::plans(&bare, target, allowed).into_iter().chain(near) {
                let text = records::print(target, [(&bare, &choice)]);
                let outputs = self.run_recorded(&case, target, &text);
                case.assert_agrees(&format!("{} with {text}", self.name), &outputs);
            }
        }
    }

    /// The outputs of code for a kernel with a schedule from a file.
    fn run_recorded(&self, case: &Case, target: &Target, text: &str) -> Vec<Tensor> {
        let schedules = Records::parse("records", text).expect("just printed");
        let options = Options { schedules, ..self.options() };
        let (graph, target) = (case.graph.clone(), target.clone());
        let compiled = compile_graph(graph, Vec::new(), target, &options, &mut |_, _| {});
        let compiled = compiled.unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
        assert!(compiled.warnings.is_empty(), "{text}: {:?}", compiled.warnings);
        let layers = &compiled.report.layers;
        assert!(layers.iter().any(|layer| layer.strategy == "measured"), "{text}: {layers:?}");
        let host = Host::load(&compiled).expect("this machine has what the code needs");
        host.run(&case.inputs).expect("the model runs")
    }

    /// The row's sizes, each replaced in turn by those at which some tile is not full, full, or
    /// followed by a remainder of one.
    fn variants(&self, kernels: &Kernels) -> Vec<Vec<usize>> {
        let schedules = kernels.kernels.values().filter_map(|k| k.schedule.as_ref());
        let tiles = schedules.flat_map(|s| s.tile.iter().map(|t| t.1 as usize));
        let around = tiles.flat_map(|tile| [tile - 1, tile, tile + 1]).filter(|&size| size > 0);
        let extents: BTreeSet<usize> = around.chain([1, 2]).collect();
        let replaced = |at: usize, extent: usize| {
            let mut sizes = self.sizes.to_vec();
            sizes[at] = extent;
            sizes
        };
        let places = 0..self.sizes.len();
        places.flat_map(|at| extents.iter().map(move |&extent| replaced(at, extent))).collect()
    }
}

#[test]
fn code_computes_what_the_evaluator_does_wherever_tiles_end() {
    let targets = host_targets();
    assert!(!targets.is_empty(), "the oldest processors of the table run everywhere");
    thread::scope(|scope| {
        for subject in SUBJECTS {
            let targets = &targets;
            scope.spawn(move || targets.iter().for_each(|target| subject.check(target)));
        }
    });
}

#[test]
fn every_schedule_that_a_search_may_try_computes_the_same() {
    let targets = host_targets();
    let target = targets.last().expect("the oldest processors of the table run everywhere");
    thread::scope(|scope| {
        for subject in SUBJECTS {
            scope.spawn(move || subject.check_choices(target));
        }
    });
}

#[test]
fn every_strategy_has_a_subject() {
    let has_one = |name: &str| SUBJECTS.iter().any(|subject| subject.strategy == name);
    let bare: Vec<&str> = STRATEGIES.iter().map(|s| s.name).filter(|name| !has_one(name)).collect();
    assert!(bare.is_empty(), "strategies without a row in tests/strategies: {bare:?}");
}

/// The first processor of the table with vectors of each width and its dot products, where this
/// machine has its features.
fn host_targets() -> Vec<Target> {
    let mut known: Vec<(u32, Vec<ScalarFn>)> = Vec::new();
    let mut is_new = |t: &Target| {
        let machine = (t.vector_bits, t.dots.clone());
        let is_new = !known.contains(&machine);
        known.extend(is_new.then_some(machine));
        is_new
    };
    CPUS.iter().map(Cpu::target).filter(|t| runs_here(t) && is_new(t)).collect()
}
