//! L5: calls bind places inside fitting buffers, which alias only as the plan says.

use crate::diag::Violation;
use crate::kernel::Home;
use crate::loops::{FuncId, Loops, Param, ParamAccess};
use crate::program::verify::{disjoint, problems};
use crate::program::{Parallel, Place, Step};

pub(super) fn check(loops: &Loops) -> Vec<Violation> {
    let operands =
        |&id: &FuncId| Some(loops.funcs.get(id)?.params.values().map(|p| &p.ty).collect());
    let broken = problems(&loops.program, &loops.buffers, operands);
    if !broken.is_empty() {
        return broken.into_iter().map(|(at, why)| Violation::new("L5", at, why)).collect();
    }
    let mut found = Vec::new();
    for (n, (call, _)) in loops.program.calls().into_iter().enumerate() {
        let bound: Vec<(&Param, &Place)> =
            loops.funcs[call.callee].params.values().zip(&call.args).collect();
        let messages = bound.iter().filter_map(|(param, place)| read_only(loops, param, place));
        let messages = messages.chain(aliases(loops, &bound));
        found.extend(messages.map(|m| Violation::new("L5", format!("call {n}"), m)));
    }
    shared_scratch(loops, &loops.program.steps, &mut found);
    found
}

/// Parts of a call have memory of their own wherever they load what they store.
fn shared_scratch(loops: &Loops, steps: &[Step<FuncId>], found: &mut Vec<Violation>) {
    for step in steps {
        if let Step::Parallel(Parallel { counter, call }) = step {
            let func = &loops.funcs[call.callee];
            for (param, place) in func.params.values().zip(&call.args) {
                let apart = place.offset.coefficient(*counter).unsigned_abs() as usize;
                if param.access == ParamAccess::ReadWrite && apart < param.ty.shape.numel() {
                    let why = format!("parts share {}, which they load and store", place.buffer);
                    found.push(Violation::new("L5", func.name.clone(), why));
                }
            }
        }
        step.blocks().for_each(|block| shared_scratch(loops, block, found));
    }
}

fn read_only(loops: &Loops, param: &Param, place: &Place) -> Option<String> {
    let home = loops.buffers[place.buffer].home;
    let writable = matches!(home, Home::Arena | Home::Output(_));
    (param.access.writes() && !writable).then(|| format!("{} in {home:?} is written", place.buffer))
}

/// What is written is bound to no other parameter; sharing of memory is between buffers.
fn aliases(loops: &Loops, bound: &[(&Param, &Place)]) -> Vec<String> {
    let apart = |a: &(&Param, &Place), b: &(&Param, &Place)| {
        let [a, b] = [a, b].map(|(param, place)| (*place, param.ty.shape.numel()));
        disjoint(&loops.program, a, b)
    };
    let written = bound.iter().filter(|(param, _)| param.access.writes());
    written
        .filter(|write| bound.iter().filter(|other| !apart(write, other)).count() > 1)
        .map(|(_, place)| format!("{} is written and bound twice", place.buffer))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::kernel::{Buffer, Home};
    use crate::loc::{Loc, LocTable};
    use crate::loops::build::LoopBuilder;
    use crate::loops::{Loops, Param, ParamAccess};
    use crate::program::{Call, Program, Step};
    use crate::types::{ElemType, TensorType};
    use cranelift_entity::PrimaryMap;

    /// One call of a function `(f32[4] read, f32[4] written)` on buffers of these homes and sizes;
    /// `args` are positions in `buffers`.
    fn violations(buffers: &[(Home, usize)], args: &[usize]) -> Vec<String> {
        let mut b = LoopBuilder::new("f");
        for access in [ParamAccess::Read, ParamAccess::Write] {
            b.param(Param { ty: TensorType::new(ElemType::F32, &[4]), access });
        }
        let mut loops = Loops {
            name: "m".to_owned(),
            funcs: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            program: Program::default(),
            plan: None,
            macs: 0,
            locs: LocTable::new(),
        };
        let func = loops.funcs.push(b.finish());
        let ids: Vec<_> = buffers
            .iter()
            .map(|&(home, len)| Buffer { ty: TensorType::new(ElemType::F32, &[len]), home })
            .map(|buffer| loops.buffers.push(buffer))
            .collect();
        let args = args.iter().map(|&a| ids[a].into()).collect();
        let loc = loops.locs.push(Loc::Unknown);
        loops.program.steps = vec![Step::Call(Call { callee: func, args, loc })];
        check(&loops).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fitting_buffers_pass() {
        assert!(violations(&[(Home::Input(0), 4), (Home::Output(0), 4)], &[0, 1]).is_empty());
    }

    #[test]
    fn l5_buffers_fit_their_parameters() {
        let found = violations(&[(Home::Input(0), 3), (Home::Arena, 4)], &[0, 1]);
        assert_eq!(found, ["L5 at call 0: b0: f32[3] does not hold f32[4]"]);
        assert_eq!(violations(&[(Home::Arena, 4)], &[0]).len(), 1);
    }

    #[test]
    fn l5_inputs_are_not_written() {
        let found = violations(&[(Home::Arena, 4), (Home::Input(0), 4)], &[0, 1]);
        assert_eq!(found, ["L5 at call 0: b1 in Input(0) is written"]);
    }

    #[test]
    fn l5_a_written_buffer_is_bound_once() {
        let found = violations(&[(Home::Arena, 4)], &[0, 0]);
        assert_eq!(found, ["L5 at call 0: b0 is written and bound twice"]);
    }
}
