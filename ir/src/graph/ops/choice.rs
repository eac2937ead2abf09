//! `if`: runs one of two bodies.

use super::{TensorOp, TypeError, attrs, ensure};
use crate::graph::body::Body;
use crate::graph::eval::eval;
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::types::{ElemType, TensorType};

attrs! {
    /// One result of the body that the first operand, a scalar `bool`, chooses. The other operands
    /// are the parameters of both bodies. Ops that differ in `result` alone run once.
    pub struct If {
        /// Runs at true.
        then: Body,
        /// Runs at false.
        otherwise: Body,
        /// The result of the bodies.
        result: u32 = |_| 0,
    }
}

impl If {
    /// Elements that an evaluation computes at most, roughly.
    #[must_use]
    pub fn work(&self) -> usize {
        self.then.work().max(self.otherwise.work())
    }
}

impl TensorOp for If {
    const MNEMONIC: &'static str = "if";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let Some((test, args)) = args.split_first() else {
            return Err("the condition is missing".to_owned());
        };
        let flag = TensorType::new(ElemType::Bool, &[]);
        ensure(**test == flag, || format!("the condition is {test}, not a scalar bool"))?;
        let mut types = Vec::new();
        for body in [&self.then, &self.otherwise] {
            let bound = body.params().eq(args.iter().copied());
            ensure(bound, || "the operands are not the parameters of both bodies".to_owned())?;
            let result = body.results().nth(self.result as usize);
            types.push(result.ok_or_else(|| format!("no result {}", self.result))?);
        }
        let [then, otherwise] = [types[0], types[1]];
        ensure(then == otherwise, || format!("one body gives {then}, the other {otherwise}"))?;
        Ok(then.clone())
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let body = if args[0].get(0).is_true() { &self.then } else { &self.otherwise };
        let inputs: Vec<Tensor> = args[1..].iter().map(|&a| a.clone()).collect();
        eval(body.graph(), &inputs).swap_remove(self.result as usize)
    }

    fn result(&self) -> usize {
        self.result as usize
    }

    fn kernel(&self, _args: &[&TensorType]) -> Kernel {
        unreachable!("a choice is a step of the program, not a kernel")
    }
}

#[cfg(test)]
mod tests {
    use super::{If, TensorOp};
    use crate::graph::body::Body;
    use crate::graph::build::GraphBuilder;
    use crate::graph::ops::Map;
    use crate::scalar::ScalarExpr;
    use crate::scalar::func::ScalarFn;
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};

    fn unary(func: ScalarFn, dims: &[usize]) -> Body {
        let mut b = GraphBuilder::new("b");
        let x = b.input("x", TensorType::new(ElemType::F32, dims));
        let y = b.add(Map { body: ScalarExpr::call(func) }, &[x]).expect("a map");
        b.output("y", y);
        b.finish().into()
    }

    #[test]
    fn the_condition_chooses() {
        let op = If {
            then: unary(ScalarFn::Neg, &[1]),
            otherwise: unary(ScalarFn::Abs, &[1]),
            result: 0,
        };
        let x = Tensor::from_f32s(&[1], &[-2.0]);
        let [no, yes] = [false, true].map(|go| Tensor::splat(&[], Scalar::bool(go)));
        assert_eq!(op.eval(&[&no, &x]), Tensor::from_f32s(&[1], &[2.0]));
        assert_eq!(op.eval(&[&yes, &x]), Tensor::from_f32s(&[1], &[2.0]));
    }

    #[test]
    fn both_bodies_have_one_type() {
        let (then, otherwise) = (unary(ScalarFn::Neg, &[1]), unary(ScalarFn::Neg, &[2]));
        let flag = TensorType::new(ElemType::Bool, &[]);
        let x = TensorType::new(ElemType::F32, &[1]);
        assert!(If { then, otherwise, result: 0 }.infer(&[&flag, &x]).is_err());
    }
}
