//! Writing a descriptor.
//!
//! Layout: head, tensors, initial state, strings, zeros up to a multiple of 8. The bytes depend on the
//! [`ModelInfo`] alone.

use crate::abi::{ABI_VERSION, Arch, DESCRIPTOR_ALIGN, Elem, MAGIC, MAX_RANK, ModelV1, TensorV1};
use crate::descriptor::{ModelView, Quant, StateLayout, dense_bytes};
use crate::error::Malformed;
use crate::layout::Wire;

/// What a descriptor says, as owned data.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The model's name, as in its symbols.
    pub name: String,
    /// The compiler's name and version.
    pub producer: String,
    /// The instruction set.
    pub arch: Arch,
    /// CPU features that the code uses, as bits of [`crate::feature`].
    pub features: u64,
    /// Bytes of workspace.
    pub arena_bytes: u64,
    /// Alignment of the workspace, a power of two.
    pub arena_align: u32,
    /// Bound of the stack in bytes; 0 when unknown.
    pub stack_bytes: u32,
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Bytes of constant tensor data in the object.
    pub weights_bytes: u64,
    /// The inputs, in call order.
    pub inputs: Vec<TensorInfo>,
    /// The outputs, in call order.
    pub outputs: Vec<TensorInfo>,
    /// The states, in the order of their places.
    pub states: Vec<TensorInfo>,
    /// What the state starts with, byte for byte; empty for zeros.
    pub initial_state: Vec<u8>,
}

/// What a descriptor says about one tensor. The size in bytes follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The name in the ONNX graph.
    pub name: String,
    /// The element type.
    pub elem: Elem,
    /// The dimensions, outermost first.
    pub dims: Vec<u64>,
    /// Quantisation parameters, if the tensor has them.
    pub quant: Option<Quant>,
}

/// The bytes of the descriptor, to be placed at an address that is a multiple of
/// [`DESCRIPTOR_ALIGN`]. Fails on what version 1 cannot say: a rank over [`MAX_RANK`], a size that
/// overflows, a zero byte in a string, an alignment that is not a power of two, an initial state
/// of another size than the state. What it returns, [`ModelView::parse`] accepts.
pub fn encode(info: &ModelInfo) -> Result<Vec<u8>, Malformed> {
    let tensors = info.inputs.len() + info.outputs.len() + info.states.len();
    let initial_at = size_of::<ModelV1>() + tensors * size_of::<TensorV1>();
    let layout = state_layout(info)?;
    let mut strings = Strings::new(initial_at + info.initial_state.len());
    let mut head = head(info, &layout, &mut strings)?;
    if !info.initial_state.is_empty() {
        head.initial_offset = to_u32(initial_at)?;
    }
    let table = tensor_table(info, &layout, &mut strings)?;
    head.size_bytes = to_u32(strings.end().next_multiple_of(DESCRIPTOR_ALIGN))?;

    let mut bytes = Vec::with_capacity(head.size_bytes as usize);
    head.put(&mut bytes);
    table.iter().for_each(|tensor| tensor.put(&mut bytes));
    bytes.extend(&info.initial_state);
    bytes.extend(strings.bytes);
    bytes.resize(head.size_bytes as usize, 0);
    ModelView::parse(&bytes)?;
    Ok(bytes)
}

/// The places of the states, if the initial state fits them.
fn state_layout(info: &ModelInfo) -> Result<StateLayout, Malformed> {
    let sizes: Option<Vec<(Elem, usize)>> = info
        .states
        .iter()
        .map(|state| {
            Some((state.elem, usize::try_from(dense_bytes(state.elem, &state.dims)?).ok()?))
        })
        .collect();
    let layout = StateLayout::of(sizes.ok_or(Malformed::TooLarge)?.into_iter());
    match info.initial_state.len() {
        0 => Ok(layout),
        found if found == layout.bytes => Ok(layout),
        _ => Err(Malformed::State),
    }
}

/// The head, but for what is known only when the rest is placed.
fn head(
    info: &ModelInfo,
    layout: &StateLayout,
    strings: &mut Strings,
) -> Result<ModelV1, Malformed> {
    let (name_offset, name_len) = strings.place(&info.name)?;
    let (producer_offset, producer_len) = strings.place(&info.producer)?;
    Ok(ModelV1 {
        magic: MAGIC,
        abi_version: ABI_VERSION,
        size_bytes: 0,
        features: info.features,
        arch: info.arch.code(),
        arena_align: info.arena_align,
        arena_bytes: info.arena_bytes,
        stack_bytes: info.stack_bytes,
        n_inputs: to_u32(info.inputs.len())?,
        n_outputs: to_u32(info.outputs.len())?,
        tensors_offset: to_u32(size_of::<ModelV1>())?,
        name_offset,
        name_len,
        producer_offset,
        producer_len,
        macs: info.macs,
        weights_bytes: info.weights_bytes,
        n_states: to_u32(info.states.len())?,
        state_align: to_u32(layout.align)?,
        state_bytes: layout.bytes as u64,
        initial_offset: 0,
        reserved: [0; 5],
    })
}

fn tensor_table(
    info: &ModelInfo,
    layout: &StateLayout,
    strings: &mut Strings,
) -> Result<Vec<TensorV1>, Malformed> {
    let arguments = info.inputs.iter().chain(&info.outputs).map(|tensor| (tensor, 0));
    let all = arguments.chain(info.states.iter().zip(layout.offsets.iter().copied()));
    let encode = |(index, (tensor, offset))| encode_tensor(index, tensor, offset, strings);
    all.enumerate().map(encode).collect()
}

fn encode_tensor(
    index: usize,
    tensor: &TensorInfo,
    state_offset: usize,
    strings: &mut Strings,
) -> Result<TensorV1, Malformed> {
    let mut dims = [0; MAX_RANK];
    let used = dims.get_mut(..tensor.dims.len()).ok_or(Malformed::Tensor { index })?;
    used.copy_from_slice(&tensor.dims);
    let quant = tensor.quant.unwrap_or(Quant { scale: 0.0, zero_point: 0 });
    let (name_offset, name_len) = strings.place(&tensor.name)?;
    Ok(TensorV1 {
        name_offset,
        name_len,
        elem: tensor.elem.code(),
        rank: to_u32(tensor.dims.len())?,
        dims,
        size_bytes: dense_bytes(tensor.elem, &tensor.dims).ok_or(Malformed::Tensor { index })?,
        scale: quant.scale,
        zero_point: quant.zero_point,
        quantized: u32::from(tensor.quant.is_some()),
        state_offset: to_u32(state_offset)?,
    })
}

/// The string area behind the tensors.
struct Strings {
    base: usize,
    bytes: Vec<u8>,
}

impl Strings {
    fn new(base: usize) -> Self {
        Strings { base, bytes: Vec::new() }
    }

    fn end(&self) -> usize {
        self.base + self.bytes.len()
    }

    /// Appends a string and its zero; returns its offset and length. A zero inside would make C
    /// see another string than Rust.
    fn place(&mut self, text: &str) -> Result<(u32, u32), Malformed> {
        if text.contains('\0') {
            return Err(Malformed::Text);
        }
        let at = (to_u32(self.end())?, to_u32(text.len())?);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Ok(at)
    }
}

fn to_u32(value: usize) -> Result<u32, Malformed> {
    u32::try_from(value).map_err(|_| Malformed::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::encode;
    use crate::error::Malformed;
    use crate::testing;

    #[test]
    fn what_version_1_cannot_say_is_refused() {
        let check = |edit: fn(&mut super::ModelInfo), why| {
            let mut info = testing::info();
            edit(&mut info);
            assert_eq!(encode(&info), Err(why));
        };
        check(|info| info.inputs[0].dims = vec![1; 9], Malformed::Tensor { index: 0 });
        check(|info| info.outputs[0].dims = vec![1 << 40; 2], Malformed::Tensor { index: 1 });
        check(|info| info.name.push('\0'), Malformed::Text);
        check(|info| info.arena_align = 48, Malformed::Align(48));
        check(|info| info.initial_state = vec![0], Malformed::State);
    }

    #[test]
    fn the_size_is_a_multiple_of_the_alignment() {
        let bytes = encode(&testing::info()).expect("the sample is valid");
        assert_eq!(bytes.len() % super::DESCRIPTOR_ALIGN, 0);
    }
}
