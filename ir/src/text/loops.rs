//! The text form of loops.
//!
//! ```text
//! loops @net ("x": f32[16]) -> ("y": f32[1]) macs 16
//!
//! func @f0 "k0_sum" (%p0: f32[16]) -> (%p1: f32[1]) {
//!   %v0: f32x4 = const 0
//!   for i0 in 0..4 carry (%v1: f32x4 = %v0) {
//!     %v2: f32x4 = load %p0[i0*4]
//!     %v3: f32x4 = add %v1, %v2
//!   } next (%v4: f32x4 = %v3)
//!   %v5: f32 = reduce_lanes add %v4
//!   store %v5, %p1[0]
//! }
//! ```
//!
//! followed by the program and, once planned, by the places of the arena's buffers. Values and
//! indices are numbered as they appear. The statements are in `stmt`.

use super::cursor::{Cursor, Parse};
use super::program::{
    ParsedProgram, lookup, parse_program, parse_signature, write_consts, write_program,
    write_signature,
};
use super::stmt::{first_write, parse_func, write_func};
use super::tables::{Tables, write_locs};
use super::write::text_of;
use super::{ParseError, Parsed, PrintOptions};
use crate::loops::{FuncId, Loops};
use crate::plan::{MemoryPlan, Slot};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Prints functions, buffers, steps and the memory plan.
#[must_use]
pub fn print_loops(loops: &Loops, options: &PrintOptions) -> String {
    text_of(|out| write_loops(out, loops, options))
}

/// Parses functions, buffers, steps and the memory plan; everything is as written, for `verify` to
/// check.
pub fn parse_loops(text: &str) -> Result<Parsed<Loops>, ParseError> {
    let c = &mut Cursor::new(text);
    c.expect("loops")?;
    let (name, inputs, outputs) = parse_signature(c)?;
    let macs = if c.eat("macs") { c.integer()? } else { 0 };
    let (mut funcs, mut names) = (PrimaryMap::new(), BTreeMap::new());
    while c.at("func") {
        let (name, func) = parse_func(c)?;
        names.insert(name, funcs.push(func));
    }
    let mut tables = Tables::default();
    let program = parse_program(c, &mut tables, &names)?;
    let plan = if c.at("plan") { Some(parse_plan(c, &program)?) } else { None };
    tables.parse(c)?;
    let (buffers, program) = program.finish(&mut tables)?;
    let (consts, locs, elided) = tables.finish(c)?;
    let ir = Loops { name, funcs, buffers, consts, inputs, outputs, program, plan, macs, locs };
    Ok(Parsed { ir, elided })
}

fn write_loops(out: &mut String, loops: &Loops, options: &PrintOptions) -> fmt::Result {
    out.push_str("loops ");
    write_signature(out, &loops.name, &loops.inputs, &loops.outputs)?;
    if loops.macs > 0 {
        write!(out, " macs {}", loops.macs)?;
    }
    out.push_str("\n\n");
    for (id, func) in &loops.funcs {
        write_func(out, id, func)?;
        out.push('\n');
    }
    let split = |&id: &FuncId| loops.funcs.get(id).map_or(0, first_write);
    let consts = write_program(out, &loops.buffers, &loops.program, split, options)?;
    loops.plan.iter().try_for_each(|plan| write_plan(out, loops, plan))?;
    write_consts(out, &consts, &loops.consts, options)?;
    write_locs(out, &loops.locs, options)
}

fn write_plan(out: &mut String, loops: &Loops, plan: &MemoryPlan) -> fmt::Result {
    let MemoryPlan { arena_bytes, align, lower_bound, slots, shared } = plan;
    writeln!(out, "plan arena {arena_bytes} align {align} bound {lower_bound} {{")?;
    for id in loops.buffers.keys() {
        if let Some(Slot { offset, bytes }) = slots[id] {
            writeln!(out, "  %{id} at {offset} bytes {bytes}")?;
        }
    }
    for (old, new) in shared {
        writeln!(out, "  %{new} over %{old}")?;
    }
    out.write_str("}\n")
}

fn parse_plan<'a>(c: &mut Cursor<'a>, program: &ParsedProgram<'a, FuncId>) -> Parse<MemoryPlan> {
    c.expect("plan")?;
    let mut number = |name: &str| c.expect(name).and_then(|()| c.integer());
    let (arena_bytes, align, lower_bound) = (number("arena")?, number("align")?, number("bound")?);
    let (mut slots, mut shared) = (SecondaryMap::new(), Vec::new());
    c.expect("{")?;
    while !c.eat("}") {
        let token = c.value()?;
        let buffer = lookup(&program.names, token)?;
        if c.eat("over") {
            let token = c.value()?;
            shared.push((lookup(&program.names, token)?, buffer));
            continue;
        }
        c.expect("at")?;
        let offset = c.integer()?;
        c.expect("bytes")?;
        slots[buffer] = Some(Slot { offset, bytes: c.integer()? });
    }
    Ok(MemoryPlan { arena_bytes, align, lower_bound, slots, shared })
}

#[cfg(test)]
mod tests {
    use super::super::{ParseError, PrintOptions};
    use super::{parse_loops, print_loops};
    use crate::affine::Affine;
    use crate::kernel::{Buffer, BufferId, ConstId, Home, Port};
    use crate::loc::{Loc, LocTable};
    use crate::loops::build::LoopBuilder;
    use crate::loops::matrix::{MatrixSum, Place};
    use crate::loops::{Expr, Guard, LoopFn, Loops, Param, ParamAccess, Stmt, VType, ValueId};
    use crate::plan::{MemoryPlan, Slot};
    use crate::program::{Call, Program, Step};
    use crate::scalar::func::ScalarFn;
    use crate::scalar::table::Table;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
    use smallvec::smallvec;

    const F32X4: VType = VType { elem: ElemType::F32, lanes: 4 };

    fn f32s(dims: &[usize]) -> TensorType {
        TensorType::new(ElemType::F32, dims)
    }

    fn program(func: LoopFn) -> Loops {
        let mut loops = Loops {
            name: "net".to_owned(),
            funcs: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: vec![Port { name: "y".to_owned(), ty: f32s(&[4]) }],
            program: Program::default(),
            plan: None,
            macs: 0,
            locs: LocTable::new(),
        };
        loops.funcs.push(func);
        loops
    }

    fn check(loops: &Loops) -> String {
        let text = print_loops(loops, &PrintOptions::exact());
        let parsed = parse_loops(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(&parsed.ir, loops, "{text}");
        text
    }

    fn params(b: &mut LoopBuilder) -> [crate::loops::ParamId; 2] {
        let param = |access| Param { ty: f32s(&[4, 4]), access };
        [ParamAccess::Read, ParamAccess::Write].map(|access| b.param(param(access)))
    }

    /// Sums rows under a guard.
    fn guarded_sum() -> LoopFn {
        let mut b = LoopBuilder::new("sum");
        let [x, y] = params(&mut b);
        let zero = b.constant(Scalar::f32(0.0), 4);
        b.for_each(4, |b, row| {
            let sums = b.for_carried(3, &[zero], |b, column, sum| {
                let expr = Affine::scaled(row, 2).plus(column, -1).offset(-1);
                let guards =
                    vec![Guard { expr, extent: 4 }, Guard { expr: Affine::var(row), extent: 3 }];
                b.guarded(guards, &[sum[0]], |b| {
                    let index = vec![Affine::var(row), Affine::constant(0)];
                    let load = b.load(F32X4, x, index, 3);
                    vec![b.apply(ScalarFn::Add, &[sum[0], load])]
                })
            });
            b.store(y, vec![Affine::var(row), Affine::constant(0)], sums[0], 4);
        });
        b.finish()
    }

    #[test]
    fn computed_indices_and_updated_parameters_round_trip() {
        let mut b = LoopBuilder::new("walk");
        let [x, _] = params(&mut b);
        let scratch = b.param(Param { ty: f32s(&[4]), access: ParamAccess::ReadWrite });
        b.for_each(4, |b, i| {
            let wanted = b.index_value(Affine::scaled(i, 3).offset(-2));
            let row = b.index(4, wanted);
            let value = b.load(F32X4, x, vec![Affine::var(row), Affine::constant(0)], 4);
            b.store(scratch, vec![Affine::var(i)], value, 1);
        });
        let text = check(&program(b.finish()));
        let body = "\
func @f0 \"walk\" (%p0: f32[4,4]) -> (%p1: f32[4,4], update %p2: f32[4]) {
  for i0 in 0..4 {
    %v0: i64 = index_value i0*3-2
    index i1 in 0..4 = %v0
";
        assert!(text.contains(body), "{text}");
    }

    #[test]
    fn matrix_sums_print_their_indices_first() {
        let mut b = LoopBuilder::new("sums");
        let mut param = |elem, dims: &[usize], access| {
            b.param(Param { ty: TensorType::new(elem, dims), access })
        };
        let x = param(ElemType::U8, &[32, 12], ParamAccess::Read);
        let w = param(ElemType::I32, &[3, 16], ParamAccess::Read);
        let y = param(ElemType::I32, &[32, 16], ParamAccess::Write);
        let (row, step) = (b.own_index(32), b.own_index(3));
        let [at_row, zero] = [Affine::var(row), Affine::constant(0)];
        b.matrix(MatrixSum {
            row,
            tile_rows: 16,
            steps: smallvec![step],
            columns: 16,
            dot: ScalarFn::DotU8,
            codes: Place { param: x, index: vec![at_row.clone(), Affine::scaled(step, 4)] },
            words: Place { param: w, index: vec![Affine::var(step), zero.clone()] },
            to: Place { param: y, index: vec![at_row, zero] },
        });
        let text = check(&program(b.finish()));
        let line = "matrix i0 in 0..32 by 16 sum i1 in 0..3 dot_u8 %p0[i0, i1*4], %p1[i1, 0] \
                    to %p2[i0, 0] columns 16\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn structured_statements_print_their_values_in_order() {
        let text = check(&program(guarded_sum()));
        let body = "\
func @f0 \"sum\" (%p0: f32[4,4]) -> (%p1: f32[4,4]) {
  %v0: f32x4 = const 0
  for i0 in 0..4 {
    for i1 in 0..3 carry (%v1: f32x4 = %v0) {
      if 0 <= i0*2-i1-1 < 4 and 0 <= i0 < 3 {
        %v2: f32x4 = load %p0[i0, 0] lanes 3
        %v3: f32x4 = add %v1, %v2
      } yield (%v4: f32x4 = %v3 else %v1)
    } next (%v5: f32x4 = %v4)
    store %v5, %p1[i0, 0] lanes 4
  }
}
";
        assert!(text.contains(body), "{text}");
    }

    #[test]
    fn every_expression_round_trips() {
        let mut b = LoopBuilder::new("all");
        let [x, y] = params(&mut b);
        let scalar = b.constant(Scalar::f32(1.5), 1);
        let vector = b.splat(scalar, 4);
        let lane = b.define(F32X4, Expr::SplatLane(vector, 3));
        let element = b.define(VType::scalar(ElemType::F32), Expr::Extract(lane, 2));
        b.define(F32X4, Expr::Pack(smallvec![element, scalar, element, scalar]));
        let sum = b.define(VType::scalar(ElemType::F32), Expr::ReduceLanes(ScalarFn::Max, lane));
        let whole = b.cast(ElemType::I32, sum);
        let code = b.cast(ElemType::I8, whole);
        b.lookup(Table::new(ElemType::U8, |bits| !bits), code);
        b.constant(Scalar::from_i64(ElemType::I32, -7), 2);
        b.constant(Scalar::bool(true), 4);
        b.define(F32X4, Expr::Const(Scalar::from_i64(ElemType::I8, 3)));
        b.define(VType::scalar(ElemType::I8), Expr::Const(Scalar::f32(1.0)));
        b.apply(ScalarFn::Neg, &[whole]);
        b.load(VType::scalar(ElemType::F32), x, vec![Affine::constant(3); 2], 1);
        b.store(y, vec![Affine::constant(0); 2], sum, 1);
        b.prefetch(x, vec![Affine::constant(9); 2]);
        b.guarded(Vec::new(), &[], |_| Vec::new());
        let text = check(&program(b.finish()));
        for line in
            ["%v9: i32x2 = const -7", "%v11: f32x4 = const 3:i8", "prefetch %p0[9, 9]", "if {"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn programs_and_plans_round_trip() {
        let mut loops = program(guarded_sum());
        let func = loops.funcs.keys().next().expect("one function");
        loops.macs = 48;
        loops.consts.push(Tensor::from_f32s(&[4, 4], &[f32::INFINITY; 16]));
        let homes = [Home::Const(ConstId::new(0)), Home::Arena, Home::Output(0)];
        for home in homes {
            loops.buffers.push(Buffer { ty: f32s(&[4, 4]), home });
        }
        let loc = loops.locs.push(Loc::Text { line: 3, column: 4 });
        let args = vec![BufferId::new(0).into(), BufferId::new(1).into()];
        loops.program.steps.push(Step::Call(Call { callee: func, args, loc }));
        let mut slots = SecondaryMap::new();
        slots[BufferId::new(1)] = Some(Slot { offset: 0, bytes: 64 });
        let shared = vec![(BufferId::new(0), BufferId::new(1))];
        loops.plan =
            Some(MemoryPlan { arena_bytes: 64, align: 64, lower_bound: 60, slots, shared });
        let text = check(&loops);
        assert!(
            text.contains(
                "plan arena 64 align 64 bound 60 {\n  %b1 at 0 bytes 64\n  %b1 over %b0\n}\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn values_and_indices_are_renumbered_as_they_appear() {
        let mut func = guarded_sum();
        func.values.push(F32X4);
        let value = func.values.push(F32X4);
        func.body.insert(0, Stmt::Let { value, expr: Expr::Const(Scalar::f32(2.0)) });
        let text = print_loops(&program(func), &PrintOptions::default());
        let parsed = parse_loops(&text).expect("just printed").ir;
        assert_eq!(print_loops(&parsed, &PrintOptions::default()), text);
        assert_eq!(parsed.funcs.values().next().map(|f| f.values.len()), Some(7));
    }

    #[test]
    fn a_use_before_the_definition_parses() {
        let func = func("%v1: f32 = neg %v0 %v0: f32 = const 1").expect("legal text");
        assert_eq!(func.body.len(), 2);
        assert!(matches!(func.body[0], Stmt::Let { value, .. } if value == ValueId::new(0)));
    }

    fn func(body: &str) -> Result<LoopFn, ParseError> {
        let text = format!(
            "loops @m () -> () func @f0 \"f\" () -> (%p: f32[]) {{\n{body}\n}} program {{}}"
        );
        parse_loops(&text).map(|p| p.ir.funcs.values().next().expect("one function").clone())
    }

    #[test]
    fn ill_formed_functions_are_errors() {
        let deep = "for i in 0..1 {".repeat(10_000);
        for (bad, message) in [
            ("%v1: f32 = neg %v0", "2:16: `%v0` is not defined"),
            ("%v: f32 = const 1 %v: i32 = const 1", "2:19: the value had another type before"),
            ("%v: f32y = const 1", "2:5: expected a type such as `f32x4`, found `f32y`"),
            ("for i in 1..2 {}", "2:5: an index starts at 0"),
            ("for i in 0..2 {} for i in 0..3 {}", "2:22: the index had another extent before"),
            ("goto i", "2:1: no statement starts with `goto`"),
            ("%v: f32 = frob %v", "2:11: no operation is called `frob`"),
            (deep.as_str(), "2:960: nested deeper than 64"),
        ] {
            assert_eq!(func(bad).expect_err(bad).to_string(), message);
        }
    }
}
