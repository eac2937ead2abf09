//! The text form of kernels.
//!
//! ```text
//! kernels @net ("x": f32[4,8]) -> ("y": f32[4,1])
//!
//! kernel @k0 "rowsum" (%p0: f32[4,8]) -> (%p1: f32[4,1]) {
//!   axes a0:4 | a1:8
//!     %p1[a0, 0] = reduce add from 0 of (x0 = %p0[a0, a1]) -> x0
//!       then (acc) -> mul(acc, 0.125)
//!   schedule tile(a0:4) unroll(a1:8)
//! }
//! ```
//!
//! followed by the program. Axes before `|` are parallel, those after it reduce. Axes are numbered
//! as they appear, unless a `declare` line gives another order.

use super::affine::{parse_affine, parse_extent, write_affine};
use super::attrs::parse_func;
use super::cursor::{Cursor, Parse};
use super::lex::{Kind, Token};
use super::number::{parse_scalar, write_scalar};
use super::program::{
    define, lookup, parse_program, parse_signature, write_consts, write_program, write_signature,
    write_split,
};
use super::routine::{parse_routine, write_routine};
use super::scalar::{parse_body, write_body};
use super::schedule::{Names, parse_schedule, write_schedule};
use super::tables::{Tables, write_locs};
use super::write::{text_of, write_list, write_string};
use super::{ParseError, Parsed, PrintOptions};
use crate::affine::Affine;
use crate::kernel::{
    Access, Axis, AxisId, AxisKind, Index, Kernel, KernelId, Kernels, Lookup, Operand, OperandId,
    Outside, Reduce, Role, Stage, Unit,
};
use crate::scalar::ScalarExpr;
use cranelift_entity::PrimaryMap;
use indexmap::IndexSet;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Prints kernels, buffers and calls.
#[must_use]
pub fn print_kernels(kernels: &Kernels, options: &PrintOptions) -> String {
    text_of(|out| write_kernels(out, kernels, options))
}

/// Parses kernels, buffers and calls; everything is as written, for `verify` to check.
pub fn parse_kernels(text: &str) -> Result<Parsed<Kernels>, ParseError> {
    let c = &mut Cursor::new(text);
    c.expect("kernels")?;
    let (name, inputs, outputs) = parse_signature(c)?;
    let (mut kernels, mut names) = (PrimaryMap::new(), BTreeMap::new());
    while c.at("kernel") {
        let (name, kernel) = KernelParser::default().parse(c)?;
        names.insert(name, kernels.push(kernel));
    }
    let mut tables = Tables::default();
    let program = parse_program(c, &mut tables, &names)?;
    tables.parse(c)?;
    let (buffers, program) = program.finish(&mut tables)?;
    let (consts, locs, elided) = tables.finish(c)?;
    let ir = Kernels { name, kernels, buffers, consts, inputs, outputs, program, locs };
    Ok(Parsed { ir, elided })
}

/// Prints one kernel, as in a dump of all.
#[must_use]
pub fn print_kernel(id: KernelId, kernel: &Kernel) -> String {
    text_of(|out| write_kernel(out, id, kernel))
}

fn write_kernels(out: &mut String, kernels: &Kernels, options: &PrintOptions) -> fmt::Result {
    out.push_str("kernels ");
    write_signature(out, &kernels.name, &kernels.inputs, &kernels.outputs)?;
    out.push_str("\n\n");
    for (id, kernel) in &kernels.kernels {
        write_kernel(out, id, kernel)?;
        out.push('\n');
    }
    let split = |&id: &KernelId| kernels.kernels.get(id).map_or(0, first_write);
    let consts = write_program(out, &kernels.buffers, &kernels.program, split, options)?;
    write_consts(out, &consts, &kernels.consts, options)?;
    write_locs(out, &kernels.locs, options)
}

/// The number of operands before the first one that is written.
fn first_write(kernel: &Kernel) -> usize {
    kernel.operands.values().take_while(|o| o.role != Role::Write).count()
}

fn write_kernel(out: &mut String, id: KernelId, kernel: &Kernel) -> fmt::Result {
    write!(out, "kernel @{id} ")?;
    write_string(out, &kernel.name)?;
    out.push(' ');
    let operands: Vec<(OperandId, &Operand)> = kernel.operands.iter().collect();
    let (reads, writes) = operands.split_at(first_write(kernel));
    write_split(out, reads, writes, |out, (id, operand)| {
        let role = match operand.role {
            Role::Read if writes.iter().any(|w| w.0 == *id) => "read ",
            Role::Read | Role::Write => "",
            Role::Const => "const ",
            Role::Local => "local ",
        };
        write!(out, "{role}%{id}: {}", operand.ty)
    })?;
    out.push_str(" {\n");
    write_declaration(out, kernel)?;
    write_rows(out, kernel)?;
    kernel.stages.iter().try_for_each(|stage| write_stage(out, kernel, stage))?;
    write_routine(out, kernel)?;
    if let Some(schedule) = &kernel.schedule {
        out.push_str("  ");
        write_schedule(out, schedule)?;
        out.push('\n');
    }
    out.write_str("}\n")
}

/// All axes in numeric order, unless that is the order in which the stages show them.
fn write_declaration(out: &mut String, kernel: &Kernel) -> fmt::Result {
    let shown = |stage| kernel.parallel_axes(stage).chain(kernel.reduce_axes(stage));
    let stages = kernel.stages.iter().flat_map(shown);
    let seen: IndexSet<AxisId> = kernel.rows.iter().copied().chain(stages).collect();
    if seen.iter().copied().eq(kernel.axes.keys()) {
        return Ok(());
    }
    out.push_str("  declare");
    for (id, axis) in &kernel.axes {
        let kind = match axis.kind {
            AxisKind::Parallel => "parallel",
            AxisKind::Reduce => "reduce",
        };
        write!(out, " {kind} {id}:{}", axis.extent)?;
    }
    out.write_char('\n')
}

/// The axes outside all stages.
fn write_rows(out: &mut String, kernel: &Kernel) -> fmt::Result {
    if kernel.rows.is_empty() {
        return Ok(());
    }
    out.push_str("  rows");
    kernel.rows.iter().try_for_each(|&a| write!(out, " {a}:{}", kernel.extent(a)))?;
    out.write_char('\n')
}

fn write_stage(out: &mut String, kernel: &Kernel, stage: &Stage) -> fmt::Result {
    out.push_str("  axes");
    let extent = |axis| kernel.extent(axis);
    kernel.parallel_axes(stage).try_for_each(|a| write!(out, " {a}:{}", extent(a)))?;
    let mut bar = " |";
    for axis in kernel.reduce_axes(stage) {
        write!(out, "{} {axis}:{}", std::mem::take(&mut bar), extent(axis))?;
    }
    out.push_str("\n    ");
    write_access(out, &stage.write)?;
    out.push_str(" = ");
    if let Some(reduce) = &stage.reduce {
        write!(out, "reduce {} from ", reduce.func.info().mnemonic)?;
        write_scalar(out, reduce.init)?;
        out.push_str(" of ");
    }
    write_function(out, &[], &stage.reads, &stage.body)?;
    if !stage.epilogue.is_identity() || !stage.epilogue_reads.is_empty() {
        out.push_str("\n      then ");
        write_function(out, &["acc"], &stage.epilogue_reads, &stage.epilogue)?;
    }
    out.write_char('\n')
}

/// `(acc, x0 = %p0[a0]) -> add(acc, x0)`: free parameters, then those bound to reads.
fn write_function(
    out: &mut String,
    free: &[&str],
    reads: &[Access],
    body: &ScalarExpr,
) -> fmt::Result {
    out.push('(');
    write_list(out, free, |out, name| out.write_str(name))?;
    for (at, read) in reads.iter().enumerate() {
        let separator = if at + free.len() > 0 { ", " } else { "" };
        write!(out, "{separator}x{at} = ")?;
        write_access(out, read)?;
    }
    out.push_str(") -> ");
    let bound = (0..reads.len()).map(|at| format!("x{at}"));
    let names: Vec<String> = free.iter().map(ToString::to_string).chain(bound).collect();
    write_body(out, body, &names)
}

fn write_access(out: &mut String, access: &Access) -> fmt::Result {
    if access.unit == Unit::Word {
        out.push_str("word ");
    }
    write!(out, "%{}[", access.operand)?;
    write_list(out, &access.index, |out, index| match index {
        Index::Affine(affine) => write_place(out, affine),
        Index::Lookup(lookup) => {
            write!(out, "%{}[", lookup.operand)?;
            write_list(out, &lookup.index, write_place)?;
            out.write_char(']')
        }
    })?;
    out.push(']');
    match access.outside {
        Outside::Never => Ok(()),
        Outside::Pad(value) => {
            out.push_str(" else ");
            write_scalar(out, value)
        }
    }
}

fn write_place(out: &mut String, place: &Affine<AxisId>) -> fmt::Result {
    let terms = place.terms().iter().map(|&(axis, c)| (axis.as_u32(), c));
    write_affine(out, 'a', terms, place.constant)
}

/// A kernel while it is read: its names and their meanings.
#[derive(Default)]
pub(super) struct KernelParser<'a> {
    operands: PrimaryMap<OperandId, Operand>,
    operand_names: BTreeMap<&'a str, OperandId>,
    axes: PrimaryMap<AxisId, Axis>,
    axis_names: BTreeMap<&'a str, AxisId>,
}

impl<'a> KernelParser<'a> {
    /// The symbol and the kernel.
    fn parse(mut self, c: &mut Cursor<'a>) -> Parse<(String, Kernel)> {
        c.expect("kernel")?;
        let symbol = c.symbol()?;
        let name = c.string()?;
        c.list("(", ")", |c| self.operand(c, Role::Read))?;
        c.expect("->")?;
        c.list("(", ")", |c| self.operand(c, Role::Write))?;
        c.expect("{")?;
        if c.eat("declare") {
            self.declaration(c)?;
        }
        let mut rows = Vec::new();
        if c.eat("rows") {
            while c.at_kind(Kind::Word) && !c.at("axes") && !c.at("schedule") && !c.at("routine") {
                rows.push(self.axis(c, AxisKind::Parallel)?);
            }
        }
        let mut stages = Vec::new();
        while c.eat("axes") {
            stages.push(self.stage(c)?);
        }
        let routine = if c.eat("routine") { Some(parse_routine(c, &self.operands)?) } else { None };
        let schedule = if c.at("schedule") { Some(parse_schedule(c, &self)?) } else { None };
        c.expect("}")?;
        let (operands, axes) = (self.operands, self.axes);
        Ok((symbol, Kernel { name, operands, axes, rows, stages, routine, schedule }))
    }

    fn operand(&mut self, c: &mut Cursor<'a>, default: Role) -> Parse<()> {
        let role = match () {
            () if c.eat("read") => Role::Read,
            () if c.eat("const") => Role::Const,
            () if c.eat("local") => Role::Local,
            () => default,
        };
        let token = c.value()?;
        c.expect(":")?;
        let id = self.operands.push(Operand { ty: c.tensor_type()?, role });
        define(&mut self.operand_names, token, id)
    }

    fn declaration(&mut self, c: &mut Cursor<'a>) -> Parse<()> {
        loop {
            let kind = match () {
                () if c.eat("parallel") => AxisKind::Parallel,
                () if c.eat("reduce") => AxisKind::Reduce,
                () => return Ok(()),
            };
            self.axis(c, kind)?;
        }
    }

    /// An axis with its extent; it may have been shown before.
    fn axis(&mut self, c: &mut Cursor<'a>, kind: AxisKind) -> Parse<AxisId> {
        let token = c.expect_kind(Kind::Word, "an axis")?;
        c.expect(":")?;
        let extent = parse_extent(c)?;
        if extent == 0 {
            return Err(token.error("an extent is at least 1"));
        }
        let axis = Axis { extent, kind };
        let axes = &mut self.axes;
        let id = *self.axis_names.entry(token.text).or_insert_with(|| axes.push(axis));
        match self.axes[id] == axis {
            true => Ok(id),
            false => Err(token.error("the axis had another extent or kind before")),
        }
    }

    fn stage(&mut self, c: &mut Cursor<'a>) -> Parse<Stage> {
        let mut axes = Vec::new();
        while c.at_kind(Kind::Word) {
            axes.push(self.axis(c, AxisKind::Parallel)?);
        }
        if c.eat("|") {
            while c.at_kind(Kind::Word) {
                axes.push(self.axis(c, AxisKind::Reduce)?);
            }
        }
        let write = self.access(c)?;
        c.expect("=")?;
        let reduce = if c.eat("reduce") { Some(parse_reduce(c)?) } else { None };
        let (reads, body) = self.function(c, 0)?;
        let (epilogue_reads, epilogue) = match c.eat("then") {
            true => self.function(c, 1)?,
            false => (Vec::new(), ScalarExpr::identity()),
        };
        Ok(Stage { axes, reads, body, reduce, epilogue_reads, epilogue, write })
    }

    /// A function of `free` parameters and of reads.
    fn function(&self, c: &mut Cursor<'a>, free: usize) -> Parse<(Vec<Access>, ScalarExpr)> {
        let (mut names, mut reads) = (Vec::new(), Vec::new());
        c.list("(", ")", |c| {
            names.push(c.word("a parameter")?);
            if names.len() > free {
                c.expect("=")?;
                reads.push(self.access(c)?);
            }
            Ok(())
        })?;
        if names.len() < free {
            return Err(c.error("the epilogue's first parameter is the accumulator"));
        }
        c.expect("->")?;
        Ok((reads, parse_body(c, &names)?))
    }

    fn access(&self, c: &mut Cursor<'a>) -> Parse<Access> {
        let unit = if c.eat("word") { Unit::Word } else { Unit::Element };
        let operand = self.operand_id(c)?;
        let index = c.list("[", "]", |c| match c.at_kind(Kind::Value) {
            true => {
                let operand = self.operand_id(c)?;
                let index = c.list("[", "]", |c| self.place(c))?;
                Ok(Index::Lookup(Lookup { operand, index }))
            }
            false => Ok(Index::Affine(self.place(c)?)),
        })?;
        let outside = match c.eat("else") {
            true => Outside::Pad(parse_scalar(c)?),
            false => Outside::Never,
        };
        Ok(Access { operand, index, outside, unit })
    }

    fn place(&self, c: &mut Cursor<'a>) -> Parse<Affine<AxisId>> {
        parse_affine(c, |token| lookup(&self.axis_names, token))
    }
}

impl<'a> Names<'a> for KernelParser<'a> {
    fn operand_id(&self, c: &mut Cursor<'a>) -> Parse<OperandId> {
        lookup(&self.operand_names, c.value()?)
    }

    fn axis_id(&self, c: &mut Cursor<'a>) -> Parse<AxisId> {
        let token: Token<'a> = c.expect_kind(Kind::Word, "an axis")?;
        lookup(&self.axis_names, token)
    }
}

fn parse_reduce(c: &mut Cursor<'_>) -> Parse<Reduce> {
    let func = parse_func(c)?;
    c.expect("from")?;
    let init = parse_scalar(c)?;
    c.expect("of")?;
    Ok(Reduce { func, init })
}

#[cfg(test)]
mod tests {
    use super::super::PrintOptions;
    use super::{parse_kernels, print_kernel, print_kernels};
    use crate::affine::Affine;
    use crate::graph::ops::{
        Concat, Conv, Layout, Pad, Pool, Reduce as ReduceOp, TensorOp, Window,
    };
    use crate::kernel::build::{KernelBuilder, access, access_axes};
    use crate::kernel::schedule::{Pack, Schedule};
    use crate::kernel::{
        AxisId, AxisKind, Buffer, BufferId, ConstId, Home, Kernel, KernelId, Kernels, OperandId,
        Port, Reduce, Role,
    };
    use crate::loc::{Loc, LocTable};
    use crate::program::{Call, Place, Program, Step};
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::{EntityRef, PrimaryMap};

    fn f32s(dims: &[usize]) -> TensorType {
        TensorType::new(ElemType::F32, dims)
    }

    fn empty(name: &str) -> Kernels {
        Kernels {
            name: name.to_owned(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            program: Program::default(),
            locs: LocTable::new(),
        }
    }

    fn check(kernels: &Kernels) -> String {
        let text = print_kernels(kernels, &PrintOptions::exact());
        let parsed = parse_kernels(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(&parsed.ir, kernels, "{text}");
        text
    }

    fn check_kernel(kernel: Kernel) -> String {
        let text = print_kernel(KernelId::new(0), &kernel);
        let mut all = empty("m");
        all.kernels.push(kernel);
        assert!(check(&all).contains(&text));
        text
    }

    /// Row sums, then their products with 0.5, packed and scheduled in every way.
    fn row_sums() -> Kernel {
        let mut b = KernelBuilder::new("rows");
        let (x, w) = (b.read(&f32s(&[4, 8])), b.read(&f32s(&[8])));
        let y = b.write(&f32s(&[4]));
        let (row, column) = (b.axis(4, AxisKind::Parallel), b.axis(8, AxisKind::Reduce));
        let reads = vec![access_axes(x, &[row, column]), access_axes(w, &[column])];
        let reduce = Reduce { func: ScalarFn::Add, init: Scalar::f32(0.0) };
        let mul = ScalarExpr::call(ScalarFn::Mul);
        b.reduce_stage(vec![row, column], reads, mul.clone(), reduce, access_axes(y, &[row]));
        let constant = access(w, vec![Affine::constant(0)]);
        b.with_epilogue(mul, vec![constant]);
        let mut kernel = b.finish();
        kernel.operands[w].role = Role::Const;
        kernel.schedule = Some(Schedule {
            order: vec![row],
            tile: vec![(row, 2)],
            vector: vec![(row, 2)],
            unroll: vec![(column, 8)],
            peel: vec![row],
            pack: vec![Pack { operand: w, axis: row, block: 2 }],
            parts: vec![(row, 2)],
        });
        kernel
    }

    #[test]
    fn a_scheduled_kernel_prints_every_part() {
        assert_eq!(
            check_kernel(row_sums()),
            "kernel @k0 \"rows\" (%p0: f32[4,8], const %p1: f32[8]) -> (%p2: f32[4]) {\n\
             \x20 axes a0:4 | a1:8\n\
             \x20   %p2[a0] = reduce add from 0 of (x0 = %p0[a0, a1], x1 = %p1[a1]) -> mul(x0, x1)\n\
             \x20     then (acc, x0 = %p1[0]) -> mul(acc, x0)\n\
             \x20 schedule order(a0) tile(a0:2) vector(a0:2) unroll(a1:8) peel(a0) pack(%p1 by a0:2) parts(a0:2)\n}\n"
        );
        let mut unscheduled = row_sums();
        unscheduled.schedule = Some(Schedule::default());
        assert!(check_kernel(unscheduled).ends_with("  schedule\n}\n"));
    }

    #[test]
    fn the_kernels_of_ops_round_trip() {
        let window = Window { pads_begin: vec![1, 1], strides: vec![2, 2], ..Window::unit(2) };
        let pool = Pool {
            func: ScalarFn::Max,
            kernel: vec![3, 3],
            window: window.clone(),
            layout: Layout::ChannelsLast,
        };
        let image = f32s(&[1, 6, 6, 4]);
        let text = check_kernel(pool.kernel(&[&image]));
        assert!(text.contains("a1*2+a4-1, a2*2+a5-1, a3] else 0xff800000"), "{text}");
        let conv = Conv::plain(window, 2, Layout::ChannelsLast);
        check_kernel(conv.kernel(&[&image, &f32s(&[6, 2, 3, 3])]));
        let (one, two) = (f32s(&[2, 3]), f32s(&[2, 1]));
        check_kernel(Concat { dim: 1 }.kernel(&[&one, &two]));
        let value = Scalar::from_i64(ElemType::I8, -3);
        let pad = Pad { low: vec![1], high: vec![0], value };
        let text = check_kernel(pad.kernel(&[&TensorType::new(ElemType::I8, &[4])]));
        assert!(text.contains("%p0[a0-1] else -3:i8"), "{text}");
    }

    #[test]
    fn axes_in_another_order_are_declared() {
        let reduce = ReduceOp { func: ScalarFn::Add, dims: vec![0] };
        let text = check_kernel(reduce.kernel(&[&f32s(&[2, 3])]));
        assert!(
            text.contains("  declare reduce a0:2 parallel a1:3\n  axes a1:3 | a0:2\n"),
            "{text}"
        );
        let mut unused = row_sums();
        unused.axes.push(unused.axes[AxisId::new(0)]);
        check_kernel(unused);
    }

    #[test]
    fn operands_in_another_order_keep_their_roles() {
        let mut kernel = row_sums();
        kernel.operands.push(kernel.operands[OperandId::new(0)].clone());
        assert!(check_kernel(kernel).contains(") -> (%p2: f32[4], read %p3: f32[4,8]) {"));
    }

    #[test]
    fn row_kernels_round_trip() {
        let mut b = KernelBuilder::new("double");
        let (x, y, t) = (b.read(&f32s(&[4])), b.write(&f32s(&[4])), b.local(&f32s(&[])));
        let row = b.axis(4, AxisKind::Parallel);
        b.rows(vec![row]);
        let (here, double) = (access_axes(x, &[row]), ScalarExpr::call(ScalarFn::Add));
        b.map_stage(vec![row], vec![here.clone(), here], double, access(t, vec![]));
        let copy = ScalarExpr::identity();
        b.map_stage(vec![row], vec![access(t, vec![])], copy, access_axes(y, &[row]));
        let text = check_kernel(b.finish());
        assert!(text.contains("-> (%p1: f32[4], local %p2: f32[]) {\n  rows a0:4\n"), "{text}");
    }

    #[test]
    fn programs_round_trip() {
        let mut all = empty("a b");
        let port = |name: &str, dims: &[usize]| Port { name: name.to_owned(), ty: f32s(dims) };
        (all.inputs, all.outputs) = (vec![port("x", &[4, 8])], vec![port("y\"", &[4])]);
        let kernel = all.kernels.push(row_sums());
        all.consts.push(Tensor::from_f32s(&[8], &[0.5; 8]));
        all.consts.push(Tensor::from_f32s(&[17], &[f32::NAN; 17]));
        let homes = [Home::Input(0), Home::Const(ConstId::new(0)), Home::Output(0), Home::Arena];
        let mut args = Vec::new();
        for (home, dims) in homes.into_iter().zip([&[4, 8][..], &[8], &[4], &[4]]) {
            args.push(Place::from(all.buffers.push(Buffer { ty: f32s(dims), home })));
        }
        all.buffers.push(Buffer { ty: f32s(&[17]), home: Home::Const(ConstId::new(1)) });
        args.truncate(3);
        let loc = all.locs.push(Loc::Unknown);
        let call = |args| Step::Call(Call { callee: kernel, args, loc });
        all.program.steps = vec![call(args), call(vec![BufferId::new(0).into()])];
        let text = check(&all);
        assert!(text.contains("call @k0 (%b0, %b1) -> (%b2) loc0\n  call @k0 (%b0) -> () loc0\n"));
    }

    #[test]
    fn ill_formed_kernels_are_errors() {
        let kernel = |body: &str| {
            let head = "kernels @m () -> () kernel @k0 \"k\" (%x: f32[2]) -> (%y: f32[2])";
            parse_kernels(&format!("{head} {{\n{body}\n}} program {{}}"))
        };
        assert!(kernel("axes n:2 %y[n] = (v = %x[n]) -> v").is_ok());
        for (bad, message) in [
            ("axes n:0 %y[n] = (v = %x[n]) -> v", "2:6: an extent is at least 1"),
            ("axes n:2 %y[m] = (v = %x[n]) -> v", "2:13: `m` is not defined"),
            ("axes n:2 %z[n] = (v = %x[n]) -> v", "2:10: `%z` is not defined"),
            (
                "axes n:2 | n:2 %y[n] = (v = %x[n]) -> v",
                "2:12: the axis had another extent or kind before",
            ),
            (
                "axes n:2 %y[n] = (v = %x[n]) -> v then () -> 0",
                "2:43: the epilogue's first parameter is the accumulator",
            ),
            ("schedule fuse(n)", "2:10: no clause is called `fuse`"),
        ] {
            assert_eq!(kernel(bad).expect_err(bad).to_string(), message);
        }
    }
}
