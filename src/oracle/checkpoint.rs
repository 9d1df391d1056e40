//! Answers on disk: what a run has asked so far, so that it is never asked again.
//!
//! A checkpoint is one file, `queries.log`, that only ever grows. Its first line is JSON and names
//! the run: the format, and whatever tells this run from others. Then one record follows another, all
//! in little-endian words of eight bytes:
//!
//! ```text
//! u64 key        hash of the question
//! u64 n
//! f64 * n        the answer
//! u64 checksum   of the three, and of the checksum before
//! ```
//!
//! The answer is what was asked for, at one point after the other: values, or directional derivatives,
//! or Hessians as svec's. Where the black box keeps its Hessians to itself, as a GPU does, the answer to
//! the question for a stack of them is their norms, one f64 each, in one record: enough to notice a stack
//! that comes back otherwise. What kind of question it was is a part of the key, so that no answer
//! passes for one of another kind: a log in which Hessians of a GPU were recorded themselves is refused.
//!
//! A record is written by one call as soon as the black box has answered: a process that is killed
//! leaves whole records and at most one torn one, which is cut off. The hashes tell accidents from
//! one another; they are no protection against forgery.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::files;

/// The file's name in the folder of the checkpoint.
pub const FILE: &str = "queries.log";
/// What the first line says about the rest.
const FORMAT: &str = "disentangle-queries-1";
/// Longest first line.
const LONGEST_HEADER: u64 = 1 << 20;
/// Bytes of a record without its numbers.
const FRAME: u64 = 24;
/// What is written reaches the disk this often; a process that is killed loses nothing by it, a
/// machine that stops does.
const SYNC: Duration = Duration::from_secs(2);

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system would not read or write it.
    #[error("cannot use the checkpoint {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("the checkpoint {} is in use by another run", .0.display())]
    InUse(PathBuf),
    /// There is none, and a new one is not wanted.
    #[error("there is no checkpoint {} to resume", .0.display())]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{} is no checkpoint that this version reads", .0.display())]
    Format(PathBuf),
    /// It belongs to another run.
    #[error("the checkpoint {} is of another run: {what} is {there} there and {here} here", path.display())]
    AnotherRun {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
        /// Its value in the checkpoint.
        there: Value,
        /// Its value in this run.
        here: Value,
    },
    /// The run asks something else than what was recorded.
    #[error(
        "the checkpoint {} does not fit: question {record} of this run is not the one recorded; \
         another kind of machine rounds otherwise",
        path.display()
    )]
    Diverged {
        /// The file.
        path: PathBuf,
        /// The record's place, from 1.
        record: u64,
    },
}

/// One answered question.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    /// Hash of the question.
    pub key: u64,
    /// The answer.
    pub numbers: Vec<f64>,
}

/// The answers of a run, open to be read from the beginning and then continued. One process has it at
/// a time.
#[derive(Debug)]
pub struct Checkpoint {
    file: File,
    path: PathBuf,
    /// What was recorded before, until all of it has been read.
    past: Option<Past>,
    records: u64,
    /// Checksum of the last record.
    checksum: u64,
    synced: Instant,
}

/// Records to be read again.
#[derive(Debug)]
struct Past {
    reader: BufReader<File>,
    /// Bytes left.
    left: u64,
    checksum: u64,
}

impl Checkpoint {
    /// Opens the checkpoint in `folder` for the run that `run` describes, or begins one, with the
    /// folder, unless `must_exist`. A torn or damaged end is cut off, with a warning.
    ///
    /// # Errors
    /// [`CheckpointError`]; above all if the checkpoint is of a run described otherwise.
    pub fn open(
        folder: &Path,
        run: &Map<String, Value>,
        must_exist: bool,
    ) -> Result<Self, CheckpointError> {
        let path = folder.join(FILE);
        let failed = |source| CheckpointError::Io { path: path.clone(), source };
        if must_exist && !path.exists() {
            return Err(CheckpointError::Missing(path));
        }
        fs::create_dir_all(folder).map_err(failed)?;
        if path.exists() && !path.is_file() {
            return Err(CheckpointError::Format(path));
        }
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(failed)?;
        match files::lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CheckpointError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let header = format!("{}\n", json!({"format": FORMAT, "run": run}));
        let found = read_header(&mut file).map_err(failed)?;
        // A first line that was cut off while it was written has nothing behind it.
        if header.as_bytes().starts_with(&found) && found.len() < header.len() {
            file.set_len(0).and_then(|()| file.write_all(header.as_bytes())).map_err(failed)?;
        } else {
            compare(&found, run, &path)?;
        }
        let start = header.len().max(found.len()) as u64;
        let length = file.metadata().map_err(failed)?.len();
        let past = Past::new(&file, start, length).map_err(failed)?;
        let whole = past.whole().map_err(failed)?;
        let torn = length - start - whole;
        if torn > 0 {
            tracing::warn!(
                "the checkpoint {} ends with {torn} bytes that are no whole record; what they \
                 held is asked again",
                path.display()
            );
            file.set_len(start + whole).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let past = Past::new(&file, start, start + whole).map_err(failed)?;
        let synced = Instant::now();
        Ok(Checkpoint { file, path, past: Some(past), records: 0, checksum: 0, synced })
    }

    /// Bytes of answers that were there when it was opened and have not been read yet.
    pub fn left(&self) -> u64 {
        self.past.as_ref().map_or(0, |past| past.left)
    }

    /// The next answer recorded before; `None` once there are no more, and from then on.
    pub(super) fn next(&mut self) -> Result<Option<Record>, CheckpointError> {
        let Some(past) = &mut self.past else { return Ok(None) };
        let record = past.next().map_err(|source| self.failed(source))?;
        match (&record, &self.past) {
            (Some(_), _) => self.records += 1,
            (None, Some(past)) => {
                self.checksum = past.checksum;
                self.past = None;
            }
            (None, None) => {}
        }
        Ok(record)
    }

    /// Adds an answer. Only after [`next`](Self::next) has come to the end.
    pub(super) fn append(&mut self, key: u64, numbers: &[f64]) -> Result<(), CheckpointError> {
        self.checksum = checksum(self.checksum, key, numbers);
        let mut bytes = Vec::with_capacity(FRAME as usize + 8 * numbers.len());
        bytes.extend(key.to_le_bytes());
        bytes.extend((numbers.len() as u64).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(self.checksum.to_le_bytes());
        self.file.write_all(&bytes).map_err(|source| self.failed(source))?;
        self.records += 1;
        if self.synced.elapsed() > SYNC {
            self.file.sync_data().map_err(|source| self.failed(source))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// The last record read is not the answer to what is asked now.
    pub(super) fn diverged(&self) -> CheckpointError {
        CheckpointError::Diverged { path: self.path.clone(), record: self.records }
    }

    fn failed(&self, source: io::Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), source }
    }
}

/// The first line with its end, or whatever there is of it.
fn read_header(file: &mut File) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    file.rewind()?;
    BufReader::new(file).take(LONGEST_HEADER).read_until(b'\n', &mut header)?;
    Ok(header)
}

/// Is `header` that of a checkpoint of this run?
fn compare(header: &[u8], run: &Map<String, Value>, path: &Path) -> Result<(), CheckpointError> {
    let no_checkpoint = || CheckpointError::Format(path.to_owned());
    let header = header.strip_suffix(b"\n").ok_or_else(no_checkpoint)?;
    let header: Value = serde_json::from_slice(header).map_err(|_| no_checkpoint())?;
    let there = header["run"].as_object().filter(|_| header["format"] == FORMAT);
    let there = there.ok_or_else(no_checkpoint)?;
    let value = |run: &Map<String, Value>, key: &str| run.get(key).cloned().unwrap_or_default();
    let differs = |key: &&String| value(there, key) != value(run, key);
    match run.keys().chain(there.keys()).find(differs) {
        None => Ok(()),
        Some(what) => Err(CheckpointError::AnotherRun {
            path: path.to_owned(),
            what: what.clone(),
            there: value(there, what),
            here: value(run, what),
        }),
    }
}

impl Past {
    /// The bytes of `file` from `start` to `end`.
    fn new(file: &File, start: u64, end: u64) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        file.seek(io::SeekFrom::Start(start))?;
        let left = end.saturating_sub(start);
        Ok(Past { reader: BufReader::with_capacity(1 << 16, file), left, checksum: 0 })
    }

    /// Length of all the records up to the first that is torn or damaged.
    fn whole(mut self) -> io::Result<u64> {
        let length = self.left;
        while self.next()?.is_some() {}
        Ok(length - self.left)
    }

    /// The next record; `None` at the end, or where what follows is no whole record.
    fn next(&mut self) -> io::Result<Option<Record>> {
        if self.left < FRAME {
            return Ok(None);
        }
        let key = self.word()?;
        // No more is taken from memory than there is on the disk.
        let room = (self.left - FRAME) / 8;
        let count = self.word()?;
        if count > room {
            return Ok(None);
        }
        let mut bytes = vec![0; 8 * count as usize];
        self.reader.read_exact(&mut bytes)?;
        let numbers: Vec<f64> =
            bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight)).collect();
        let sum = checksum(self.checksum, key, &numbers);
        if self.word()? != sum {
            return Ok(None);
        }
        self.checksum = sum;
        self.left -= FRAME + 8 * count;
        Ok(Some(Record { key, numbers }))
    }

    fn word(&mut self) -> io::Result<u64> {
        let mut word = [0; 8];
        self.reader.read_exact(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }
}

fn checksum(before: u64, key: u64, numbers: &[f64]) -> u64 {
    let mut hash = Hash::default();
    hash.words([before, key, numbers.len() as u64]);
    hash.numbers(numbers);
    hash.end()
}

/// The hash of some bytes, a network file's for instance.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = Hash::default();
    let (words, rest) = bytes.as_chunks();
    hash.words(words.iter().map(|&word| u64::from_le_bytes(word)));
    hash.words(rest.iter().map(|&byte| u64::from(byte)));
    hash.words([bytes.len() as u64]);
    hash.end()
}

/// A hash of words, fast and the same on every machine. Each step is a bijection of the state and of
/// the word, so that a change of one word never goes unseen.
#[derive(Default)]
pub(super) struct Hash(u64);

impl Hash {
    /// Odd, with bits all over.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    pub fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(Self::FACTOR);
        }
    }

    pub fn numbers(&mut self, numbers: &[f64]) {
        self.words(numbers.iter().map(|number| number.to_bits()));
    }

    /// Every bit of the state in every bit of the hash.
    pub fn end(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(Self::FACTOR);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64) -> Map<String, Value> {
        [("seed".to_owned(), json!(seed)), ("oracle".to_owned(), json!("x"))].into_iter().collect()
    }

    fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(folder, &run(1), false)
    }

    fn read(checkpoint: &mut Checkpoint) -> Vec<Record> {
        std::iter::from_fn(|| checkpoint.next().unwrap()).collect()
    }

    fn record(key: u64) -> Record {
        Record { key, numbers: (0..key).map(|k| k as f64 - 0.5).collect() }
    }

    fn append(checkpoint: &mut Checkpoint, keys: impl IntoIterator<Item = u64>) {
        for key in keys {
            checkpoint.append(key, &record(key).numbers).unwrap();
        }
    }

    #[test]
    fn what_was_appended_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("made");
        assert!(matches!(
            Checkpoint::open(&inner, &run(1), true),
            Err(CheckpointError::Missing(_))
        ));
        let mut checkpoint = open(&inner).unwrap();
        assert!(read(&mut checkpoint).is_empty());
        append(&mut checkpoint, 0..3);
        assert!(matches!(open(&inner), Err(CheckpointError::InUse(_))));
        drop(checkpoint);
        for (before, after) in [(3, 3..5), (5, 5..9)] {
            let mut checkpoint = open(&inner).unwrap();
            assert_eq!(read(&mut checkpoint), (0..before).map(record).collect::<Vec<_>>());
            append(&mut checkpoint, after);
        }
    }

    #[test]
    fn every_cut_leaves_the_records_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        append(
            &mut {
                let mut new = open(folder.path()).unwrap();
                read(&mut new);
                new
            },
            0..4,
        );
        let bytes = fs::read(&path).unwrap();
        let header = 1 + bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let sizes: Vec<usize> = (0..4).map(|n| FRAME as usize + 8 * n).collect();
        assert_eq!(header + sizes.iter().sum::<usize>(), bytes.len());
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let mut end = header;
            let whole = sizes.iter().take_while(|&&size| {
                end += size;
                end <= cut
            });
            let whole = whole.count() as u64;
            let mut checkpoint = open(folder.path()).unwrap();
            assert_eq!(read(&mut checkpoint), (0..whole).map(record).collect::<Vec<_>>());
            append(&mut checkpoint, whole..4);
            drop(checkpoint);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {cut}");
        }
    }

    #[test]
    fn no_damage_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut checkpoint = open(folder.path()).unwrap();
        read(&mut checkpoint);
        append(&mut checkpoint, 0..4);
        drop(checkpoint);
        let bytes = fs::read(&path).unwrap();
        let header = 1 + bytes.iter().position(|&byte| byte == b'\n').unwrap();
        for place in header..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= flip;
                fs::write(&path, damaged).unwrap();
                let found = read(&mut open(folder.path()).unwrap());
                let good = found.iter().zip(0..).all(|(found, key)| *found == record(key));
                assert!(good && found.len() < 4, "{place}: {found:?}");
            }
        }
    }

    #[test]
    fn other_runs_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).unwrap());
        let other = Checkpoint::open(folder.path(), &run(2), false).unwrap_err().to_string();
        assert!(other.contains("seed is 1 there and 2 here"), "{other}");
        let path = folder.path().join(FILE);
        for junk in ["junk", "junk\n", "{}\n", "{\"format\": 3, \"run\": {}}\n", "\n"] {
            fs::write(&path, junk).unwrap();
            assert!(matches!(open(folder.path()), Err(CheckpointError::Format(_))), "{junk}");
            assert_eq!(fs::read(&path).unwrap(), junk.as_bytes());
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(folder.path()), Err(CheckpointError::Format(_))));
    }

    #[test]
    fn fingerprints_tell_bytes_apart() {
        let bytes: Vec<u8> = (0..21).collect();
        for length in 0..21 {
            assert_ne!(fingerprint(&bytes[..length]), fingerprint(&bytes[..length + 1]));
        }
        assert_ne!(fingerprint(&[0; 3]), fingerprint(&[0; 4]));
    }
}
