//! Files read whole and written whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A process that was killed has let go of its files after this: it gives back its gigabytes of memory first.
const DYING: Duration = Duration::from_secs(2);
/// How often a file that is locked is tried.
const TRIES: u32 = 40;

/// The bytes of a plain file. Devices and pipes may never end, so that they are refused.
///
/// # Errors
/// Those of the operating system, and for anything that is no plain file.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    regular(&fs::metadata(path)?)?;
    fs::read(path)
}

/// Writes a file that appears whole or not at all: under a temporary name in the same folder, then
/// renamed. On failure the temporary file is removed and an older file is left as it was.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, mut file) = beside(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// Whether a file can be written at `path`, as far as can be told without writing it. To be asked
/// before work whose result goes there.
///
/// # Errors
/// What writing it would fail with: no such folder, no permission, a folder or device of that name.
pub fn check_writable(path: &Path) -> io::Result<()> {
    beside(path).map(drop)
}

/// Takes a file for this process, and waits for one that is just being killed to let go of it.
///
/// # Errors
/// [`TryLockError::WouldBlock`] where another process keeps it.
pub(crate) fn lock(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < DYING => {
                thread::sleep(DYING / TRIES);
            }
            result => return result,
        }
    }
}

/// The file that `path` leads to, and an empty temporary file in its folder.
fn beside(path: &Path) -> io::Result<(PathBuf, tempfile::NamedTempFile)> {
    // A rename would replace a link or a device by a plain file: follow the one, refuse the other.
    let target = match fs::metadata(path) {
        Ok(found) => {
            regular(&found)?;
            fs::canonicalize(path)?
        }
        Err(_) => path.to_owned(),
    };
    if target.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = builder().tempfile_in(folder)?;
    Ok((target, file))
}

fn regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = if found.is_dir() { "it is a folder" } else { "it is not a plain file" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Temporary files are private by default; a result has the usual permissions, less the user's
/// mask.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".disentangle-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        check_writable(&path.join("new")).unwrap();
        assert!(check_writable(path).unwrap_err().to_string().contains("folder"));
        assert!(check_writable(&path.join("no/new")).is_err());
        assert!(check_writable(Path::new("")).is_err());
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_let_go_is_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let dying = open();
        dying.try_lock().unwrap();
        let waiting = open();
        thread::scope(|scope| {
            let taken = scope.spawn(|| lock(&waiting));
            thread::sleep(DYING / 10);
            drop(dying);
            taken.join().unwrap().unwrap();
        });
        assert!(matches!(lock(&open()), Err(TryLockError::WouldBlock)));
    }
}
