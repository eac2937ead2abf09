//! Matrix sums: products of tiles, in loops over the steps.
//!
//! Tiles 0 to 3 hold the sums of a block. Whole tiles of codes and words, and the last ones of a sum
//! that have fewer steps, are in the others. Their shapes are the same in the whole function, which
//! loads them once.

use super::Selector;
use crate::address::first_of;
use crate::wide::code::{Cond, Draft};
use crate::wide::inst::{Base, Len, Mem, Rm};
use crate::wide::row::Op;
use edgecc_ir::loops::IndexId;
use edgecc_ir::loops::matrix::{MOST_SUMS, MatrixSum, Place, TILE_WORDS, Tiles};
use edgecc_ir::scalar::func::ScalarFn;
use regalloc2::VReg;

/// Bytes of a row of a tile of sums or words, and of a word.
const ROW: usize = 64;
const WORD: usize = 4;
/// Tiles of codes and of words; the second ones are for a rest, where there is one.
const CODES: [u8; 2] = [4, 6];
const WORDS: [u8; 2] = [5, 7];

/// What `ldtilecfg` reads (Intel's manual, volume 2): palette 1, from byte 16 on the bytes of each
/// tile's rows, from byte 48 on their number.
fn configuration(tiles: Tiles) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut set = |tile: u8, rows: usize, row_bytes: usize| {
        bytes[16 + 2 * usize::from(tile)] = row_bytes as u8;
        bytes[48 + usize::from(tile)] = rows as u8;
    };
    (0..MOST_SUMS as u8).for_each(|tile| set(tile, tiles.rows, ROW));
    let second = if tiles.rest > 0 { tiles.rest } else { tiles.steps };
    for (n, steps) in [tiles.steps, second].into_iter().enumerate() {
        set(CODES[n], tiles.rows, WORD * steps);
        set(WORDS[n], steps, ROW);
    }
    bytes
}

/// Where a sum's factors are.
#[derive(Clone, Copy)]
struct At {
    codes: VReg,
    words: VReg,
}

/// Bytes from one row or step to the next.
struct Strides {
    codes: i64,
    words: i64,
}

/// A block whose sums are being made.
struct Block<'s> {
    sum: &'s MatrixSum,
    /// Tiles along rows and columns.
    high: usize,
    wide: usize,
    tiles: Tiles,
    /// Registers with the bytes from a row of codes, a step of words to the next one.
    apart: At,
    rows: Strides,
}

/// Tiles of one factor in registers: which of the block's is in each.
struct Held {
    registers: Vec<u8>,
    content: Vec<Option<usize>>,
    next: usize,
}

impl Held {
    fn new(registers: &[u8]) -> Held {
        Held { registers: registers.to_vec(), content: vec![None; registers.len()], next: 0 }
    }

    /// The register for a tile, and whether it has to be loaded.
    fn of(&mut self, tile: usize) -> (u8, bool) {
        if let Some(at) = self.content.iter().position(|held| *held == Some(tile)) {
            return (self.registers[at], false);
        }
        let at = self.next;
        self.next = (at + 1) % self.registers.len();
        self.content[at] = Some(tile);
        (self.registers[at], true)
    }
}

impl Selector<'_> {
    /// Tells the processor of the function's tiles.
    pub(super) fn configure_tiles(&mut self) {
        if let Some(tiles) = self.func.matrix_tiles() {
            let displacement = self.pool.place(&configuration(tiles));
            let mem = Mem::at(Base::Pool, displacement);
            self.code.add(&Draft::new(Op::Ldtilecfg, Len::X).rm(Rm::Mem(mem)));
        }
    }

    /// Gives the tiles back.
    pub(super) fn release_tiles(&mut self) {
        if self.func.matrix_tiles().is_some() {
            self.code.add(&Draft::new(Op::Tilerelease, Len::X));
        }
    }

    pub(super) fn matrix(&mut self, sum: &MatrixSum) {
        let block = self.block_of(sum);
        for tile in 0..block.high * block.wide {
            self.code.add(&Draft::new(Op::Tilezero, Len::X).tile(tile as u8));
        }
        let at = At { codes: self.first(sum, &sum.codes), words: self.first(sum, &sum.words) };
        self.steps(&block, &sum.steps, at);
        self.store_sums(&block);
    }

    fn block_of<'s>(&mut self, sum: &'s MatrixSum) -> Block<'s> {
        let tile_rows = usize::from(sum.tile_rows);
        let codes = self.bytes_apart(&sum.codes, sum.row);
        let words = sum.steps.last().map_or(0, |&step| self.bytes_apart(&sum.words, step));
        let apart = At { codes: self.number(codes), words: self.number(words) };
        Block {
            sum,
            high: self.func.indices[sum.row] / tile_rows,
            wide: usize::from(sum.columns) / TILE_WORDS,
            tiles: sum.tiles(self.func),
            apart,
            rows: Strides { codes, words },
        }
    }

    /// Bytes that a place moves for one step of an index.
    fn bytes_apart(&self, place: &Place, index: IndexId) -> i64 {
        let param = &self.func.params[place.param];
        param.element(&place.index).coefficient(index) * param.ty.elem.bytes() as i64
    }

    /// A pointer to the place of the first row and step.
    fn first(&mut self, sum: &MatrixSum, place: &Place) -> VReg {
        let Mem { base, displacement, .. } = self.start_of(place.param, &first_of(sum, place));
        match base {
            Base::Reg(pointer) => self.offset(pointer, displacement.into()),
            Base::Pool | Base::Frame | Base::Arguments => unreachable!("parameters have pointers"),
        }
    }

    /// Loops over the steps of these indices, outermost first.
    fn steps(&mut self, block: &Block<'_>, steps: &[IndexId], at: At) {
        let Some((&index, inner)) = steps.split_first() else {
            return self.products(block, at, 0);
        };
        if !inner.is_empty() {
            let [codes, words] =
                [&block.sum.codes, &block.sum.words].map(|place| self.bytes_apart(place, index));
            let by = Strides { codes, words };
            return self.repeat(self.func.indices[index], at, &by, &mut |this, at| {
                this.steps(block, inner, at);
            });
        }
        let whole = self.func.indices[index] / block.tiles.steps;
        let by = Strides {
            codes: (WORD * block.tiles.steps) as i64,
            words: block.rows.words * block.tiles.steps as i64,
        };
        self.repeat(whole, at, &by, &mut |this, at| this.products(block, at, 0));
        if block.tiles.rest > 0 {
            let codes = self.offset(at.codes, by.codes * whole as i64);
            let words = self.offset(at.words, by.words * whole as i64);
            self.products(block, At { codes, words }, 1);
        }
    }

    /// A loop that moves both places on.
    fn repeat(&mut self, times: usize, at: At, by: &Strides, body: &mut dyn FnMut(&mut Self, At)) {
        if times == 1 {
            return body(self, at);
        }
        let left = self.number(times as i64);
        let args = vec![at.codes, at.words, left];
        let params: Vec<VReg> = args.iter().map(|arg| self.code.vreg(arg.class())).collect();
        let (header, back, exit) = (self.code.label(), self.code.label(), self.code.label());
        self.code.jump(header, args);
        self.start(header, params.clone());
        body(self, At { codes: params[0], words: params[1] });
        let codes = self.advanced(params[0], by.codes);
        let words = self.advanced(params[1], by.words);
        let left = self.tied_imm(Op::Dec, params[2], 0);
        self.code.branch(Cond::NotEqual, back, exit);
        self.start(back, Vec::new());
        self.code.jump(header, vec![codes, words, left]);
        self.start(exit, Vec::new());
    }

    /// The products of one tile of steps: whole ones, or those of the rest (`kind` 1). The order of
    /// the columns turns around with each row of tiles, so that the next product finds its words.
    fn products(&mut self, block: &Block<'_>, at: At, kind: usize) {
        let registers = if block.tiles.rest > 0 { kind..kind + 1 } else { 0..2 };
        let mut codes = Held::new(&CODES[registers.clone()]);
        let mut words = Held::new(&WORDS[registers]);
        for row in 0..block.high {
            for nth in 0..block.wide {
                let column = if row % 2 == 0 { nth } else { block.wide - 1 - nth };
                let below = block.rows.codes * (row * block.tiles.rows) as i64;
                let a = self.loaded(codes.of(row), (at.codes, below), block.apart.codes);
                let beside = (column * ROW) as i64;
                let b = self.loaded(words.of(column), (at.words, beside), block.apart.words);
                let op = product(block.sum.dot);
                let to = (row * block.wide + column) as u8;
                self.code.add(&Draft::new(op, Len::X).tile(to).tile_rm(a).tile_vvvv(b));
            }
        }
    }

    /// The register of a tile, which is loaded where it is not there yet.
    fn loaded(
        &mut self,
        (tile, is_new): (u8, bool),
        (from, distance): (VReg, i64),
        apart: VReg,
    ) -> u8 {
        if is_new {
            let mem = self.rows_at(from, distance, apart);
            self.code.add(&Draft::new(Op::Tileloadd, Len::X).tile(tile).rm(Rm::Mem(mem)));
        }
        tile
    }

    fn store_sums(&mut self, block: &Block<'_>) {
        let to = self.first(block.sum, &block.sum.to);
        let row_bytes = self.bytes_apart(&block.sum.to, block.sum.row);
        let apart = self.number(row_bytes);
        for tile in 0..block.high * block.wide {
            let (row, column) = (tile / block.wide, tile % block.wide);
            let below = row_bytes * (row * block.tiles.rows) as i64;
            let mem = self.rows_at(to, below + (column * ROW) as i64, apart);
            let draft = Draft::new(Op::Tilestored, Len::X).tile(tile as u8).rm(Rm::Mem(mem));
            self.code.add(&draft);
        }
    }

    /// Rows that are so many bytes apart, from a distance behind a pointer on.
    fn rows_at(&mut self, from: VReg, distance: i64, apart: VReg) -> Mem<VReg> {
        let (base, displacement) = match i32::try_from(distance) {
            Ok(near) => (from, near),
            Err(_) => (self.offset(from, distance), 0),
        };
        Mem { index: Some(apart), ..Mem::at(Base::Reg(base), displacement) }
    }
}

fn product(dot: ScalarFn) -> Op {
    match dot {
        ScalarFn::DotU8 => Op::Tdpbusd,
        other => unreachable!("{other:?} is not legal in matrix tiles"),
    }
}
