//! Integer vectors with lanes of another width.

use super::Selector;
use crate::wide::code::Draft;
use crate::wide::inst::{Len, Rm};
use crate::wide::row::Op;
use regalloc2::{RegClass, VReg};

/// Which qwords `vpermq` puts into the low half: those with the low halves of two lanes.
const LOW_HALVES: i64 = 0b1000;

impl Selector<'_> {
    /// Extends lanes, or keeps their low bits; widths are in bytes.
    pub(super) fn resize(
        &mut self,
        value: VReg,
        lanes: u8,
        (from, to): (usize, usize),
        signed: bool,
    ) -> VReg {
        let lanes = usize::from(lanes);
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => value,
            std::cmp::Ordering::Less => {
                self.unary(extension(from, to, signed), Len::of(lanes * to), Rm::Reg(value))
            }
            std::cmp::Ordering::Greater if self.evex => {
                let result = self.code.vreg(RegClass::Float);
                let len = Len::of(lanes * from);
                self.code.add(&Draft::new(truncation(from, to), len).reg(value).def_rm(result));
                result
            }
            std::cmp::Ordering::Greater => {
                let half = self.low_halves(value, lanes, from);
                self.resize(half, lanes as u8, (from / 2, to), signed)
            }
        }
    }

    /// The low half of each lane, packed into the low half of the register.
    fn low_halves(&mut self, value: VReg, lanes: usize, from: usize) -> VReg {
        let (len, half) = (Len::of(lanes * from), from / 2);
        let bytes = (0..len.bytes()).map(|at| (at % 16 / half * from % 16 + at % half) as u8);
        let image: Vec<u8> = bytes.collect();
        let pattern = self.pooled(&image);
        let packed = self.binary(Op::Pshufb, len, value, pattern);
        if len == Len::X {
            return packed;
        }
        let to = self.code.vreg(RegClass::Float);
        let draft = Draft::new(Op::Permq, len).def(to).rm(Rm::Reg(packed)).imm(LOW_HALVES);
        self.code.add(&draft);
        to
    }
}

fn extension(from: usize, to: usize, signed: bool) -> Op {
    let [sign, zero] = match (from, to) {
        (1, 2) => [Op::Pmovsxbw, Op::Pmovzxbw],
        (1, 4) => [Op::Pmovsxbd, Op::Pmovzxbd],
        (1, _) => [Op::Pmovsxbq, Op::Pmovzxbq],
        (2, 4) => [Op::Pmovsxwd, Op::Pmovzxwd],
        (2, _) => [Op::Pmovsxwq, Op::Pmovzxwq],
        _ => [Op::Pmovsxdq, Op::Pmovzxdq],
    };
    if signed { sign } else { zero }
}

fn truncation(from: usize, to: usize) -> Op {
    match (from, to) {
        (2, _) => Op::Pmovwb,
        (4, 1) => Op::Pmovdb,
        (4, _) => Op::Pmovdw,
        (_, 1) => Op::Pmovqb,
        (_, 2) => Op::Pmovqw,
        _ => Op::Pmovqd,
    }
}
