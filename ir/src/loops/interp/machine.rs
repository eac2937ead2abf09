//! Execution of decoded instructions on a register file and byte memory.

use super::decode::{Access, Copies, F32Op, Inst, Linear, Matrix, Reg, decode};
use crate::loops::{IndexId, LoopFn};
use crate::scalar::eval;
use crate::scalar::func::ScalarFn;
use crate::scalar::table::Table;
use crate::tensor::Scalar;
use crate::types::ElemType;
use cranelift_entity::EntityRef;
use smallvec::SmallVec;

/// Bytes of a word of codes.
const WORD: usize = 4;

/// Separate byte regions.
pub(super) type Memory = Vec<Vec<u8>>;

/// A buffer: a range of a region.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) region: usize,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// Runs a function on the buffers at `places`.
pub(super) fn execute(func: &LoopFn, places: &[Place], memory: &mut Memory) {
    assert_eq!(places.len(), func.params.len(), "{}: one buffer per parameter", func.name);
    let code = decode(func);
    let words = vec![0; code.words];
    let indices = vec![0; func.indices.len()];
    let mut state = State { func, places, memory, words, indices, scratch: Vec::new() };
    state.block(&code.insts);
}

/// A running function; values live in `words`, one word per lane.
struct State<'a> {
    func: &'a LoopFn,
    places: &'a [Place],
    memory: &'a mut Memory,
    words: Vec<u64>,
    indices: Vec<i64>,
    scratch: Vec<u64>,
}

impl State<'_> {
    fn block(&mut self, insts: &[Inst<'_>]) {
        insts.iter().for_each(|inst| self.inst(inst));
    }

    fn inst(&mut self, inst: &Inst<'_>) {
        match inst {
            Inst::Fill { to, bits } => self.lanes(*to).fill(*bits),
            Inst::Load { to, from } => self.load(*to, from),
            Inst::Store { from, to } => self.store(*from, to),
            Inst::Spread { to, from } => {
                let word = self.words[*from as usize];
                self.lanes(*to).fill(word);
            }
            Inst::Pack { to, from } => {
                for (lane, word) in from.iter().enumerate() {
                    self.words[to.at as usize + lane] = self.words[*word as usize];
                }
            }
            Inst::F32 { op, to, args } => self.f32(*op, *to, *args),
            Inst::Apply { func, to, args } => self.apply(*func, *to, args),
            Inst::Cast { to, to_elem, from, from_elem } => {
                for lane in 0..u32::from(to.lanes) {
                    let cast = eval::cast(*to_elem, self.scalar(from + lane, *from_elem));
                    self.words[(to.at + lane) as usize] = cast.bits();
                }
            }
            Inst::Lookup { table, to, from } => self.lookup(table, *to, *from),
            Inst::Reduce { func, to, from, elem } => self.reduce(*func, *to, *from, *elem),
            Inst::Index { index, extent, from, elem } => {
                let value = self.scalar(*from, *elem).as_i64();
                self.indices[*index as usize] = value.clamp(0, extent - 1);
            }
            Inst::IndexValue { to, of } => {
                let value = of.eval(&self.indices);
                self.lanes(*to).fill(value as u64);
            }
            Inst::Matrix(matrix) => self.matrix(matrix),
            Inst::For { index, extent, carried, body } => {
                self.for_each(*index, *extent, carried, body);
            }
            Inst::If { guards, then, results } => {
                let taken = self.all_hold(guards);
                if taken {
                    self.block(then);
                }
                for r in results {
                    self.copy(if taken { r.then } else { r.otherwise }, r.result);
                }
            }
        }
    }

    fn for_each(&mut self, index: u32, extent: i64, carried: &[Copies], body: &[Inst<'_>]) {
        carried.iter().for_each(|c| self.copy(c.init, c.inner));
        for i in 0..extent {
            self.indices[index as usize] = i;
            self.block(body);
            self.advance(carried);
        }
        carried.iter().for_each(|c| self.copy(c.inner, c.result));
    }

    /// All `inner` become `next` at once, because a `next` may be another value's `inner`.
    fn advance(&mut self, carried: &[Copies]) {
        self.scratch.clear();
        for c in carried {
            let at = c.next.at as usize;
            self.scratch.extend_from_slice(&self.words[at..at + usize::from(c.next.lanes)]);
        }
        let mut from = 0;
        for c in carried {
            let (at, lanes) = (c.inner.at as usize, usize::from(c.inner.lanes));
            self.words[at..at + lanes].copy_from_slice(&self.scratch[from..from + lanes]);
            from += lanes;
        }
    }

    fn all_hold(&self, guards: &[(Linear, i64)]) -> bool {
        guards.iter().all(|(expr, extent)| (0..*extent).contains(&expr.eval(&self.indices)))
    }

    fn f32(&mut self, op: F32Op, to: Reg, args: [u32; 3]) {
        for lane in 0..to.lanes as usize {
            let x = |n: usize| f32::from_bits(self.words[args[n] as usize + lane] as u32);
            let result = match op {
                F32Op::Add => x(0) + x(1),
                F32Op::Sub => x(0) - x(1),
                F32Op::Mul => x(0) * x(1),
                F32Op::Fma => x(0).mul_add(x(1), x(2)),
            };
            self.words[to.at as usize + lane] = u64::from(result.to_bits());
        }
    }

    fn apply(&mut self, func: ScalarFn, to: Reg, args: &[(u32, ElemType)]) {
        for lane in 0..u32::from(to.lanes) {
            let operands: SmallVec<[Scalar; 3]> =
                args.iter().map(|&(at, elem)| self.scalar(at + lane, elem)).collect();
            self.words[(to.at + lane) as usize] = eval::apply(func, &operands).bits();
        }
    }

    fn lookup(&mut self, table: &Table, to: Reg, from: u32) {
        for lane in 0..u32::from(to.lanes) {
            let code = self.words[(from + lane) as usize] as u8;
            self.words[(to.at + lane) as usize] = table.codes()[usize::from(code)].into();
        }
    }

    fn reduce(&mut self, func: ScalarFn, to: Reg, from: Reg, elem: ElemType) {
        let lanes = from.at..from.at + u32::from(from.lanes);
        let mut lanes: SmallVec<[Scalar; 16]> = lanes.map(|at| self.scalar(at, elem)).collect();
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            for lane in 0..half {
                lanes[lane] = eval::apply(func, &[lanes[lane], lanes[lane + half]]);
            }
            lanes.truncate(half);
        }
        self.words[to.at as usize] = lanes[0].bits();
    }

    fn load(&mut self, to: Reg, from: &Access<'_>) {
        let (start, place) = (self.locate(from), self.places[from.param.index()]);
        let size = from.elem.bytes();
        let bytes = &self.memory[place.region][start..start + size * usize::from(from.lanes)];
        let lanes = &mut self.words[to.at as usize..(to.at + u32::from(to.lanes)) as usize];
        lanes[usize::from(from.lanes)..].fill(0);
        for (lane, bytes) in lanes.iter_mut().zip(bytes.chunks_exact(size)) {
            *lane = word(bytes);
        }
    }

    fn store(&mut self, from: Reg, to: &Access<'_>) {
        let (start, place) = (self.locate(to), self.places[to.param.index()]);
        let size = to.elem.bytes();
        let bytes = &mut self.memory[place.region][start..start + size * usize::from(to.lanes)];
        let lanes = &self.words[from.at as usize..];
        for (lane, bytes) in lanes.iter().zip(bytes.chunks_exact_mut(size)) {
            bytes.copy_from_slice(&lane.to_le_bytes()[..size]);
        }
    }

    fn matrix(&mut self, matrix: &Matrix<'_>) {
        let (row, rows) = matrix.row;
        for r in 0..rows {
            self.indices[row as usize] = r;
            let mut sums = vec![0; matrix.columns as usize];
            self.steps(matrix, &matrix.steps, &mut sums);
            for (column, sum) in (0..).zip(sums) {
                let at = self.locate_column(&matrix.to, column);
                let place = self.places[matrix.to.param.index()];
                self.memory[place.region][at..at + WORD].copy_from_slice(&i32::to_le_bytes(sum));
            }
        }
    }

    /// Adds the products of all steps of these indices to the sums of a row.
    fn steps(&mut self, matrix: &Matrix<'_>, steps: &[(u32, i64)], sums: &mut [i32]) {
        if let Some((&(index, extent), rest)) = steps.split_first() {
            for step in 0..extent {
                self.indices[index as usize] = step;
                self.steps(matrix, rest, sums);
            }
            return;
        }
        let codes = self.word_at(&matrix.codes, 0);
        for (column, sum) in (0..).zip(sums) {
            let factors = [codes, self.word_at(&matrix.words, column), *sum];
            let args = factors.map(|word| Scalar::from_i64(ElemType::I32, word.into()));
            *sum = eval::apply(matrix.dot, &args).as_i64() as i32;
        }
    }

    /// The word in a column of an access.
    fn word_at(&self, access: &Access<'_>, column: usize) -> i32 {
        let at = self.locate_column(access, column);
        let place = self.places[access.param.index()];
        word(&self.memory[place.region][at..at + WORD]) as u32 as i32
    }

    fn locate_column(&self, access: &Access<'_>, column: usize) -> usize {
        self.locate_behind(access, (column * WORD) as i64)
    }

    /// The access's first byte within its region.
    fn locate(&self, access: &Access<'_>) -> usize {
        self.locate_behind(access, 0)
    }

    /// The first byte of what is so many bytes behind an access, within its region.
    fn locate_behind(&self, access: &Access<'_>, distance: i64) -> usize {
        let place = &self.places[access.param.index()];
        let start = access.address.eval(&self.indices) + distance;
        let len = access.elem.bytes() * usize::from(access.lanes);
        if start < 0 || start as usize + len > place.len {
            self.out_of_bounds(access);
        }
        place.offset + start as usize
    }

    #[cold]
    fn out_of_bounds(&self, access: &Access<'_>) -> ! {
        let value = |i: IndexId| self.indices[i.index()];
        let at: Vec<i64> = access.index.iter().map(|dim| dim.eval(value)).collect();
        let (name, ty) = (&self.func.name, &self.func.params[access.param].ty);
        panic!(
            "{name}: {} lanes at {at:?} of {}: {ty} are out of bounds",
            access.lanes, access.param
        );
    }

    fn lanes(&mut self, reg: Reg) -> &mut [u64] {
        &mut self.words[reg.at as usize..reg.at as usize + usize::from(reg.lanes)]
    }

    fn scalar(&self, at: u32, elem: ElemType) -> Scalar {
        Scalar::from_bits(elem, self.words[at as usize])
    }

    fn copy(&mut self, from: Reg, to: Reg) {
        let from = from.at as usize;
        self.words.copy_within(from..from + usize::from(to.lanes), to.at as usize);
    }
}

fn word(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [a] => u64::from(a),
        _ => bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
    }
}
