//! What the targets share: readers that only read files are given one.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A file that holds the input, in a folder of its own, in memory where there is such a place.
pub struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    /// A place for a file called `name`.
    pub fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let path = folder.path().join(name);
        Scratch { folder, path }
    }

    /// The file, with these bytes.
    pub fn file(&self, bytes: &[u8]) -> &Path {
        fs::write(&self.path, bytes).expect("a file");
        &self.path
    }

    /// The folder that the file is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
