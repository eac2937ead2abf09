//! The law of the text form on random programs: what is printed parses back to the same.

use super::cursor::Cursor;
use super::scalar::{parse_lambda, write_lambda};
use super::write::text_of;
use super::{PrintOptions, parse_any, parse_graph, parse_kernels, print_graph, print_kernels};
use crate::graph::build::GraphBuilder;
use crate::graph::ops::{Op, OpTag};
use crate::graph::random;
use crate::graph::{Graph, OpId};
use crate::kernel::Kernels;
use crate::loc::LocTable;
use crate::program::Program;
use crate::rng::Rng;
use crate::types::{ElemType, TensorType};
use cranelift_entity::PrimaryMap;

const ROUNDS: u64 = 40;

/// Every kind of op on random operands; every second operand is a constant.
fn instances() -> impl Iterator<Item = (OpTag, Rng)> {
    let tags = OpTag::ALL.iter().filter(|t| !matches!(t, OpTag::Input | OpTag::Const));
    tags.flat_map(|&tag| (0..ROUNDS).map(move |seed| (tag, Rng::new(seed))))
}

fn graph(tag: OpTag, rng: &mut Rng) -> Graph {
    let (op, operands) = random::op_instance(tag, rng);
    let mut b = GraphBuilder::new("random");
    let is_input = |at: usize| at.is_multiple_of(2);
    let mut args: Vec<Option<OpId>> = operands
        .iter()
        .enumerate()
        .map(|(at, tensor)| is_input(at).then(|| b.input("x", tensor.ty.clone())))
        .collect();
    for (arg, tensor) in args.iter_mut().zip(operands) {
        arg.get_or_insert_with(|| b.constant(tensor));
    }
    let args: Vec<OpId> = args.into_iter().flatten().collect();
    let y = b.add(op, &args).expect("a legal op");
    b.output("y", y);
    b.finish()
}

#[test]
fn random_graphs_round_trip() {
    for (tag, mut rng) in instances() {
        let graph = graph(tag, &mut rng);
        let text = print_graph(&graph, &PrintOptions::exact());
        let parsed = parse_graph(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(parsed.ir, graph, "{text}");
        let short = print_graph(&graph, &PrintOptions::default());
        let parsed = parse_any(&short).unwrap_or_else(|e| panic!("{e}\n{short}"));
        assert_eq!(parsed.print(&PrintOptions::default()), short);
    }
}

#[test]
fn the_kernels_of_random_ops_round_trip() {
    let bodies = |tag| matches!(tag, OpTag::Repeat | OpTag::If);
    for (tag, mut rng) in instances().filter(|(tag, _)| !bodies(*tag)) {
        let (op, operands): (Op, _) = random::op_instance(tag, &mut rng);
        let types: Vec<&TensorType> = operands.iter().map(|t| &t.ty).collect();
        let mut kernels = Kernels {
            name: "random".to_owned(),
            kernels: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            program: Program::default(),
            locs: LocTable::new(),
        };
        kernels.kernels.push(op.kernel(&types));
        let text = print_kernels(&kernels, &PrintOptions::exact());
        let parsed = parse_kernels(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(parsed.ir, kernels, "{text}");
    }
}

#[test]
fn random_expressions_round_trip() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let expr = random::expr(&[ElemType::F32, ElemType::I32], 1 + seed as usize % 40, &mut rng);
        let text = text_of(|out| write_lambda(out, &expr));
        assert_eq!(parse_lambda(&mut Cursor::new(&text)).as_ref(), Ok(&expr), "{text}");
    }
}

/// Damages dumps in every way that a byte can; a parser must answer, not panic.
#[test]
fn damaged_texts_are_parsed_or_refused() {
    let mut rng = Rng::new(7);
    for (tag, mut seed) in instances().step_by(20) {
        let text = print_graph(&graph(tag, &mut seed), &PrintOptions::exact());
        for _ in 0..50 {
            let mut bytes = text.clone().into_bytes();
            let at = rng.bits() as usize % bytes.len();
            bytes[at] = b" 0x9-:%@\"(){}[]<>,a"[rng.bits() as usize % 19];
            let _parsed_or_not = parse_any(&String::from_utf8_lossy(&bytes));
            let _cut_short = parse_any(&text[..text.floor_char_boundary(at)]);
        }
    }
}
