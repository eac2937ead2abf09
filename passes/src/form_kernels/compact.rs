//! Removes buffers that joined kernels no longer use.

use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use edgecc_ir::kernel::{BufferId, Home, KernelId, Kernels};
use edgecc_ir::program::{Call, Place, map_steps};

/// Keeps the arena buffers that some step uses, and all others.
pub(super) fn drop_unused_buffers(kernels: &mut Kernels) {
    let mut used = EntitySet::new();
    map_places(kernels, &mut used, &|used: &mut EntitySet<BufferId>, place| {
        used.insert(place.buffer);
        place.clone()
    });
    let mut renamed: SecondaryMap<BufferId, Option<BufferId>> = SecondaryMap::new();
    let mut buffers = PrimaryMap::new();
    for (id, buffer) in &kernels.buffers {
        if used.contains(id) || buffer.home != Home::Arena {
            renamed[id] = Some(buffers.push(buffer.clone()));
        }
    }
    kernels.buffers = buffers;
    map_places(kernels, &mut renamed, &|renamed, place| Place {
        buffer: renamed[place.buffer].expect("used buffers stay"),
        offset: place.offset.clone(),
    });
}

fn map_places<C>(kernels: &mut Kernels, cx: &mut C, with: &impl Fn(&mut C, &Place) -> Place) {
    let call = |cx: &mut C, call: &Call<KernelId>| Call {
        callee: call.callee,
        args: call.args.iter().map(|place| with(cx, place)).collect(),
        loc: call.loc,
    };
    kernels.program.steps = map_steps(&kernels.program.steps, cx, &call, with);
}
