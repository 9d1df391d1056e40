//! Finished runs on disk: `runs.jsonl`, a line a run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::shard::Stamp;
use crate::files::{self, read_regular};
use crate::identify::Status;

/// The file's name in the folder of the study.
pub(super) const FILE: &str = "runs.jsonl";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// [`Status::Identified`].
    Identified,
    /// [`Status::Approximate`].
    Approximate,
    /// [`Status::NotIdentified`].
    NotIdentified,
    /// The run panicked or its black box failed; the reason is the message.
    Error,
}

impl Ending {
    /// The name in tables and logs.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Identified => "identified",
            Ending::Approximate => "approximate",
            Ending::NotIdentified => "not identified",
            Ending::Error => "error",
        }
    }
}

impl From<Status> for Ending {
    fn from(status: Status) -> Self {
        match status {
            Status::Identified => Ending::Identified,
            Status::Approximate => Ending::Approximate,
            Status::NotIdentified => Ending::NotIdentified,
        }
    }
}

/// A finished run. What a run did not get to is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The coordinates.
    #[serde(flatten)]
    pub cell: Cell,
    /// Fixes the network, the noise and every draw of the run.
    pub seed: u64,
    /// How it ended.
    pub status: Ending,
    /// Why, in a sentence.
    pub reason: String,
    /// Identified, but wrong ([`judge`](super::judge())): the worst that can happen.
    pub wrong: bool,
    /// Largest error of a parameter of the network found, as `verify` has it; `None` without a
    /// network of the true widths, or if no parameters are the true ones.
    pub parameter_error: Option<f64>,
    /// The bound on it that the run gave.
    pub bound: Option<f64>,
    /// Whether the error exceeds the bound; `None` unless there are both.
    pub bound_violated: Option<bool>,
    /// Largest residual on held-out points, as the run has it.
    #[serde(default)]
    pub residual: Option<f64>,
    /// The share of fresh points at which the network found is farther from the black box than the run
    /// says; for black boxes that no network explains.
    #[serde(default)]
    pub unexplained: Option<f64>,
    /// Queries answered.
    pub queries: u64,
    /// Wall-clock seconds of the identification alone.
    pub seconds: f64,
    /// Width of the first layer, as found.
    pub m0_found: Option<usize>,
    /// Width of the second layer, as found.
    pub m1_found: Option<usize>,
    /// True a_i among the directions taken for the first layer's.
    pub units_found: Option<usize>,
    /// Directions taken for the first layer's that belong to no unit of either layer.
    pub false_candidates: Option<usize>,
    /// Directions taken for the first layer's that are entangled weights of the second.
    pub false_attributions: Option<usize>,
    /// Gap of the singular values at the dimension of the subspace W.
    pub gap: Option<f64>,
    /// The smallest ||P_W(a_i a_i^T)||_F of the true a_i, normalised.
    pub projection: Option<f64>,
    /// The version of the program.
    pub version: String,
}

impl Record {
    /// Tells runs apart.
    pub fn key(&self) -> Key {
        Key::new(&self.cell, self.seed)
    }
}

/// A cell and a seed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key of a run, done or not.
    pub fn new(cell: &Cell, seed: u64) -> Key {
        // `Debug` writes every f64 so that it reads back exactly.
        Key(format!("{seed} {cell:?}"))
    }
}

/// Records that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A whole line that is no record.
    #[error("{}:{line}: not a record of a run: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Someone else writes this file.
    #[error("{} is in use by another study", .0.display())]
    InUse(PathBuf),
    /// The operating system would not take the file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a file of records holds.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The runs in the order of their ends, each once.
    pub records: Vec<Record>,
    /// Bytes after the last whole line: a run that was cut off while it was written.
    pub torn: usize,
}

impl Stored {
    /// Runs by other versions of the program than this one, counted by version.
    pub fn other_versions(&self) -> BTreeMap<&str, usize> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for record in self.records.iter().filter(|run| run.version != env!("CARGO_PKG_VERSION")) {
            *counts.entry(record.version.as_str()).or_default() += 1;
        }
        counts
    }
}

/// The records in a folder.
///
/// # Errors
/// [`RecordError::Read`], [`RecordError::Format`].
pub fn load(folder: &Path) -> Result<Stored, RecordError> {
    let path = folder.join(FILE);
    let bytes =
        read_regular(&path).map_err(|source| RecordError::Read { path: path.clone(), source })?;
    parse(&bytes, &path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Stored, RecordError> {
    let (records, torn) = lines(bytes, path)?;
    Ok(Stored { records: each_once(records), torn })
}

/// Files of two machines may have been joined: equal seeds give equal results.
fn each_once(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = HashSet::new();
    records.retain(|record| seen.insert(record.key()));
    records
}

const RANK: (&str, &str) = ("runs.rank-", ".jsonl");

/// The name of the file of a rank, until the study is put together.
fn rank_file(rank: usize) -> String {
    format!("{}{rank}{}", RANK.0, RANK.1)
}

fn is_of_rank(name: &str) -> bool {
    let number = name.strip_prefix(RANK.0).and_then(|name| name.strip_suffix(RANK.1));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

/// The whole lines of a file, and the bytes after them.
pub(super) fn lines<T: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
) -> Result<(Vec<T>, usize), RecordError> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let line = |(line, text)| {
        serde_json::from_slice(text).map_err(|source| RecordError::Format {
            path: path.to_owned(),
            line: line + 1,
            source,
        })
    };
    let lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate().map(line);
    Ok((lines.collect::<Result<_, _>>()?, bytes.len() - whole))
}

/// Takes the lock of a file that is only read, so that nobody writes it meanwhile.
pub(super) fn lock_to_read(path: &Path) -> Result<File, RecordError> {
    let failed = |source| RecordError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    lock(&file, path, failed)?;
    Ok(file)
}

fn lock(
    file: &File,
    path: &Path,
    failed: impl Fn(io::Error) -> RecordError,
) -> Result<(), RecordError> {
    match files::lock(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RecordError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The file of records, open for more.
#[derive(Debug)]
pub struct Store {
    file: File,
    path: PathBuf,
    /// Of a shard.
    stamp: Option<Stamp>,
}

impl Store {
    /// Opens or starts the file in `folder`, which is made if need be, for this process alone; a line
    /// cut off at its end is taken away.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn open(folder: &Path) -> Result<(Store, Stored), RecordError> {
        let (store, (records, torn)) = Store::open_lines(folder.join(FILE))?;
        Ok((store, Stored { records: each_once(records), torn }))
    }

    /// The same for a file of this name, with what its whole lines hold, and the bytes that were taken away.
    pub(super) fn open_lines<T: DeserializeOwned>(
        path: PathBuf,
    ) -> Result<(Store, (Vec<T>, usize)), RecordError> {
        let failed = |source| RecordError::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        lock(&file, &path, failed)?;
        let bytes = read_regular(&path)
            .map_err(|source| RecordError::Read { path: path.clone(), source })?;
        let held = lines(&bytes, &path)?;
        if held.1 > 0 {
            file.set_len((bytes.len() - held.1) as u64).map_err(failed)?;
        }
        Ok((Store { file, path, stamp: None }, held))
    }

    /// The same for what rank `rank` of several finds while they do a study together.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn of_rank(folder: &Path, rank: usize) -> Result<Store, RecordError> {
        Ok(Store::open_lines::<Record>(folder.join(rank_file(rank)))?.0)
    }

    /// Takes in what ranks have left in the folder, each run once and in the order of `runs`, and returns what is new to
    /// `known`. A line that was cut off is left out.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn absorb(
        mut self,
        folder: &Path,
        runs: &[(Cell, u64)],
        known: &[Record],
    ) -> Result<(Store, Vec<Record>), RecordError> {
        let mut fresh: Vec<Record> = Vec::new();
        let mut files = Vec::new();
        let failed = |source| RecordError::Read { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !path.file_name().and_then(|name| name.to_str()).is_some_and(is_of_rank) {
                continue;
            }
            let _lock = lock_to_read(&path)?;
            fresh.extend(lines::<Record>(&read_regular(&path).map_err(failed)?, &path)?.0);
            files.push(path);
        }
        let known: HashSet<Key> = known.iter().map(Record::key).collect();
        fresh.retain(|record| !known.contains(&record.key()));
        let places: HashMap<Key, usize> =
            runs.iter().map(|(cell, seed)| Key::new(cell, *seed)).zip(0..).collect();
        fresh.sort_by_key(|record| places.get(&record.key()).copied().unwrap_or(usize::MAX));
        let fresh = each_once(fresh);
        for record in &fresh {
            self = self.append(record)?;
        }
        for path in files {
            fs::remove_file(&path).map_err(|source| RecordError::Write { path, source })?;
        }
        Ok((self, fresh))
    }

    /// The same for lines of a shard.
    pub(super) fn stamped(self, stamp: Stamp) -> Self {
        Store { stamp: Some(stamp), ..self }
    }

    /// Adds a run. Whoever reads sees all of its line or, after a crash, a torn end. A store that failed is
    /// gone: nothing must follow a part of a line.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn append(mut self, record: &Record) -> Result<Store, RecordError> {
        match self.write(record) {
            Ok(()) => Ok(self),
            Err(source) => Err(RecordError::Write { path: self.path, source }),
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = match &self.stamp {
            Some(stamp) => stamp.line(record)?,
            None => serde_json::to_vec(record)?,
        };
        line.push(b'\n');
        let length = self.file.metadata()?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.flush());
        if written.is_err() {
            // If this fails too, the next to open the file takes the torn end away.
            let _ = self.file.set_len(length);
        }
        written
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::study::cell::tests::cell;

    pub fn record(seed: u64) -> Record {
        Record {
            cell: cell(),
            seed,
            status: Ending::Identified,
            reason: "a reason".to_owned(),
            wrong: false,
            parameter_error: Some(1e-14),
            bound: Some(1e-13),
            bound_violated: Some(false),
            residual: Some(1e-14),
            unexplained: None,
            queries: 1000 + seed,
            seconds: 0.5,
            m0_found: Some(8),
            m1_found: Some(3),
            units_found: Some(8),
            false_candidates: Some(0),
            false_attributions: Some(0),
            gap: Some(3.0),
            projection: Some(0.999),
            version: "0".to_owned(),
        }
    }

    #[test]
    fn a_torn_end_is_dropped_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (store, stored) = Store::open(folder.path()).unwrap();
        assert!(stored.records.is_empty());
        let store = store.append(&record(1)).unwrap().append(&record(2)).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(RecordError::InUse(_))));
        drop(store);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();

        let (store, stored) = Store::open(folder.path()).unwrap();
        assert_eq!(stored.records, [record(1)]);
        assert!(stored.torn > 0);
        drop(store.append(&record(3)).unwrap());
        let stored = load(folder.path()).unwrap();
        assert_eq!((stored.records, stored.torn), (vec![record(1), record(3)], 0));
    }

    #[test]
    fn what_ranks_left_is_taken_in_once_in_the_order_of_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let runs: Vec<(Cell, u64)> = (0..6).map(|seed| (cell(), seed)).collect();
        let (store, _) = Store::open(folder.path()).unwrap();
        let mut store = store.append(&record(3)).unwrap();
        let mut known = vec![record(3)];
        for (rank, seeds) in [(0, [5, 1]), (1, [2, 3]), (7, [1, 4])] {
            let mut own = Store::of_rank(folder.path(), rank).unwrap();
            for seed in seeds {
                own = own.append(&record(seed)).unwrap();
            }
        }
        fs::write(folder.path().join("runs.rank-x.jsonl"), "left alone").unwrap();
        let mut fresh;
        (store, fresh) = store.absorb(folder.path(), &runs, &known).unwrap();
        assert_eq!(fresh, [1, 2, 4, 5].map(record));
        known.append(&mut fresh);
        let (_, fresh) = store.absorb(folder.path(), &runs, &known).unwrap();
        assert!(fresh.is_empty());
        assert_eq!(load(folder.path()).unwrap().records, known);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_rank_at_work_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let _own = Store::of_rank(folder.path(), 1).unwrap();
        assert!(matches!(store.absorb(folder.path(), &[], &[]), Err(RecordError::InUse(_))));
    }

    #[test]
    fn a_whole_line_that_is_no_record_is_an_error_with_its_place() {
        let mut text = serde_json::to_string(&record(1)).unwrap();
        text.push_str("\n{}\n");
        let error = parse(text.as_bytes(), Path::new("x")).unwrap_err();
        assert!(error.to_string().starts_with("x:2: "), "{error}");
    }

    #[test]
    fn a_run_counts_once() {
        let line = serde_json::to_string(&record(1)).unwrap();
        let stored = parse(format!("{line}\n{line}\n").as_bytes(), Path::new("x")).unwrap();
        assert_eq!(stored.records.len(), 1);
    }
}
