//! How long values stay in vector registers.

use super::effect::effect;
use super::program::{Next, Program};
use std::collections::BTreeSet;

/// Registers that belong to the caller, in part.
const KEPT: u32 = 0xff00;

impl Program {
    /// Whether no instruction from this one on reads a register (a set of one) before it gets a new
    /// value.
    pub(super) fn is_dead(&self, register: u32, from: usize, removed: &BTreeSet<usize>) -> bool {
        let (mut left, mut seen) = (vec![from], BTreeSet::new());
        while let Some(at) = left.pop() {
            if at >= self.data {
                return false;
            }
            if !seen.insert(at) {
                continue;
            }
            let is_there = !removed.contains(&at);
            let effect = effect(self.words[at]);
            if is_there && effect.reads & register != 0 {
                return false;
            }
            let is_overwritten = is_there && effect.writes & register != 0;
            match self.next(at) {
                Next::Return if KEPT & register != 0 => return false,
                Next::Following if !is_overwritten => left.push(at + 1),
                Next::Return | Next::Following => {}
                Next::Jump { to, or_following } => {
                    left.push(to);
                    left.extend(or_following.then_some(at + 1));
                }
            }
        }
        true
    }

    /// Whether control may arrive at an instruction, or leave it, otherwise than in sequence.
    pub(super) fn is_boundary(&self, at: usize) -> bool {
        self.targets.contains(&at) || !matches!(self.next(at), Next::Following)
    }
}
