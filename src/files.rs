//! Files read whole and written whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

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

/// A part of a plain file in the folder of another one, or below it: `length` bytes from `offset` on, or all that follow.
///
/// # Errors
/// Those of [`read_regular`]; for a name that leads elsewhere; for fewer bytes than wanted.
pub(crate) fn read_beside(
    path: &Path,
    name: &str,
    offset: u64,
    length: Option<u64>,
) -> io::Result<Vec<u8>> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let within = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || !Path::new(name).components().all(within) {
        return Err(invalid("it is not in the same folder"));
    }
    let path = path.with_file_name(name);
    let found = fs::metadata(&path)?;
    regular(&found)?;
    let left = found.len().checked_sub(offset).ok_or_else(|| invalid("it is too short"))?;
    let length = length.unwrap_or(left);
    if length > left {
        return Err(invalid("it is too short"));
    }
    let mut file = File::open(&path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that appears whole or not at all: under a temporary name in the same folder, then
/// renamed. On failure the temporary file is removed and an older file is left as it was.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_streamed(path, |file| file.write_all(bytes))
}

/// The same for a file that is written piece by piece.
pub(crate) fn write_streamed(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let (target, mut file) = beside(path)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// Writes `value` as indented JSON, whole or not at all.
///
/// # Errors
/// Those of the operating system, and of a value that JSON cannot say.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    write_atomically(path, &json)
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
    fn only_what_is_beside_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, inner) = (folder.path().join("inner/model"), folder.path().join("inner"));
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("above"), "secret").unwrap();
        fs::write(inner.join("data"), "0123456789").unwrap();
        let read = |name: &str, offset, length| read_beside(&path, name, offset, length);
        assert_eq!(read("data", 2, Some(3)).unwrap(), b"234");
        assert_eq!(read("./data", 8, None).unwrap(), b"89");
        for (name, offset, length) in [
            ("../above", 0, None),
            ("/etc/passwd", 0, None),
            ("", 0, None),
            ("data", 11, None),
            ("data", 8, Some(3)),
        ] {
            assert!(read(name, offset, length).is_err(), "{name} {offset}");
        }
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
