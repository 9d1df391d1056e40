//! Files of networks with one hidden layer: safetensors with the names of
//! `torch.nn.Sequential(Linear, act, Linear).state_dict()`: `0.weight` (m x d), `0.bias` (m), `2.weight` (1 x m) and
//! `2.bias` (1); conventions as for [two layers](crate::Network::from_bytes).

use std::path::Path;

use nalgebra::{DMatrix, DVector};
use safetensors::SafeTensors;

use super::Shallow;
use crate::network::format::{
    activations, check_names, container, container_error, fit, matrix_shape, numbers, tensor,
};
use crate::network::{Activation, FileError, FormatError, NetworkError};

const TENSORS: [&str; 4] = ["0.bias", "0.weight", "2.bias", "2.weight"];

/// Does the file at `path` hold a network with one hidden layer, judged by its tensors' names?
///
/// # Errors
/// [`FileError::Read`], or [`FileError::Format`] if it is no safetensors file.
pub fn is_shallow(path: impl AsRef<Path>) -> Result<bool, FileError> {
    FileError::reading(path.as_ref(), |bytes| {
        let file = SafeTensors::deserialize(bytes).map_err(|error| container_error(&error))?;
        Ok(file.tensor("2.weight").is_ok() && file.tensor("4.weight").is_err())
    })
}

impl Shallow {
    /// Reads a network from the bytes of a safetensors file. `activation`, if given, stands whatever
    /// the metadata say.
    ///
    /// # Errors
    /// As for [two layers](crate::Network::from_bytes).
    pub fn from_bytes(bytes: &[u8], activation: Option<Activation>) -> Result<Self, FormatError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| container_error(&error))?;
        check_names(&file, &TENSORS)?;
        let first = tensor(&file, "0.weight")?;
        let [m, d] = matrix_shape("0.weight", &first, "(m, d)")?;
        let last = tensor(&file, "2.weight")?;
        let [outputs, width] = matrix_shape("2.weight", &last, "(1, m)")?;
        if outputs != 1 {
            return Err(FormatError::Outputs(outputs, "2.weight"));
        }
        if d == 0 || m == 0 {
            return Err(NetworkError::Empty(d, m, 1).into());
        }
        fit("2.weight", &[outputs, width], &[1, m])?;
        let vector = |name, length| {
            let tensor = tensor(&file, name)?;
            fit(name, tensor.shape(), &[length])?;
            numbers(name, &tensor)
        };
        let phi = match activation {
            Some(activation) => activation,
            None => activations(bytes)?.0,
        };
        Ok(Shallow {
            // A row-major m x d matrix is its own transpose in column-major order.
            a: DMatrix::from_vec(d, m, numbers("0.weight", &first)?),
            theta: -DVector::from_vec(vector("0.bias", m)?),
            c: DVector::from_vec(numbers("2.weight", &last)?),
            c0: vector("2.bias", 1)?[0],
            phi,
        })
    }

    /// The bytes of the network's file, f64. Equal networks give equal bytes.
    ///
    /// # Errors
    /// If the network is not [valid](Shallow::validate).
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkError> {
        self.validate()?;
        let (d, m) = self.dims();
        let bias = -&self.theta;
        let tensors: [(&str, Vec<usize>, &[f64]); 4] = [
            ("0.bias", vec![m], bias.as_slice()),
            ("0.weight", vec![m, d], self.a.as_slice()),
            ("2.bias", vec![1], std::slice::from_ref(&self.c0)),
            ("2.weight", vec![1, m], self.c.as_slice()),
        ];
        Ok(container(&tensors, &[("activation", self.phi.name())]))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError::Read`] or [`FileError::Format`], with the file's path.
    pub fn load(
        path: impl AsRef<Path>,
        activation: Option<Activation>,
    ) -> Result<Shallow, FileError> {
        FileError::reading(path.as_ref(), |bytes| Shallow::from_bytes(bytes, activation))
    }

    /// Writes the network in f64. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`FileError::Write`], or [`FileError::Network`] for parameters that are not
    /// [valid](Shallow::validate).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        FileError::writing(path.as_ref(), &self.to_bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Class, Network};

    #[test]
    fn a_saved_network_is_read_back_and_told_from_a_deeper_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let network = Shallow::random((5, 3), Class::General, Activation::Erf, 1).unwrap();
        network.save(&path).unwrap();
        assert!(is_shallow(&path).unwrap());
        assert_eq!(Shallow::load(&path, None).unwrap(), network);
        let read = Shallow::load(&path, Some(Activation::Tanh)).unwrap();
        assert_eq!(read.phi, Activation::Tanh);
        assert!(Network::load(&path, None).unwrap_err().to_string().contains("4.bias"));

        let deep = Network::random((5, 3, 2), Class::General, Activation::Erf, 1).unwrap();
        deep.save(&path).unwrap();
        assert!(!is_shallow(&path).unwrap());
        assert!(Shallow::load(&path, None).unwrap_err().to_string().contains("unexpected"));
        std::fs::write(&path, "junk").unwrap();
        assert!(is_shallow(&path).is_err() && Shallow::load(&path, None).is_err());
    }
}
