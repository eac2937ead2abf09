//! Random inputs, the same for the same seed on every machine.

use edgecc_ir::kernel::Port;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};

/// One tensor per port: floats in `-1..1`, booleans, small integers that also serve as indices.
pub(super) fn inputs(ports: &[Port], seed: u64) -> Vec<Tensor> {
    let mut state = seed;
    ports.iter().map(|port| tensor(&port.ty, &mut state)).collect()
}

fn tensor(ty: &TensorType, state: &mut u64) -> Tensor {
    Tensor::from_fn(ty.clone(), |_| scalar(ty.elem, next(state)))
}

fn scalar(elem: ElemType, bits: u64) -> Scalar {
    match elem {
        ElemType::F16 | ElemType::F32 | ElemType::F64 => {
            Scalar::from_f64(elem, (bits >> 40) as f64 / f64::from(1 << 23) - 1.0)
        }
        ElemType::Bool => Scalar::bool(bits >> 63 == 1),
        ElemType::I8 | ElemType::U8 => Scalar::from_bits(elem, bits >> 32),
        ElemType::I16
        | ElemType::U16
        | ElemType::I32
        | ElemType::U32
        | ElemType::I64
        | ElemType::U64 => Scalar::from_i64(elem, (bits >> 63) as i64),
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::inputs;
    use edgecc_ir::kernel::Port;
    use edgecc_ir::types::{ElemType, TensorType};

    #[test]
    fn a_seed_decides_everything() {
        let ports: Vec<Port> = ElemType::ALL
            .iter()
            .map(|&e| Port { name: e.to_string(), ty: TensorType::new(e, &[16]) })
            .collect();
        assert_eq!(inputs(&ports, 1), inputs(&ports, 1));
        assert_ne!(inputs(&ports, 1), inputs(&ports, 2));
        assert!(inputs(&ports, 3)[0].to_f32s().iter().all(|v| (-1.0..1.0).contains(v)));
    }
}
