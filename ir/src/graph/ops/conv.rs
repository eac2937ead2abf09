//! `conv`: `y[n,g·O+o,p] = epilogue(Σ_{c,t} x[n,g·C+c, p·stride+t·dilation−pad] · w[g·O+o,c,t], extra…)`
//! with zero outside the input (ONNX Conv-1, Conv-11). Codes stand for their distance from zero.

use super::matmul::{eval_epilogue, infer_epilogue};
use super::product::sum;
use super::wide::Wide;
use super::window::{plane, spatial_rank};
use super::{Layout, TensorOp, TypeError, Window, Zeros, attrs, ensure};
use crate::affine::Affine;
use crate::index::Row;
use crate::kernel::build::{KernelBuilder, access};
use crate::kernel::{Access, AxisKind, Kernel, Outside};
use crate::scalar::ScalarExpr;
use crate::tensor::{Scalar, Tensor};
use crate::types::TensorType;

attrs! {
    /// Grouped convolution of any spatial rank; weights are `[out, in/groups, taps…]`.
    pub struct Conv {
        /// Strides, pads, dilations.
        window: Window = |result| Window::unit(spatial_rank(result)),
        /// Number of groups; divides input and output channels.
        groups: u32 = |_| 1,
        /// Layout of the input, the result and the extra operands.
        layout: Layout = |_| Layout::ChannelsFirst,
        /// Codes of zero of the input and the weights.
        zeros: Zeros = |_| Zeros::default(),
        /// Applied to each sum; its parameters are the sum, then the extra operands.
        epilogue: ScalarExpr = |_| ScalarExpr::identity(),
    }
}

impl Conv {
    /// Of numbers, without an epilogue.
    #[must_use]
    pub fn plain(window: Window, groups: u32, layout: Layout) -> Conv {
        let epilogue = ScalarExpr::identity();
        Conv { window, groups, layout, zeros: Zeros::default(), epilogue }
    }

    fn acc_type(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x, w, ..] = args else { return Err("a conv needs two operands".into()) };
        let elem = self.zeros.check(x, w)?;
        let (n, c, spatial) = self.layout.split(&x.shape)?;
        ensure(w.shape.rank() == x.shape.rank(), || {
            format!("weights {w} differ in rank from {x}")
        })?;
        let groups = self.groups as usize;
        ensure(groups > 0 && w.shape[0] % groups == 0 && w.shape[1] * groups == c, || {
            format!("weights {w} do not fit {c} channels in {groups} groups")
        })?;
        let out = self.window.output(&spatial, &w.shape[2..])?;
        let dims = self.layout.join(n, w.shape[0], &out);
        Ok(TensorType::new(elem, &dims))
    }

    /// The sums of a channels-first input, for the channels-first result type `ty`.
    fn sums<W: Wide>(&self, x: &Tensor, weights: &Tensor, ty: &TensorType) -> Vec<W> {
        let (values, factors) = (W::load(x, self.zeros.x), W::load(weights, self.zeros.w));
        let (input, output, filter) = (&x.ty.shape, &ty.shape, &weights.ty.shape);
        let taps = self.window.tap_rows(&filter[2..], &input[2..], &output[2..]);
        let (in_plane, out_plane) = (plane(input), plane(output));
        let per_out = output[1] / self.groups as usize;
        let mut sums = vec![W::ZERO; output.numel()];
        for unit in 0..output[0] * output[1] {
            let (n, o) = (unit / output[1], unit % output[1]);
            let acc = &mut sums[unit * out_plane..(unit + 1) * out_plane];
            for c in 0..filter[1] {
                let channel = n * input[1] + o / per_out * filter[1] + c;
                let image = &values[channel * in_plane..(channel + 1) * in_plane];
                let factors = &factors[(o * filter[1] + c) * taps.len()..];
                for (&factor, rows) in factors.iter().zip(&taps) {
                    rows.iter().for_each(|&row| add_scaled(acc, factor, image, row));
                }
            }
        }
        sums
    }
}

/// `acc += factor · image` along a row.
fn add_scaled<W: Wide>(acc: &mut [W], factor: W, image: &[W], row: Row) {
    if row.from_stride != 1 || row.to_stride != 1 {
        return row
            .points()
            .for_each(|(from, to)| acc[to] = acc[to].plus_product(factor, image[from]));
    }
    let (from, to) = (row.from as usize, row.to as usize);
    for (sum, &x) in acc[to..to + row.len].iter_mut().zip(&image[from..]) {
        *sum = sum.plus_product(factor, x);
    }
}

impl TensorOp for Conv {
    const MNEMONIC: &'static str = "conv";

    fn infer(&self, args: &[&TensorType]) -> Result<TensorType, TypeError> {
        infer_epilogue(&self.acc_type(args)?, &self.epilogue, &args[2..])
    }

    fn eval(&self, args: &[&Tensor]) -> Tensor {
        let types: Vec<&TensorType> = args.iter().map(|a| &a.ty).collect();
        let ty = self.acc_type(&types).expect("G4: the op type-checks");
        let ty = ty.with_shape(self.layout.channels_first(&ty.shape));
        let x = self.layout.to_channels_first(args[0]);
        let sums = if ty.elem.is_float() {
            f64::store(ty.clone(), &self.sums::<f64>(&x, args[1], &ty))
        } else {
            i64::store(ty.clone(), &self.sums::<i64>(&x, args[1], &ty))
        };
        eval_epilogue(self.layout.restore(sums), &self.epilogue, &args[2..])
    }

    fn kernel(&self, args: &[&TensorType]) -> Kernel {
        let ty = self.infer(args).expect("G4: the op type-checks");
        let weights = &args[1].shape;
        let (n, _, spatial) = self.layout.split(&ty.shape).expect("G4: the op type-checks");
        let (groups, per_in) = (self.groups as usize, weights[1]);
        let per_out = weights[0] / groups;
        let mut b = KernelBuilder::new("conv");
        let an = b.axis(n, AxisKind::Parallel);
        let points: Vec<_> = spatial.iter().map(|&e| b.axis(e, AxisKind::Parallel)).collect();
        let (ag, ao) = (b.axis(groups, AxisKind::Parallel), b.axis(per_out, AxisKind::Parallel));
        let taps: Vec<_> = weights[2..].iter().map(|&e| b.axis(e, AxisKind::Reduce)).collect();
        let ac = b.axis(per_in, AxisKind::Reduce);
        let channel_out = Affine::scaled(ag, per_out as i64).plus(ao, 1);
        let channel_in = Affine::scaled(ag, per_in as i64).plus(ac, 1);
        let positions: Vec<_> =
            (0..spatial.len()).map(|d| self.window.position(d, points[d], taps[d])).collect();
        let outs: Vec<_> = points.iter().map(|&p| Affine::var(p)).collect();
        let out_index = self.layout.join(Affine::var(an), channel_out.clone(), &outs);
        let zero = Scalar::from_i64(args[0].elem, i64::from(self.zeros.x));
        let outside = if self.window.is_padded() { Outside::Pad(zero) } else { Outside::Never };
        let index = self.layout.join(Affine::var(an), channel_in, &positions);
        let x = Access { outside, ..access(b.read(args[0]), index) };
        let taps_index = taps.iter().map(|&t| Affine::var(t));
        let w_index = [channel_out, Affine::var(ac)].into_iter().chain(taps_index).collect();
        let w = access(b.read(args[1]), w_index);
        let extras = args[2..].iter().map(|e| access(b.read(e), out_index.clone())).collect();
        let write = access(b.write(&ty), out_index);
        let axes = [an].into_iter().chain(points).chain([ag, ao]).chain(taps).chain([ac]).collect();
        let product = self.zeros.product(args[0].elem, args[1].elem);
        b.reduce_stage(axes, vec![x, w], product, sum(args[0].elem), write);
        b.with_epilogue(self.epilogue.clone(), extras);
        b.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Conv, Layout, TensorOp, Window, Zeros};
    use crate::tensor::{Scalar, Tensor};
    use crate::types::{ElemType, TensorType};

    fn conv(window: Window, groups: u32, layout: Layout) -> Conv {
        Conv::plain(window, groups, layout)
    }

    #[test]
    fn pads_read_as_zero() {
        let x = Tensor::from_f32s(&[1, 1, 3], &[1.0, 2.0, 3.0]);
        let w = Tensor::from_f32s(&[1, 1, 3], &[100.0, 10.0, 1.0]);
        let window = Window { pads_begin: vec![1], pads_end: vec![1], ..Window::unit(1) };
        let y = conv(window, 1, Layout::ChannelsFirst).eval(&[&x, &w]);
        assert_eq!(y, Tensor::from_f32s(&[1, 1, 3], &[12.0, 123.0, 230.0]));
    }

    #[test]
    fn strides_step_outputs_and_dilations_step_taps() {
        let x = Tensor::from_f32s(&[1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        let w = Tensor::from_f32s(&[1, 1, 2], &[10.0, 1.0]);
        let window = Window { strides: vec![2], dilations: vec![2], ..Window::unit(1) };
        let y = conv(window, 1, Layout::ChannelsFirst).eval(&[&x, &w]);
        assert_eq!(y, Tensor::from_f32s(&[1, 1, 2], &[13.0, 35.0]));
    }

    #[test]
    fn codes_of_any_mix_are_centred_and_summed_in_32_bits() {
        let codes = |elem, dims: &[usize], values: &[i64]| {
            Tensor::from_fn(TensorType::new(elem, dims), |i| Scalar::from_i64(elem, values[i]))
        };
        let x = codes(ElemType::U8, &[1, 1, 2], &[255, 0]);
        let w = codes(ElemType::I8, &[1, 1, 2], &[-128, 127]);
        let window = Window { pads_begin: vec![1], ..Window::unit(1) };
        let plain = Conv::plain(window, 1, Layout::ChannelsFirst);
        let y = Conv { zeros: Zeros { x: 100, w: -1 }, ..plain }.eval(&[&x, &w]);
        let expected = [155 * 128, 155 * -127 + -100 * 128];
        assert_eq!(y, codes(ElemType::I32, &[1, 1, 2], &expected));
    }

    #[test]
    fn groups_see_their_own_channels_in_either_layout() {
        let x = Tensor::from_f32s(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let w = Tensor::from_f32s(&[2, 1, 1], &[10.0, 100.0]);
        let first = conv(Window::unit(1), 2, Layout::ChannelsFirst).eval(&[&x, &w]);
        assert_eq!(first, Tensor::from_f32s(&[1, 2, 2], &[10.0, 20.0, 300.0, 400.0]));
        let last = conv(Window::unit(1), 2, Layout::ChannelsLast).eval(&[&x, &w]);
        assert_eq!(last, Tensor::from_f32s(&[1, 2, 2], &[10.0, 200.0, 30.0, 400.0]));
    }
}
