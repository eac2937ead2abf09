//! Finds the hottest loop in a disassembly: the innermost one with the most multiply-adds, or with
//! the most instructions where none multiplies.
//!
//! Relies on a loop's header having a lower number than the other blocks of the loop, as it has
//! when structured loops are translated in order.

use std::collections::BTreeSet;

/// The blocks of an innermost loop.
pub(super) struct Loop {
    blocks: Vec<Block>,
}

#[derive(Clone)]
struct Block {
    number: u32,
    lines: Vec<String>,
}

/// The innermost loop with the most multiply-adds, then instructions, in all functions.
pub(super) fn hottest(code: &str) -> Option<Loop> {
    all_innermost(code).into_iter().max_by_key(|l| (l.multiply_adds(), l.instructions()))
}

/// The innermost loops of all functions.
pub(super) fn all_innermost(code: &str) -> Vec<Loop> {
    functions(code).iter().flat_map(|blocks| innermost(blocks)).collect()
}

impl Loop {
    /// The loop as in the disassembly.
    pub(super) fn text(&self) -> String {
        self.lines().collect::<Vec<_>>().join("\n")
    }

    pub(super) fn instructions(&self) -> usize {
        self.lines().count()
    }

    pub(super) fn multiply_adds(&self) -> usize {
        self.count(&["fmla", "vfmadd", "vpdp", "vpmaddwd", "pmaddwd"])
    }

    /// Instructions whose names start with one of these.
    pub(super) fn count(&self, names: &[&str]) -> usize {
        self.lines().filter(|l| names.iter().any(|name| l.starts_with(name))).count()
    }

    /// Instructions that read or write the stack: spills, since a loop has no other use for it.
    pub(super) fn stack_accesses(&self) -> usize {
        self.lines()
            .filter(|l| ["[sp", "(%rsp", "(%rbp", "[rsp"].iter().any(|place| l.contains(place)))
            .count()
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().flat_map(|block| block.lines.iter().map(String::as_str))
    }
}

fn functions(code: &str) -> Vec<Vec<Block>> {
    let mut functions: Vec<Vec<Block>> = Vec::new();
    for line in code.lines() {
        if let Some(number) = number(line, "block").filter(|_| line.ends_with(':')) {
            let blocks = functions.last_mut().expect("a block is in a function");
            blocks.push(Block { number, lines: Vec::new() });
        } else if line.ends_with(':') && !line.starts_with(' ') {
            functions.push(Vec::new());
        } else if let Some(block) = functions.last_mut().and_then(|blocks| blocks.last_mut()) {
            block.lines.push(line.trim().to_owned());
        }
    }
    functions
}

/// The loops of a function that have no other loop inside.
fn innermost(blocks: &[Block]) -> Vec<Loop> {
    let index = |number: &u32| blocks.iter().position(|b| b.number == *number);
    let next: Vec<Vec<usize>> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| {
            let last = block.lines.last().map_or("", String::as_str);
            let through = (falls_through(last) && at + 1 < blocks.len()).then_some(at + 1);
            targets(last).iter().filter_map(index).chain(through).collect()
        })
        .collect();
    let back = (0..blocks.len()).flat_map(|end| {
        let headers = next[end].iter().filter(move |&&header| header <= end);
        headers.map(move |&header| (header, end))
    });
    let loops: Vec<_> = back.map(|(header, end)| (header, members(header, end, &next))).collect();
    let is_inner = |(header, members): &&(usize, BTreeSet<usize>)| {
        !loops.iter().any(|(other, _)| other != header && members.contains(other))
    };
    let copy = |(_, members): &(usize, BTreeSet<usize>)| Loop {
        blocks: members.iter().map(|&at| blocks[at].clone()).collect(),
    };
    loops.iter().filter(is_inner).map(copy).collect()
}

/// The header and every block from which `end` can be reached without passing it.
fn members(header: usize, end: usize, next: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut members = BTreeSet::from([header, end]);
    let mut open = vec![end];
    while let Some(at) = open.pop().filter(|&at| at != header) {
        let before = (0..next.len()).filter(|&b| next[b].contains(&at));
        open.extend(before.filter(|&block| members.insert(block)));
    }
    members
}

/// The blocks that a jump may lead to: labels in Cranelift's code, where each block names all of
/// them, blocks in that of wide functions.
fn targets(line: &str) -> Vec<u32> {
    let named = |prefix: &'static str| {
        let places = line.match_indices(prefix);
        places.filter_map(move |(at, _)| number(&line[at..], prefix))
    };
    named("label").chain(named("block")).collect()
}

/// Whether the next block follows the last line of one.
fn falls_through(line: &str) -> bool {
    !line.contains("label") && !line.starts_with("jmp") && !line.starts_with("ret")
}

fn number(text: &str, prefix: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[test]
fn the_inner_loop_is_found() {
    let code = "k0:\n  sub sp, sp, #16\nblock0:\n  b label1\nblock1:\n  cbz x0, label5 ; b label2\n\
                block2:\n  cbnz x1, label4 ; b label3\nblock3:\n  ldr q0, [x0]\n  b label1\n\
                block4:\n  fmla v0.4s, v1.4s, v2.s[0]\n  ldr q1, [sp, #16]\n  b label2\n\
                block5:\n  ret\n";
    let hot = hottest(code).expect("two loops");
    assert_eq!((hot.instructions(), hot.multiply_adds(), hot.stack_accesses()), (4, 1, 1));
}
