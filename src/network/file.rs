//! Network files on disk: read whole, written atomically.

use std::io;
use std::path::{Path, PathBuf};

use super::format::FormatError;
use super::onnx::{self, OnnxError};
use super::{Activation, Network, NetworkError};
use crate::files::{read_beside, read_regular, write_atomically};

/// A network file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read, but does not hold a network.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatError,
    },
    /// The file was read, but its ONNX model is not a network.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OnnxError,
    },
    /// The operating system would not take the file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The network is not one that can be written.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Network {
    /// Reads a safetensors file with the names of [`from_bytes`](Network::from_bytes), or, where its name ends in `.onnx`,
    /// an [ONNX model](Network::from_onnx), whose constants may be in files beside it.
    /// `override_activation`, if given, stands for all hidden layers whatever the file says.
    ///
    /// # Errors
    /// [`FileError::Read`], [`FileError::Format`] or [`FileError::Onnx`], with the file's path.
    pub fn load(
        path: impl AsRef<Path>,
        override_activation: Option<Activation>,
    ) -> Result<Network, FileError> {
        let path = path.as_ref();
        let bytes =
            read_regular(path).map_err(|source| FileError::Read { path: path.into(), source })?;
        if onnx::is_named(path) {
            let beside = |name: &str, offset, length| read_beside(path, name, offset, length);
            return onnx::from_bytes(&bytes, override_activation, &beside)
                .map_err(|source| FileError::Onnx { path: path.into(), source });
        }
        Network::from_bytes(&bytes, override_activation)
            .map_err(|source| FileError::Format { path: path.into(), source })
    }

    /// Writes the network in f64: as an [ONNX model](Network::to_onnx) where the name ends in `.onnx`, else as safetensors.
    /// The file appears whole or not at all: it is written under a
    /// temporary name in the same folder, then renamed; on failure the temporary file is removed
    /// and an older file of that name is left as it was.
    ///
    /// # Errors
    /// [`FileError::Write`], or [`FileError::Network`] for parameters that are not
    /// [valid](Network::validate).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let bytes = if onnx::is_named(path) { self.to_onnx()? } else { self.to_bytes()? };
        write_atomically(path, &bytes)
            .map_err(|source| FileError::Write { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::network::Class;

    fn network(seed: u64) -> Network {
        Network::random(&[5, 4, 3], 1, Class::General, Activation::Erf, seed).unwrap()
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_saved_network_is_read_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        for seed in 0..2 {
            network(seed).save(&path).unwrap();
            assert_eq!(Network::load(&path, None).unwrap(), network(seed));
        }
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn failures_name_the_file_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(network(0).save(&inner).unwrap_err().to_string().contains("inner: it is a folder"));
        assert!(Network::load(&inner, None).unwrap_err().to_string().contains("cannot read"));
        let lost = inner.join("no-folder/net.safetensors");
        assert!(network(0).save(&lost).unwrap_err().to_string().contains("cannot write"));
        let mut broken = network(0);
        broken.c0[0] = f64::NAN;
        assert!(matches!(broken.save(inner.join("x")), Err(FileError::Network(_))));
        assert_eq!((entries(folder.path()), entries(&inner)), (1, 0));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_a_device_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        network(0).save(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        network(1).save(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Network::load(&file, None).unwrap(), network(1));
        assert!(network(0).save("/dev/null").is_err());
        assert!(Network::load("/dev/zero", None).is_err());
    }
}
