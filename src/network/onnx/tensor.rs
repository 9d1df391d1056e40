//! Constants of a graph.

use nalgebra::DMatrix;

use super::message::{DOUBLE, EXTERNAL, FLOAT, INT32, INT64, TensorProto};
use super::{Beside, OnnxError};

/// A constant, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub dims: Vec<usize>,
    /// Whole numbers of shapes and axes, too: they are small.
    pub numbers: Vec<f64>,
}

impl Tensor {
    /// Reads the constant of a file.
    pub fn read(proto: &TensorProto, beside: &Beside<'_>) -> Result<Tensor, OnnxError> {
        let wrong = |what: String| OnnxError::Tensor { name: proto.name.clone(), what };
        let dims: Option<Vec<usize>> =
            proto.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let dims = dims.ok_or_else(|| wrong(format!("its shape is {:?}", proto.dims)))?;
        let numbers = match proto.data_location {
            EXTERNAL => external(proto, beside).and_then(|bytes| from_bytes(proto, &bytes)),
            _ if !proto.raw_data.is_empty() => from_bytes(proto, &proto.raw_data),
            _ => from_fields(proto),
        };
        let numbers = numbers.map_err(wrong)?;
        let due = dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if due != Some(numbers.len()) {
            return Err(wrong(format!("{} numbers for a shape of {dims:?}", numbers.len())));
        }
        Ok(Tensor { dims, numbers })
    }

    /// One number whatever the shape, so that it goes with every unit.
    pub fn scalar(&self) -> Option<f64> {
        match self.numbers.as_slice() {
            [number] if self.dims.len() <= 2 => Some(*number),
            _ => None,
        }
    }

    /// A number for each unit: of shape m or 1 x m.
    pub fn row(&self) -> Option<&[f64]> {
        matches!(self.dims.as_slice(), [_] | [1, _]).then_some(&self.numbers)
    }

    /// Rows and columns as the file has them.
    pub fn matrix(&self) -> Option<DMatrix<f64>> {
        match *self.dims.as_slice() {
            [rows, columns] => Some(DMatrix::from_row_slice(rows, columns, &self.numbers)),
            _ => None,
        }
    }

    /// The transpose of a matrix.
    pub fn transposed(&self) -> Option<Tensor> {
        let matrix = self.matrix()?;
        // Columns of the one are rows of the other.
        let dims = vec![matrix.ncols(), matrix.nrows()];
        Some(Tensor { dims, numbers: matrix.as_slice().to_vec() })
    }

    /// Whole numbers: a shape, or axes.
    pub fn whole(&self) -> Vec<i64> {
        // They came as i64, and small ones are exact.
        self.numbers.iter().map(|&number| number as i64).collect()
    }
}

/// The bytes in a file beside the model.
fn external(proto: &TensorProto, beside: &Beside<'_>) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let found = proto.external_data.iter().find(|entry| entry.key == key);
        found.map(|entry| entry.value.as_str())
    };
    let number = |key: &str| {
        let parsed = entry(key).map(str::parse::<u64>).transpose();
        parsed.map_err(|_| format!("its {key} in the file beside the model is no number"))
    };
    let location = entry("location").ok_or("the file beside the model is not named")?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    beside(location, offset, length)
        .map_err(|error| format!("cannot read {location:?} beside the model: {error}"))
}

/// Little-endian numbers, as many as there are.
fn from_bytes(proto: &TensorProto, bytes: &[u8]) -> Result<Vec<f64>, String> {
    match proto.data_type {
        FLOAT => numbers(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DOUBLE => numbers(bytes, f64::from_le_bytes),
        INT32 => numbers(bytes, |bytes| f64::from(i32::from_le_bytes(bytes))),
        INT64 => numbers(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        other => Err(unknown(other)),
    }
}

fn numbers<const N: usize>(
    bytes: &[u8],
    number: impl Fn([u8; N]) -> f64,
) -> Result<Vec<f64>, String> {
    let (whole, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err("its bytes end within a number".to_owned());
    }
    Ok(whole.iter().map(|&bytes| number(bytes)).collect())
}

/// The numbers in the field of their type.
fn from_fields(proto: &TensorProto) -> Result<Vec<f64>, String> {
    Ok(match proto.data_type {
        FLOAT => proto.float_data.iter().map(|&x| f64::from(x)).collect(),
        DOUBLE => proto.double_data.clone(),
        INT32 => proto.int32_data.iter().map(|&x| f64::from(x)).collect(),
        INT64 => proto.int64_data.iter().map(|&x| x as f64).collect(),
        other => return Err(unknown(other)),
    })
}

fn unknown(data_type: i32) -> String {
    format!("its type is number {data_type} of ONNX; f32 (1) and f64 (11) are read")
}

#[cfg(test)]
mod tests {
    use super::super::message::StringStringEntryProto;
    use super::*;

    fn nowhere(_: &str, _: u64, _: Option<u64>) -> std::io::Result<Vec<u8>> {
        Err(std::io::Error::other("nowhere"))
    }

    #[test]
    fn numbers_come_in_bytes_in_fields_or_from_beside() {
        let numbers = [1.5f32, -2.0];
        let raw_data: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let empty = TensorProto { dims: vec![1, 2], data_type: FLOAT, ..Default::default() };
        let raw = TensorProto { raw_data: raw_data.clone(), ..empty.clone() };
        let fields = TensorProto { float_data: numbers.to_vec(), ..empty.clone() };
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };
        let external_data =
            vec![entry("location", "data"), entry("offset", "8"), entry("length", "8")];
        let outside = TensorProto { external_data, data_location: EXTERNAL, ..empty.clone() };
        let beside = |name: &str, offset: u64, length: Option<u64>| {
            assert_eq!((name, offset, length), ("data", 8, Some(8)));
            Ok(raw_data.clone())
        };
        let expected = Tensor { dims: vec![1, 2], numbers: vec![1.5, -2.0] };
        for proto in [&raw, &fields, &outside] {
            assert_eq!(Tensor::read(proto, &beside).unwrap(), expected);
        }
        assert!(Tensor::read(&outside, &nowhere).unwrap_err().to_string().contains("nowhere"));
        assert!(Tensor::read(&empty, &nowhere).unwrap_err().to_string().contains("0 numbers"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let proto = |dims: &[i64], data_type, bytes: usize| TensorProto {
            dims: dims.to_vec(),
            data_type,
            raw_data: vec![0; bytes],
            ..Default::default()
        };
        let bad = [
            proto(&[-1], FLOAT, 4),
            proto(&[2], FLOAT, 7),
            proto(&[i64::MAX, i64::MAX], FLOAT, 8),
            proto(&[1], 10, 2),
        ];
        for bad in bad {
            assert!(Tensor::read(&bad, &nowhere).is_err(), "{bad:?}");
        }
    }
}
