//! Sliding windows over spatial dimensions, shared by `conv` and `pool`.

use super::{TensorOp, Transpose, TypeError, attrs, ensure};
use crate::affine::Affine;
use crate::index::{Row, Walk, for_each_index, for_each_row};
use crate::kernel::AxisId;
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType};

/// Where the channel dimension of image tensors is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// `[n, c, spatial…]`.
    #[default]
    ChannelsFirst,
    /// `[n, spatial…, c]`.
    ChannelsLast,
}

attrs! {
    /// Strides, pads and dilations, one entry per spatial dimension; positions in pads read as the
    /// window's neutral value.
    pub struct Window {
        /// Step between outputs, at least 1.
        strides: Vec<u32> = |result| Window::unit(spatial_rank(result)).strides,
        /// Padding before the first element.
        pads_begin: Vec<u32> = |result| Window::unit(spatial_rank(result)).pads_begin,
        /// Padding after the last element.
        pads_end: Vec<u32> = |result| Window::unit(spatial_rank(result)).pads_end,
        /// Step between window elements, at least 1.
        dilations: Vec<u32> = |result| Window::unit(spatial_rank(result)).dilations,
    }
}

/// Number of spatial dimensions of an image tensor.
pub(super) fn spatial_rank(image: &TensorType) -> usize {
    image.shape.rank().saturating_sub(2)
}

impl Window {
    /// Stride and dilation 1, no pads.
    #[must_use]
    pub fn unit(rank: usize) -> Window {
        Window {
            strides: vec![1; rank],
            pads_begin: vec![0; rank],
            pads_end: vec![0; rank],
            dilations: vec![1; rank],
        }
    }

    /// Output extents for input extents and window sizes: `(in + pads − span) / stride + 1`.
    pub fn output(&self, input: &[usize], kernel: &[usize]) -> Result<Shape, TypeError> {
        let rank = input.len();
        let lens = [&self.strides, &self.pads_begin, &self.pads_end, &self.dilations].map(Vec::len);
        ensure(kernel.len() == rank && lens.iter().all(|&l| l == rank), || {
            format!("window attributes must have {rank} entries")
        })?;
        (0..rank).map(|d| self.output_dim(d, input[d], kernel[d])).collect()
    }

    fn output_dim(&self, d: usize, input: usize, kernel: usize) -> Result<usize, TypeError> {
        let (stride, dilation) = (self.strides[d] as usize, self.dilations[d] as usize);
        ensure(stride > 0 && dilation > 0 && kernel > 0, || {
            "window strides, dilations and sizes are at least 1".into()
        })?;
        let padded = input + self.pads_begin[d] as usize + self.pads_end[d] as usize;
        let span = (kernel - 1).saturating_mul(dilation) + 1;
        ensure(span <= padded, || {
            format!("the window spans {span} elements, the padded input has {padded}")
        })?;
        Ok((padded - span) / stride + 1)
    }

    /// For each window element, in row-major order, the rows of positions that it reads in one
    /// dense spatial plane and of the outputs that they count for; pads are left out.
    pub(super) fn tap_rows(
        &self,
        kernel: &[usize],
        input: &[usize],
        output: &[usize],
    ) -> Vec<Vec<Row>> {
        let mut taps = Vec::with_capacity(kernel.iter().product());
        for_each_index(kernel, |tap| taps.push(self.rows_of_tap(tap, input, output)));
        taps
    }

    fn rows_of_tap(&self, tap: &[usize], input: &[usize], output: &[usize]) -> Vec<Row> {
        let mut from = Walk::dense(&Shape::new(input));
        let mut to = Walk::dense(&Shape::new(output));
        let mut extents = vec![0; tap.len()];
        for d in 0..tap.len() {
            let stride = i64::from(self.strides[d]);
            let shift =
                tap[d] as i64 * i64::from(self.dilations[d]) - i64::from(self.pads_begin[d]);
            let steps_below = |bound: i64| (bound.max(0) as usize).div_ceil(stride as usize);
            let end = steps_below(input[d] as i64 - shift).min(output[d]);
            let start = steps_below(-shift).min(end);
            extents[d] = end - start;
            from.offset += (start as i64 * stride + shift) * from.strides[d];
            from.strides[d] *= stride;
            to.offset += start as i64 * to.strides[d];
        }
        let mut rows = Vec::new();
        for_each_row(&extents, &from, &to, |row| rows.push(row));
        rows
    }

    /// Input position of window element `tap` at output position `out` along spatial dimension `d`.
    #[must_use]
    pub fn position(&self, d: usize, out: AxisId, tap: AxisId) -> Affine<AxisId> {
        Affine::scaled(out, i64::from(self.strides[d]))
            .plus(tap, i64::from(self.dilations[d]))
            .offset(-i64::from(self.pads_begin[d]))
    }

    /// Whether any position lies in the pads.
    #[must_use]
    pub fn is_padded(&self) -> bool {
        self.pads_begin.iter().chain(&self.pads_end).any(|&p| p > 0)
    }
}

impl Layout {
    const ALL: [Layout; 2] = [Layout::ChannelsFirst, Layout::ChannelsLast];

    /// Name in text dumps.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layout::ChannelsFirst => "channels_first",
            Layout::ChannelsLast => "channels_last",
        }
    }

    /// The layout with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Layout> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// Batch, channel and spatial extents of an image shape.
    pub fn split(self, shape: &Shape) -> Result<(usize, usize, Vec<usize>), TypeError> {
        ensure(shape.rank() >= 3, || {
            format!("an image tensor has at least 3 dimensions, found {}", shape.rank())
        })?;
        let r = shape.rank();
        Ok(match self {
            Layout::ChannelsFirst => (shape[0], shape[1], shape[2..].to_vec()),
            Layout::ChannelsLast => (shape[0], shape[r - 1], shape[1..r - 1].to_vec()),
        })
    }

    /// The extents `[n, c, spatial…]` of an image in this layout.
    pub(super) fn channels_first(self, shape: &Shape) -> Shape {
        match self {
            Layout::ChannelsFirst => shape.clone(),
            Layout::ChannelsLast => to_first(shape.rank()).map(|d| shape[d]).collect(),
        }
    }

    /// An image in this layout as `[n, c, spatial…]`.
    pub(super) fn to_channels_first(self, image: &Tensor) -> Tensor {
        match self {
            Layout::ChannelsFirst => image.clone(),
            Layout::ChannelsLast => transpose(image, to_first(image.ty.shape.rank())),
        }
    }

    /// The inverse of `to_channels_first`.
    pub(super) fn restore(self, image: Tensor) -> Tensor {
        let rank = image.ty.shape.rank();
        match self {
            Layout::ChannelsFirst => image,
            Layout::ChannelsLast => transpose(&image, [0].into_iter().chain(2..rank).chain([1])),
        }
    }

    /// Puts batch, channel and spatial parts in this layout's order.
    #[must_use]
    pub fn join<T: Clone>(self, n: T, c: T, spatial: &[T]) -> Vec<T> {
        match self {
            Layout::ChannelsFirst => [n, c].into_iter().chain(spatial.iter().cloned()).collect(),
            Layout::ChannelsLast => {
                std::iter::once(n).chain(spatial.iter().cloned()).chain([c]).collect()
            }
        }
    }
}

/// Elements of one channel of a channels-first image.
pub(super) fn plane(shape: &Shape) -> usize {
    shape[2..].iter().product()
}

/// For each dimension of `[n, c, spatial…]` its position in `[n, spatial…, c]`.
fn to_first(rank: usize) -> impl Iterator<Item = usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1)
}

fn transpose(image: &Tensor, perm: impl Iterator<Item = usize>) -> Tensor {
    Transpose { perm: perm.map(|d| d as u32).collect() }.eval(&[image])
}
