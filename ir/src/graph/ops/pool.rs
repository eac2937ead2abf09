//! `pool`: `y[n,c,p] = reduce_t x[n,c, p·stride+t·dilation−pad]`; pads hold the neutral value.
//!
//! An average is a sum followed by a `map` that divides.

use super::fold::Fold;
use super::window::{plane, spatial_rank};
use super::{Layout, TensorOp, TypeError, Window, arity, attrs, ensure};
use crate::affine::Affine;
use crate::kernel::build::{KernelBuilder, access, access_axes};
use crate::kernel::{Access, AxisKind, Kernel, Outside, Reduce};
use crate::scalar::ScalarExpr;
use crate::scalar::func::ScalarFn;
use crate::tensor::Tensor;
use crate::types::TensorType;

attrs! {
    /// Sliding-window reduction.
    pub struct Pool {
        /// `add`, `max`, `min` or `mul`.
        func: ScalarFn,
        /// Window extents.
        kernel: Vec<u32>,
        /// Strides, pads, dilations.
        window: Window = |result| Window::unit(spatial_rank(result)),
        /// Layout of the input and the result.
        layout: Layout = |_| Layout::ChannelsFirst,
    }
}

impl TensorOp for Pool {
    const MNEMONIC: &'static str = "pool";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = arity::<1>(args)?;
        ensure(
            self.func.identity(x.elem).is_some() && x.elem != crate::types::ElemType::Bool,
            || format!("{} cannot reduce {x}", self.func.info().mnemonic),
        )?;
        let (n, c, spatial) = self.layout.split(&x.shape)?;
        let kernel: Vec<usize> = self.kernel.iter().map(|&k| k as usize).collect();
        let out = self.window.output(&spatial, &kernel)?;
        Ok(TensorType::new(x.elem, &self.layout.join(n, c, &out)))
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let ty = self.infer(&[&args[0].ty]).expect("G4: the op type-checks");
        let ty = ty.with_shape(self.layout.channels_first(&ty.shape));
        let x = self.layout.to_channels_first(args[0]);
        let kernel: Vec<usize> = self.kernel.iter().map(|&k| k as usize).collect();
        let (input, output) = (&x.ty.shape, &ty.shape);
        let (in_plane, out_plane) = (plane(input), plane(output));
        let taps = self.window.tap_rows(&kernel, &input[2..], &output[2..]);
        let mut fold = Fold::new(self.func, &x, ty.clone());
        for channel in 0..output[0] * output[1] {
            let (from, to) = ((channel * in_plane) as i64, (channel * out_plane) as i64);
            taps.iter().flatten().for_each(|row| fold.row(row.shifted(from, to)));
        }
        self.layout.restore(fold.finish())
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let (n, c, spatial) = self.layout.split(&ty.shape).expect("G4: the op type-checks");
        let init = self.func.identity(ty.elem).expect("G4: the op type-checks");
        let mut b = KernelBuilder::new("pool");
        let an = b.axis(n, AxisKind::Parallel);
        let points: Vec<_> = spatial.iter().map(|&e| b.axis(e, AxisKind::Parallel)).collect();
        let ac = b.axis(c, AxisKind::Parallel);
        let taps: Vec<_> =
            self.kernel.iter().map(|&k| b.axis(k as usize, AxisKind::Reduce)).collect();
        let positions: Vec<_> =
            (0..spatial.len()).map(|d| self.window.position(d, points[d], taps[d])).collect();
        let index = self.layout.join(Affine::var(an), Affine::var(ac), &positions);
        let outside = if self.window.is_padded() { Outside::Pad(init) } else { Outside::Never };
        let x = Access { outside, ..access(b.read(args[0]), index) };
        let write = access_axes(b.write(&ty), &self.layout.join(an, ac, &points));
        let axes = [an].into_iter().chain(points).chain([ac]).chain(taps).collect();
        let reduce = Reduce { func: self.func, init };
        b.reduce_stage(axes, vec![x], ScalarExpr::identity(), reduce, write);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Pool, TensorOp, Window};
    use crate::scalar::func::ScalarFn;
    use crate::tensor::Tensor;

    #[test]
    fn pads_do_not_take_part() {
        let x = Tensor::from_f32s(&[1, 1, 3], &[-1.0, -2.0, -3.0]);
        let window = Window { pads_begin: vec![1], pads_end: vec![1], ..Window::unit(1) };
        let layout = Layout::ChannelsFirst;
        let pool = Pool { func: ScalarFn::Max, kernel: vec![3], window, layout };
        let y = Tensor::from_f32s(&[1, 1, 3], &[-1.0, -1.0, -2.0]);
        assert_eq!(pool.eval(&[&x]), y);
    }
}
