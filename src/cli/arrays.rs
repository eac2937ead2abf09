//! NumPy archives: named tensors in and out, matched against a model's ports.

use super::files;
use edgecc::{Code, Diagnostic, Failure};
use edgecc_ir::kernel::Port;
use edgecc_ir::suggest;
use edgecc_ir::tensor::{Scalar, Tensor};
use edgecc_ir::types::{ElemType, TensorType};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyError, ReadNpyExt, ReadNpzError, WriteNpzError};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

/// An archive's arrays by name.
pub(super) type Arrays = BTreeMap<String, Tensor>;

/// Reads an archive.
pub(super) fn read(path: &Path) -> Result<Arrays, Failure> {
    let bytes = files::read(path)?;
    let bad = |why: String| {
        Failure::from(Code::BadArrays.error(format!("cannot read {}: {why}", path.display())))
    };
    let mut npz = NpzReader::new(Cursor::new(bytes)).map_err(|e| bad(e.to_string()))?;
    let names = npz.names().map_err(|e| bad(e.to_string()))?;
    let array = |name: String| match read_array(&mut npz, &name) {
        Ok(tensor) => Ok((name, tensor)),
        Err(why) => Err(bad(format!("array {name:?}: {why}"))),
    };
    names.into_iter().map(array).collect()
}

/// Reads a single array.
pub(super) fn read_npy(path: &Path) -> Result<Tensor, Failure> {
    let bytes = files::read(path)?;
    let bad = |why| Code::BadArrays.error(format!("cannot read {}: {why}", path.display()));
    read_plain(&bytes).map_err(|why| bad(why).into())
}

/// An archive with these arrays.
pub(super) fn encode(ports: &[Port], tensors: &[Tensor]) -> Result<Vec<u8>, Failure> {
    let write = || -> Result<Vec<u8>, String> {
        let mut npz = NpzWriter::new_compressed(Cursor::new(Vec::new()));
        for (port, tensor) in ports.iter().zip(tensors) {
            write_array(&mut npz, port, tensor)?;
        }
        npz.finish().map(Cursor::into_inner).map_err(|e| e.to_string())
    };
    write().map_err(|why| Code::BadArrays.error(format!("cannot store the outputs: {why}")).into())
}

/// The arrays in the order of the ports. Every port needs one of its type and shape, and no
/// array may be left over.
pub(super) fn arrange(
    mut arrays: Arrays,
    ports: &[Port],
    what: &str,
) -> Result<Vec<Tensor>, Failure> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for port in ports {
        match arrays.remove(&port.name) {
            None => problems.push(format!("no array for the {what} {:?}: {}", port.name, port.ty)),
            Some(tensor) if tensor.ty != port.ty => problems.push(format!(
                "the {what} {:?} is {}, the array is {}",
                port.name, port.ty, tensor.ty
            )),
            Some(tensor) => found.push(tensor),
        }
    }
    problems.extend(arrays.keys().map(|name| {
        let help = suggest::help(&format!("{what}s"), name, ports.iter().map(|p| p.name.as_str()));
        format!("the model has no {what} {name:?}; {help}")
    }));
    if problems.is_empty() {
        return Ok(found);
    }
    let problems: Vec<Diagnostic> =
        problems.into_iter().map(|p| Code::BadArrays.error(p)).collect();
    Err(problems.into())
}

/// A Rust type of array elements and the bits of its scalars.
trait Element: Copy {
    fn to_bits(self) -> u64;
    fn of_bits(bits: u64) -> Self;
}

macro_rules! elements {
    ($($elem:ident $ty:ty, $to:expr, $of:expr;)*) => {
        $(impl Element for $ty {
            fn to_bits(self) -> u64 {
                $to(self)
            }
            fn of_bits(bits: u64) -> $ty {
                $of(bits)
            }
        })*

        /// Tries each type: an archive does not tell without reading.
        fn read_array(npz: &mut NpzReader<Cursor<Vec<u8>>>, name: &str) -> Result<Tensor, String> {
            $(match npz.by_name::<OwnedRepr<$ty>, IxDyn>(name) {
                Ok(array) => return Ok(to_tensor(ElemType::$elem, &array)),
                Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => {}
                Err(why) => return Err(why.to_string()),
            })*
            Err("its element type is not supported".to_owned())
        }

        /// As `read_array`, for a file that is one array.
        fn read_plain(bytes: &[u8]) -> Result<Tensor, String> {
            $(match ArrayD::<$ty>::read_npy(bytes) {
                Ok(array) => return Ok(to_tensor(ElemType::$elem, &array)),
                Err(ReadNpyError::WrongDescriptor(_)) => {}
                Err(why) => return Err(why.to_string()),
            })*
            Err("its element type is not supported".to_owned())
        }

        fn write_array(
            npz: &mut NpzWriter<Cursor<Vec<u8>>>,
            port: &Port,
            tensor: &Tensor,
        ) -> Result<(), String> {
            let fail = |e: WriteNpzError| e.to_string();
            let name = port.name.as_str();
            match tensor.ty.elem {
                $(ElemType::$elem => npz.add_array(name, &to_array::<$ty>(tensor)).map_err(fail),)*
                ElemType::F16 => Err(format!("{name:?} is f16, which archives here cannot hold")),
            }
        }
    };
}

elements! {
    F32 f32, |v: f32| v.to_bits().into(), |b| f32::from_bits(b as u32);
    F64 f64, f64::to_bits, f64::from_bits;
    I8 i8, |v| v as u64, |b| b as i8;
    U8 u8, u64::from, |b| b as u8;
    I16 i16, |v| v as u64, |b| b as i16;
    U16 u16, u64::from, |b| b as u16;
    I32 i32, |v| v as u64, |b| b as i32;
    U32 u32, u64::from, |b| b as u32;
    I64 i64, |v| v as u64, |b| b as i64;
    U64 u64, |v| v, |b| b;
    Bool bool, u64::from, |b| b != 0;
}

fn to_tensor<T: Element>(elem: ElemType, array: &ArrayD<T>) -> Tensor {
    let mut values = array.iter();
    let mut value = || values.next().map_or(0, |&v| v.to_bits());
    Tensor::from_fn(TensorType::new(elem, array.shape()), |_| Scalar::from_bits(elem, value()))
}

fn to_array<T: Element>(tensor: &Tensor) -> ArrayD<T> {
    let values = tensor.iter().map(|v| T::of_bits(v.bits())).collect();
    ArrayD::from_shape_vec(IxDyn(&tensor.ty.shape), values).expect("a tensor has its shape's size")
}

#[cfg(test)]
mod tests {
    use super::{Arrays, arrange, encode};
    use edgecc_ir::kernel::Port;
    use edgecc_ir::tensor::Tensor;

    fn port(name: &str, tensor: &Tensor) -> Port {
        Port { name: name.to_owned(), ty: tensor.ty.clone() }
    }

    #[test]
    fn archives_round_trip() {
        let tensors = [Tensor::from_f32s(&[2, 1], &[1.5, f32::NAN]), Tensor::from_i64s(&[], &[-7])];
        let ports = [port("a", &tensors[0]), port("b", &tensors[1])];
        let path = std::env::temp_dir().join(format!("edgecc-{}.npz", std::process::id()));
        std::fs::write(&path, encode(&ports, &tensors).expect("storable")).expect("writable");
        let arrays = super::read(&path);
        std::fs::remove_file(&path).expect("just written");
        assert_eq!(
            arrange(arrays.expect("readable"), &ports, "input").as_deref(),
            Ok(&tensors[..])
        );
    }

    #[test]
    fn every_misfit_is_reported() {
        let (x, y) = (Tensor::from_f32s(&[2], &[0.0; 2]), Tensor::from_i64s(&[2], &[0; 2]));
        let arrays = Arrays::from([("imagee".to_owned(), x.clone()), ("y".to_owned(), x.clone())]);
        let failure = arrange(arrays, &[port("image", &x), port("y", &y)], "input").expect_err("");
        let messages: Vec<_> = failure.diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "no array for the input \"image\": f32[2]",
                "the input \"y\" is i64[2], the array is f32[2]",
                "the model has no input \"imagee\"; did you mean \"image\"?",
            ]
        );
    }
}
