//! A program as a line of sites, and the repetitions as spans of it.

use edgecc_ir::affine::Affine;
use edgecc_ir::kernel::BufferId;
use edgecc_ir::loops::{FuncId, Loops, ParamAccess};
use edgecc_ir::program::{Call, CounterId, Parallel, Place, Step};

/// Calls and tests in the order of the text: a repetition's test comes before its body, and the
/// blocks of a choice follow one another.
pub(super) struct Line<'l> {
    /// Calls and tests.
    pub(super) sites: Vec<Site<'l>>,
    /// Repetitions, each before those that it contains.
    pub(super) spans: Vec<Span>,
}

/// A call or a test.
pub(super) struct Site<'l> {
    /// The call, unless it is a test.
    pub(super) call: Option<&'l Call<FuncId>>,
    /// What it reads and writes.
    pub(super) uses: Vec<Use>,
    /// The innermost repetition around it.
    pub(super) span: Option<usize>,
}

/// How a site uses a buffer.
#[derive(Clone, Copy)]
pub(super) struct Use {
    pub(super) buffer: BufferId,
    pub(super) access: ParamAccess,
    /// Whether all of the buffer is read or written, by all parts of a call together.
    pub(super) whole: bool,
}

/// A repetition: its sites, both inclusive, its test among them.
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) last: usize,
    /// The repetition around it.
    pub(super) outer: Option<usize>,
}

/// The line of a program.
pub(super) fn line(loops: &Loops) -> Line<'_> {
    let mut line = Line { sites: Vec::new(), spans: Vec::new() };
    line.block(loops, &loops.program.steps, None);
    line
}

/// The uses of a step and of everything in it.
pub(super) fn uses_of(loops: &Loops, step: &Step<FuncId>) -> Vec<Use> {
    line_of(loops, step).sites.into_iter().flat_map(|site| site.uses).collect()
}

/// The line of a single step.
pub(super) fn line_of<'l>(loops: &Loops, step: &'l Step<FuncId>) -> Line<'l> {
    let mut line = Line { sites: Vec::new(), spans: Vec::new() };
    line.step(loops, step, None);
    line
}

impl<'l> Line<'l> {
    fn block(&mut self, loops: &Loops, steps: &'l [Step<FuncId>], span: Option<usize>) {
        steps.iter().for_each(|step| self.step(loops, step, span));
    }

    fn step(&mut self, loops: &Loops, step: &'l Step<FuncId>, span: Option<usize>) {
        match step {
            Step::Call(call) => self.call(loops, (call, None), span),
            Step::Parallel(Parallel { counter, call }) => {
                self.call(loops, (call, Some(*counter)), span);
            }
            Step::Repeat(repeat) => {
                let (inner, first) = (self.spans.len(), self.sites.len());
                self.spans.push(Span { first, last: first, outer: span });
                self.test(step.test(), Some(inner));
                self.block(loops, &repeat.body, Some(inner));
                self.spans[inner].last = self.sites.len().saturating_sub(1).max(first);
            }
            Step::If(branch) => {
                self.test(step.test(), span);
                self.block(loops, &branch.then, span);
                self.block(loops, &branch.otherwise, span);
            }
        }
    }

    fn call(
        &mut self,
        loops: &Loops,
        (call, parts): (&'l Call<FuncId>, Option<CounterId>),
        span: Option<usize>,
    ) {
        let params = loops.funcs[call.callee].params.values();
        let used = |(param, place): (&edgecc_ir::loops::Param, &Place)| {
            let whole = is_whole(loops, place, param.ty.shape.numel(), parts);
            Use { buffer: place.buffer, access: param.access, whole }
        };
        let uses = params.zip(&call.args).map(used).collect();
        self.sites.push(Site { call: Some(call), uses, span });
    }

    fn test(&mut self, place: Option<&Place>, span: Option<usize>) {
        let uses = place.into_iter().map(|place| Use {
            buffer: place.buffer,
            access: ParamAccess::Read,
            whole: true,
        });
        let uses: Vec<Use> = uses.collect();
        if !uses.is_empty() {
            self.sites.push(Site { call: None, uses, span });
        }
    }
}

/// Whether this many elements at a place are all of its buffer, in one call or in all parts.
fn is_whole(loops: &Loops, place: &Place, elements: usize, parts: Option<CounterId>) -> bool {
    let there = loops.buffers[place.buffer].ty.shape.numel();
    let in_parts = |counter: CounterId| {
        place.offset == Affine::scaled(counter, elements as i64)
            && loops.program.counters[counter] * elements == there
    };
    place.is_start() && elements == there || parts.is_some_and(in_parts)
}
