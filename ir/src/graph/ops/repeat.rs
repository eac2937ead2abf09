//! `repeat`: runs a body several times over carried values and slices.

use super::{TensorOp, TypeError, attrs, ensure};
use crate::graph::body::Body;
use crate::graph::eval::eval;
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::types::{ElemType, Shape, TensorType};

attrs! {
    /// One result of a repeated body (ONNX Scan, Loop, LSTM, GRU and RNN).
    ///
    /// Operands are the first carried values, then those that are scanned, then those that stay the
    /// same; the body's parameters are the carried values, one slice of each scanned operand and
    /// the others. The body's results are the next carried values, then slices of the stacked
    /// results. Slices are along dimension 0, which is not part of them. Ops that differ in
    /// `result` alone run once.
    pub struct Repeat {
        /// What is repeated.
        body: Body,
        /// Iterations; with `conditional`, at most; at least 1.
        count: u32,
        /// Number of carried values.
        carried: u32,
        /// Per scanned operand: 1 from its first slice on, −1 from its last.
        scanned: Vec<i32> = |_| Vec::new(),
        /// Per stacked result: 1 from its first slice on, −1 from its last.
        stacked: Vec<i32> = |_| Vec::new(),
        /// Whether the first carried value, a `bool`, ends the repetition before an iteration in
        /// which it is false; then nothing is stacked.
        conditional: bool = |_| false,
        /// The result: a carried value after the last iteration, or a stacked one.
        result: u32 = |_| 0,
    }
}

impl Repeat {
    /// Elements that an evaluation computes, roughly.
    #[must_use]
    pub fn work(&self) -> usize {
        self.body.work().saturating_mul(self.count as usize)
    }

    /// The position in a scanned or stacked value of the slice of an iteration.
    #[must_use]
    pub fn slice(&self, step: i32, iteration: usize) -> usize {
        if step < 0 { self.count as usize - 1 - iteration } else { iteration }
    }

    fn whole(&self, slice: &TensorType) -> TensorType {
        let dims = [&[self.count as usize], &slice.shape[..]].concat();
        TensorType::new(slice.elem, &dims)
    }

    fn check_attributes(&self) -> Result<(), TypeError> {
        let steps = self.scanned.iter().chain(&self.stacked);
        ensure(steps.clone().all(|s| matches!(s, 1 | -1)), || "a step is 1 or -1".to_owned())?;
        ensure(self.count > 0, || "a repetition has at least one iteration".to_owned())?;
        let (found, wanted) = (self.body.results().len(), self.carried as usize);
        ensure(found == wanted + self.stacked.len(), || {
            format!("the body has {found} results, not {wanted} and {}", self.stacked.len())
        })?;
        ensure((self.result as usize) < found, || format!("no result {}", self.result))
    }

    fn check_condition(&self) -> Result<(), TypeError> {
        let test = self.body.params().next();
        let flag = TensorType::new(ElemType::Bool, &[]);
        ensure(!self.conditional || self.carried > 0 && test == Some(&flag), || {
            "the first carried value is not a scalar bool".to_owned()
        })?;
        ensure(!self.conditional || self.stacked.is_empty(), || {
            "a repetition of unknown length stacks results".to_owned()
        })
    }
}

impl TensorOp for Repeat {
    const MNEMONIC: &'static str = "repeat";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        self.check_attributes()?;
        self.check_condition()?;
        let carried = self.carried as usize;
        let sliced = carried..carried + self.scanned.len();
        ensure(args.len() == self.body.params().len() && args.len() >= sliced.end, || {
            format!("{} operands of {} parameters", args.len(), self.body.params().len())
        })?;
        for (n, (param, arg)) in self.body.params().zip(args).enumerate() {
            let bound = if sliced.contains(&n) { self.whole(param) } else { param.clone() };
            ensure(**arg == bound, || format!("operand {n} is {arg}, the body wants {bound}"))?;
        }
        for (param, next) in self.body.params().zip(self.body.results()).take(carried) {
            ensure(param == next, || format!("a carried value turns from {param} into {next}"))?;
        }
        let result = self.body.results().nth(self.result as usize).expect("checked above");
        Ok(if self.result < self.carried { result.clone() } else { self.whole(result) })
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let ty = self.infer(&types).expect("G4: the op type-checks");
        let (carried, result) = (self.carried as usize, self.result as usize);
        let mut values: Vec<Tensor> = args[..carried].iter().map(|&a| a.clone()).collect();
        let mut stack = vec![0; ty.bytes()];
        let stacked = result.checked_sub(carried).map(|n| self.stacked[n]);
        for iteration in 0..self.count as usize {
            if self.conditional && !values[0].get(0).is_true() {
                break;
            }
            let slices = args[carried..].iter().zip(&self.scanned);
            values.extend(slices.map(|(x, &step)| slice_of(x, self.slice(step, iteration))));
            values.extend(args[values.len()..].iter().map(|&a| a.clone()));
            values = eval(self.body.graph(), &values);
            if let Some(step) = stacked {
                let bytes = values[result].bytes();
                let at = self.slice(step, iteration) * bytes.len();
                stack[at..at + bytes.len()].copy_from_slice(bytes);
            }
            values.truncate(carried);
        }
        match stacked {
            Some(_) => Tensor::from_bytes(ty, stack),
            None => values.swap_remove(result),
        }
    }

    fn result(&self) -> usize {
        self.result as usize
    }

    fn kernel(&self, _args: &[&TensorType]) -> Kernel {
        unreachable!("a repetition is a step of the program, not a kernel")
    }
}

/// Slice `at` of dimension 0, without that dimension.
fn slice_of(x: &Tensor, at: usize) -> Tensor {
    let ty = TensorType { elem: x.ty.elem, shape: Shape::new(&x.ty.shape[1..]) };
    let size = ty.bytes();
    Tensor::from_bytes(ty, x.bytes()[at * size..(at + 1) * size].to_vec())
}

#[cfg(test)]
mod tests {
    use super::{Repeat, TensorOp};
    use crate::graph::build::GraphBuilder;
    use crate::graph::ops::Map;
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};

    /// Sums of the slices so far, last slice first, stacked in the order of the operand.
    fn suffix_sums() -> Repeat {
        let mut b = GraphBuilder::new("b");
        let ty = TensorType::new(ElemType::F32, &[]);
        let args = ["sum", "x"].map(|name| b.input(name, ty.clone()));
        let sum = b.add(Map { body: ScalarExpr::call(ScalarFn::Add) }, &args).expect("a sum");
        b.output("sum", sum);
        b.output("sums", sum);
        let body = b.finish().into();
        let (scanned, stacked) = (vec![-1], vec![-1]);
        Repeat { body, count: 3, carried: 1, scanned, stacked, conditional: false, result: 0 }
    }

    #[test]
    fn values_are_carried_and_slices_are_stacked() {
        let x = Tensor::from_f32s(&[3], &[1.0, 2.0, 3.0]);
        let start = Tensor::splat(&[], Scalar::f32(10.0));
        let last = suffix_sums();
        assert_eq!(last.eval(&[&start, &x]).to_f32s(), [16.0]);
        let all = Repeat { result: 1, ..last };
        assert_eq!(all.eval(&[&start, &x]), Tensor::from_f32s(&[3], &[16.0, 15.0, 13.0]));
    }

    #[test]
    fn a_condition_ends_the_repetition() {
        let mut b = GraphBuilder::new("b");
        b.input("go", TensorType::new(ElemType::Bool, &[]));
        let n = b.input("n", TensorType::new(ElemType::I64, &[]));
        let body = ScalarExpr::build(1, |b| {
            let (n, most) = (b.param(0), b.constant(Scalar::from_i64(ElemType::I64, 3)));
            b.call(ScalarFn::Lt, &[n, most])
        });
        let again = b.add(Map { body }, &[n]).expect("a test");
        let body = ScalarExpr::build(1, |b| {
            let (n, one) = (b.param(0), b.constant(Scalar::from_i64(ElemType::I64, 1)));
            b.call(ScalarFn::Add, &[n, one])
        });
        let next = b.add(Map { body }, &[n]).expect("a sum");
        b.output("go", again);
        b.output("n", next);
        let op = Repeat {
            body: b.finish().into(),
            count: 100,
            carried: 2,
            scanned: Vec::new(),
            stacked: Vec::new(),
            conditional: true,
            result: 1,
        };
        let (zero, bools) = (Tensor::from_i64s(&[], &[0]), [false, true].map(Scalar::bool));
        let [not, go] = bools.map(|go| op.eval(&[&Tensor::splat(&[], go), &zero]).to_i64s()[0]);
        assert_eq!((not, go), (0, 4));
    }

    #[test]
    fn operands_fit_the_parameters() {
        let f32 = |dims: &[usize]| TensorType::new(ElemType::F32, dims);
        let op = suffix_sums();
        assert_eq!(op.infer(&[&f32(&[]), &f32(&[3])]), Ok(f32(&[])));
        assert!(op.infer(&[&f32(&[]), &f32(&[4])]).is_err());
        assert!(op.infer(&[&f32(&[1]), &f32(&[3])]).is_err());
        assert!(op.infer(&[&f32(&[])]).is_err());
        assert!(Repeat { count: 0, ..op }.infer(&[&f32(&[]), &f32(&[0])]).is_err());
    }
}
