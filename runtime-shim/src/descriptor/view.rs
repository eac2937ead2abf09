//! Reading a descriptor.
//!
//! [`ModelView::parse`] checks everything once; what it accepts, the accessors read without
//! further errors. The bytes need no alignment here, only inside an object.

use crate::abi::{ABI_VERSION, Arch, DESCRIPTOR_ALIGN, Elem, MAGIC, MAX_RANK, ModelV1, TensorV1};
use crate::descriptor::{Quant, dense_bytes};
use crate::error::Malformed;
use crate::layout::Wire;

/// A checked descriptor.
#[derive(Clone, Copy, Debug)]
pub struct ModelView<'a> {
    head: ModelV1,
    arch: Arch,
    name: &'a str,
    producer: &'a str,
    /// Exactly the descriptor.
    bytes: &'a [u8],
    /// The part of `bytes` that holds the tensors.
    table: &'a [u8],
}

/// One tensor of a checked descriptor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    raw: TensorV1,
    elem: Elem,
    name: &'a str,
}

impl<'a> ModelView<'a> {
    /// Reads the descriptor at the start of `bytes`, which may go on behind it. Never panics.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, arch) = parse_head(bytes)?;
        let bytes = bytes.get(..head.size_bytes as usize).ok_or(Malformed::Truncated)?;
        let view = ModelView {
            head,
            arch,
            name: text(bytes, head.name_offset, head.name_len)?,
            producer: text(bytes, head.producer_offset, head.producer_len)?,
            bytes,
            table: tensor_table(bytes, &head)?,
        };
        view.check_tensors()?;
        Ok(view)
    }

    /// The model's name, as in its symbols.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The compiler's name and version.
    pub fn producer(&self) -> &'a str {
        self.producer
    }

    /// The instruction set.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// CPU features that the code uses, as bits of [`crate::feature`].
    pub fn features(&self) -> u64 {
        self.head.features
    }

    /// Bytes of workspace.
    pub fn arena_bytes(&self) -> u64 {
        self.head.arena_bytes
    }

    /// Alignment of the workspace, a power of two.
    pub fn arena_align(&self) -> usize {
        self.head.arena_align as usize
    }

    /// Bound of the stack in bytes; `None` when it was not computed.
    pub fn stack_bytes(&self) -> Option<u32> {
        Some(self.head.stack_bytes).filter(|&bytes| bytes != 0)
    }

    /// Multiply-accumulate operations of one run.
    pub fn macs(&self) -> u64 {
        self.head.macs
    }

    /// Bytes of constant tensor data in the object.
    pub fn weights_bytes(&self) -> u64 {
        self.head.weights_bytes
    }

    /// Bytes of the descriptor.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        self.head.n_inputs as usize
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        self.head.n_outputs as usize
    }

    /// The inputs, in call order.
    pub fn inputs(&self) -> impl Iterator<Item = TensorView<'a>> + use<'a> {
        self.tensors().take(self.input_count())
    }

    /// The outputs, in call order.
    pub fn outputs(&self) -> impl Iterator<Item = TensorView<'a>> + use<'a> {
        self.tensors().skip(self.input_count()).take(self.output_count())
    }

    /// Number of states.
    pub fn state_count(&self) -> usize {
        self.head.n_states as usize
    }

    /// The states, in the order of their places.
    pub fn states(&self) -> impl Iterator<Item = TensorView<'a>> + use<'a> {
        self.tensors().skip(self.input_count() + self.output_count())
    }

    /// Bytes of the state that a caller keeps between runs; 0 without states.
    pub fn state_bytes(&self) -> usize {
        self.head.state_bytes as usize
    }

    /// Alignment of the state, a power of two.
    pub fn state_align(&self) -> usize {
        self.head.state_align as usize
    }

    /// What the state starts with; `None` for zeros.
    pub fn initial_state(&self) -> Option<&'a [u8]> {
        initial_state(self.bytes, &self.head)
    }

    fn tensors(&self) -> impl Iterator<Item = TensorView<'a>> + use<'a> {
        let bytes = self.bytes;
        rows(self.table).filter_map(move |row| parse_tensor(bytes, row))
    }

    fn check_tensors(&self) -> Result<(), Malformed> {
        let states_at = self.input_count() + self.output_count();
        for (index, row) in rows(self.table).enumerate() {
            let tensor = parse_tensor(self.bytes, row).ok_or(Malformed::Tensor { index })?;
            if index >= states_at {
                self.check_state(&tensor)?;
            }
        }
        let is_missing = self.head.initial_offset != 0 && self.initial_state().is_none();
        if is_missing { Err(Malformed::State) } else { Ok(()) }
    }

    fn check_state(&self, tensor: &TensorView<'_>) -> Result<(), Malformed> {
        let (offset, size) = (u64::from(tensor.raw.state_offset), tensor.elem.size());
        let end = offset.checked_add(tensor.size_bytes()).ok_or(Malformed::State)?;
        let is_aligned = tensor.state_offset().is_multiple_of(size) && size <= self.state_align();
        if is_aligned && end <= self.head.state_bytes { Ok(()) } else { Err(Malformed::State) }
    }
}

impl<'a> TensorView<'a> {
    /// The name in the ONNX graph.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The element type.
    pub fn elem(&self) -> Elem {
        self.elem
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[u64] {
        self.raw.dims.get(..self.raw.rank as usize).unwrap_or_default()
    }

    /// Bytes of the dense buffer.
    pub fn size_bytes(&self) -> u64 {
        self.raw.size_bytes
    }

    /// Place in the state, of a state.
    pub fn state_offset(&self) -> usize {
        self.raw.state_offset as usize
    }

    /// Quantisation parameters, if the tensor has them.
    pub fn quant(&self) -> Option<Quant> {
        let quant = Quant { scale: self.raw.scale, zero_point: self.raw.zero_point };
        (self.raw.quantized != 0).then_some(quant)
    }
}

/// The head with all checks that need nothing but the head. The magic and the version come first:
/// nothing else may be believed before them.
fn parse_head(mut bytes: &[u8]) -> Result<(ModelV1, Arch), Malformed> {
    let head = ModelV1::get(&mut bytes).ok_or(Malformed::Truncated)?;
    if head.magic != MAGIC {
        return Err(Malformed::Magic);
    }
    if head.abi_version != ABI_VERSION {
        return Err(Malformed::Version(head.abi_version));
    }
    if !head.arena_align.is_power_of_two() {
        return Err(Malformed::Align(head.arena_align));
    }
    if !head.state_align.is_power_of_two() {
        return Err(Malformed::Align(head.state_align));
    }
    let arch = Arch::from_code(head.arch).ok_or(Malformed::Arch(head.arch))?;
    Ok((head, arch))
}

/// The bytes of all tensors. They are aligned within the descriptor, as C reads them in place. On a
/// 64-bit host the sum of 32-bit counts times the size of a row does not overflow.
fn tensor_table<'a>(bytes: &'a [u8], head: &ModelV1) -> Result<&'a [u8], Malformed> {
    if !(head.tensors_offset as usize).is_multiple_of(DESCRIPTOR_ALIGN) {
        return Err(Malformed::Address);
    }
    let count = head.n_inputs as usize + head.n_outputs as usize + head.n_states as usize;
    part(bytes, head.tensors_offset, count * size_of::<TensorV1>()).ok_or(Malformed::Truncated)
}

fn initial_state<'a>(bytes: &'a [u8], head: &ModelV1) -> Option<&'a [u8]> {
    let size = usize::try_from(head.state_bytes).ok()?;
    part(bytes, head.initial_offset, size).filter(|_| head.initial_offset != 0)
}

fn rows(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    table.chunks_exact(size_of::<TensorV1>())
}

fn parse_tensor<'a>(bytes: &'a [u8], mut row: &[u8]) -> Option<TensorView<'a>> {
    let raw = TensorV1::get(&mut row)?;
    let elem = Elem::from_code(raw.elem)?;
    let name = text(bytes, raw.name_offset, raw.name_len).ok()?;
    (has_dense_size(&raw, elem) && raw.quantized <= 1).then_some(TensorView { raw, elem, name })
}

/// Whether rank, dimensions and size agree.
fn has_dense_size(raw: &TensorV1, elem: Elem) -> bool {
    let rank = raw.rank as usize;
    let Some((used, unused)) = raw.dims.split_at_checked(rank.min(MAX_RANK)) else { return false };
    let is_dense = dense_bytes(elem, used) == Some(raw.size_bytes);
    rank <= MAX_RANK && unused.iter().all(|&dim| dim == 0) && is_dense
}

fn text(bytes: &[u8], offset: u32, len: u32) -> Result<&str, Malformed> {
    let with_zero = part(bytes, offset, len as usize + 1).ok_or(Malformed::Truncated)?;
    match with_zero.split_last() {
        Some((0, text)) => str::from_utf8(text).map_err(|_| Malformed::Text),
        _ => Err(Malformed::Text),
    }
}

fn part(bytes: &[u8], offset: u32, len: usize) -> Option<&[u8]> {
    bytes.get(offset as usize..)?.get(..len)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::mem::offset_of;

    use super::{ModelView, TensorView};
    use crate::abi::{ModelV1, TensorV1};
    use crate::descriptor::{ModelInfo, TensorInfo, encode};
    use crate::error::Malformed;
    use crate::testing;

    fn owned(tensor: TensorView<'_>) -> TensorInfo {
        TensorInfo {
            name: tensor.name().to_owned(),
            elem: tensor.elem(),
            dims: tensor.dims().to_vec(),
            quant: tensor.quant(),
        }
    }

    fn decode(view: ModelView<'_>) -> ModelInfo {
        ModelInfo {
            name: view.name().to_owned(),
            producer: view.producer().to_owned(),
            arch: view.arch(),
            features: view.features(),
            arena_bytes: view.arena_bytes(),
            arena_align: view.arena_align() as u32,
            stack_bytes: view.stack_bytes().unwrap_or(0),
            macs: view.macs(),
            weights_bytes: view.weights_bytes(),
            inputs: view.inputs().map(owned).collect(),
            outputs: view.outputs().map(owned).collect(),
            states: view.states().map(owned).collect(),
            initial_state: view.initial_state().unwrap_or_default().to_vec(),
        }
    }

    /// Parses, and walks everything that parsing accepted.
    fn walk(bytes: &[u8]) -> Result<(), Malformed> {
        let view = ModelView::parse(bytes)?;
        let decoded = decode(view);
        assert_eq!(decoded.inputs.len(), view.input_count());
        assert_eq!(decoded.outputs.len(), view.output_count());
        assert_eq!(decoded.states.len(), view.state_count());
        Ok(())
    }

    #[test]
    fn what_was_encoded_is_read_back() {
        for info in [testing::info(), testing::info_with_states()] {
            let bytes = encode(&info).expect("the sample is valid");
            assert_eq!(decode(ModelView::parse(&bytes).expect("it was just encoded")), info);
        }
    }

    #[test]
    fn states_lie_as_in_a_c_struct() {
        let bytes = encode(&testing::info_with_states()).expect("the sample is valid");
        let view = ModelView::parse(&bytes).expect("it was just encoded");
        let offsets: Vec<usize> = view.states().map(|s| s.state_offset()).collect();
        assert_eq!((offsets, view.state_bytes(), view.state_align()), (vec![0, 8, 16], 24, 8));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = encode(&testing::info()).expect("the sample is valid");
        for len in 0..bytes.len() {
            assert_eq!(walk(&bytes[..len]), Err(Malformed::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn no_corruption_panics() {
        let good = encode(&testing::info_with_states()).expect("the sample is valid");
        for at in 0..good.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = walk(&bytes);
                bytes[at..].fill(value);
                let _ = walk(&bytes);
            }
        }
    }

    #[test]
    fn each_lie_has_its_error() {
        let check = |at: usize, value: u32, why| {
            let mut bytes = encode(&testing::info_with_states()).expect("the sample is valid");
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(walk(&bytes), Err(why), "{value} at {at}");
        };
        let tensor = size_of::<ModelV1>();
        check(0, 7, Malformed::Magic);
        check(offset_of!(ModelV1, abi_version), 2, Malformed::Version(2));
        check(offset_of!(ModelV1, arch), 3, Malformed::Arch(3));
        check(offset_of!(ModelV1, arena_align), 0, Malformed::Align(0));
        check(offset_of!(ModelV1, state_align), 3, Malformed::Align(3));
        check(offset_of!(ModelV1, state_bytes), 16, Malformed::State);
        check(offset_of!(ModelV1, initial_offset), 1 << 20, Malformed::State);
        check(offset_of!(ModelV1, size_bytes), 100, Malformed::Truncated);
        check(offset_of!(ModelV1, n_inputs), u32::MAX, Malformed::Truncated);
        check(offset_of!(ModelV1, tensors_offset), 1 << 31, Malformed::Truncated);
        check(offset_of!(ModelV1, tensors_offset), 130, Malformed::Address);
        check(offset_of!(ModelV1, name_len), 1, Malformed::Text);
        check(offset_of!(ModelV1, name_offset), u32::MAX, Malformed::Truncated);
        check(tensor + offset_of!(TensorV1, elem), 8, Malformed::Tensor { index: 0 });
        check(tensor + offset_of!(TensorV1, rank), 9, Malformed::Tensor { index: 0 });
        check(tensor + offset_of!(TensorV1, dims), 2, Malformed::Tensor { index: 0 });
        check(tensor + offset_of!(TensorV1, name_offset), 1 << 20, Malformed::Tensor { index: 0 });
    }
}
