//! L5: steps bind fitting buffers, which alias only as the plan says.

use crate::diag::Violation;
use crate::kernel::{BufferId, Home};
use crate::loops::{FuncId, Loops, Param, Step};

pub(super) fn check(loops: &Loops) -> Vec<Violation> {
    let mut found = Vec::new();
    for (n, step) in loops.steps.iter().enumerate() {
        let Step::Call { func, args, .. } = step;
        let messages = call(loops, *func, args);
        found.extend(messages.into_iter().map(|m| Violation::new("L5", format!("step {n}"), m)));
    }
    found
}

fn call(loops: &Loops, func: FuncId, args: &[BufferId]) -> Vec<String> {
    let Some(func) = loops.funcs.get(func) else {
        return vec![format!("no function {func}")];
    };
    if args.len() != func.params.len() || args.iter().any(|&a| !loops.buffers.is_valid(a)) {
        return vec![format!(
            "{args:?} are not the {} buffers of {}",
            func.params.len(),
            func.name
        )];
    }
    let bound: Vec<(&Param, BufferId)> = func.params.values().zip(args.iter().copied()).collect();
    let fits = bound.iter().filter_map(|&(param, buffer)| misfit(loops, param, buffer));
    fits.chain(aliases(&bound)).collect()
}

fn misfit(loops: &Loops, param: &Param, id: BufferId) -> Option<String> {
    let buffer = &loops.buffers[id];
    let equal =
        buffer.ty.elem == param.ty.elem && buffer.ty.shape.numel() == param.ty.shape.numel();
    let writable = matches!(buffer.home, Home::Arena | Home::Output(_));
    if !equal {
        return Some(format!("{id}: {} does not fit a parameter {}", buffer.ty, param.ty));
    }
    (param.access.writes() && !writable).then(|| format!("{id} in {:?} is written", buffer.home))
}

/// A written buffer is bound to no other parameter; sharing of memory is between buffers.
fn aliases(bound: &[(&Param, BufferId)]) -> Vec<String> {
    let written = bound.iter().filter(|(param, _)| param.access.writes());
    written
        .filter(|(_, id)| bound.iter().filter(|(_, other)| other == id).count() > 1)
        .map(|(_, id)| format!("{id} is written and bound twice"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::kernel::{Buffer, Home};
    use crate::loc::{Loc, LocTable};
    use crate::loops::build::LoopBuilder;
    use crate::loops::{Loops, Param, ParamAccess, Step};
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
            steps: Vec::new(),
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
        let (args, loc) = (args.iter().map(|&a| ids[a]).collect(), loops.locs.push(Loc::Unknown));
        loops.steps = vec![Step::Call { func, args, loc }];
        check(&loops).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fitting_buffers_pass() {
        assert!(violations(&[(Home::Input(0), 4), (Home::Output(0), 4)], &[0, 1]).is_empty());
    }

    #[test]
    fn l5_buffers_fit_their_parameters() {
        let found = violations(&[(Home::Input(0), 5), (Home::Arena, 4)], &[0, 1]);
        assert_eq!(found, ["L5 at step 0: b0: f32[5] does not fit a parameter f32[4]"]);
        assert_eq!(violations(&[(Home::Arena, 4)], &[0]).len(), 1);
    }

    #[test]
    fn l5_inputs_are_not_written() {
        let found = violations(&[(Home::Arena, 4), (Home::Input(0), 4)], &[0, 1]);
        assert_eq!(found, ["L5 at step 0: b1 in Input(0) is written"]);
    }

    #[test]
    fn l5_a_written_buffer_is_bound_once() {
        let found = violations(&[(Home::Arena, 4)], &[0, 0]);
        assert_eq!(found, ["L5 at step 0: b0 is written and bound twice"]);
    }
}
