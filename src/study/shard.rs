//! A plan cut into shards, each done by a job of its own into a file of its own, and the shards put together again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::record::{FILE, Key, Record, RecordError, Store, Stored, lines, lock_to_read};
use crate::files::{read_regular, write_atomically};
use crate::oracle::fingerprint;

/// One of several parts of a plan, as equal as can be: every so-many-th run, so that large cells are spread over all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which, from 1.
    place: usize,
    /// How many there are.
    count: usize,
}

/// A text that names no shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a shard I/N with I from 1 to N, such as 2/8")]
pub struct UnknownShard;

impl FromStr for Shard {
    type Err = UnknownShard;

    fn from_str(text: &str) -> Result<Self, UnknownShard> {
        let (place, count) = text.split_once('/').ok_or(UnknownShard)?;
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| UnknownShard);
        let shard = Shard { place: number(place)?, count: number(count)? };
        if (1..=shard.count).contains(&shard.place) { Ok(shard) } else { Err(UnknownShard) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.count)
    }
}

/// A line of a shard's file: a run, and where it belongs.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Tells the plan from others.
    plan: String,
    /// Runs of the whole plan.
    runs: usize,
    /// The place of this one among them, from 0.
    run: usize,
    #[serde(flatten)]
    record: Record,
}

/// What turns a record into a line of a shard's file.
#[derive(Debug)]
pub(super) struct Stamp {
    plan: String,
    places: HashMap<Key, usize>,
}

impl Stamp {
    fn new(runs: &[(Cell, u64)]) -> Self {
        let keys: Vec<Key> = runs.iter().map(|(cell, seed)| Key::new(cell, *seed)).collect();
        let text = format!("{} {keys:?}", env!("CARGO_PKG_VERSION"));
        let plan = format!("{:016x}", fingerprint(text.as_bytes()));
        Stamp { plan, places: keys.into_iter().zip(0..).collect() }
    }

    /// The line of a run.
    pub(super) fn line(&self, record: &Record) -> io::Result<Vec<u8>> {
        let strange = || io::Error::other("a run that is not of the plan");
        let run = *self.places.get(&record.key()).ok_or_else(strange)?;
        let (plan, runs) = (self.plan.clone(), self.places.len());
        Ok(serde_json::to_vec(&Line { plan, runs, run, record: record.clone() })?)
    }
}

impl Shard {
    const PREFIX: &str = "runs.shard-";
    const SUFFIX: &str = ".jsonl";

    /// The name of its file in the folder of the study.
    fn file(self) -> String {
        format!("{}{}-of-{}{}", Shard::PREFIX, self.place, self.count, Shard::SUFFIX)
    }

    /// The shard whose file has this name.
    fn of_file(name: &str) -> Option<Self> {
        let name = name.strip_prefix(Shard::PREFIX)?.strip_suffix(Shard::SUFFIX)?;
        name.replacen("-of-", "/", 1).parse().ok()
    }

    /// Its runs, of all those of the plan.
    pub fn runs(self, runs: &[(Cell, u64)]) -> Vec<(Cell, u64)> {
        runs.iter().skip(self.place - 1).step_by(self.count).cloned().collect()
    }

    /// Opens or starts its file in `folder`, for the plan of these `runs`, as [`Store::open`] does.
    ///
    /// # Errors
    /// [`ShardError::Record`], and [`ShardError::Plans`] where the file holds runs of another plan.
    pub fn open(self, folder: &Path, runs: &[(Cell, u64)]) -> Result<(Store, Stored), ShardError> {
        let stamp = Stamp::new(runs);
        let path = folder.join(self.file());
        let (store, held) = Store::open_lines::<Line>(path.clone())?;
        if held.0.iter().any(|line| line.plan != stamp.plan) {
            return Err(ShardError::Plans(path));
        }
        let records = held.0.into_iter().map(|line| line.record).collect();
        Ok((store.stamped(stamp), Stored { records, torn: held.1 }))
    }
}

/// Shards that do not make up a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A file cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There are none.
    #[error("there are no shards in {}: files {}I-of-N{}", .0.display(), Shard::PREFIX, Shard::SUFFIX)]
    None(PathBuf),
    /// They were cut in several ways.
    #[error(
        "the shards are of {first} and of {other}: leave only those of one study in the folder"
    )]
    Counts {
        /// Shards that one of them counts.
        first: usize,
        /// Shards that another one counts.
        other: usize,
    },
    /// Some are not there.
    #[error("shards are missing: {0}")]
    Missing(String),
    /// A file of another plan, or of another version of the program.
    #[error("{} holds runs of another plan or version than the other shards, or than was asked for", .0.display())]
    Plans(PathBuf),
    /// A run that another shard has, too, or that is not this one's.
    #[error("{}: run {run} is another shard's", path.display())]
    Overlap {
        /// The file.
        path: PathBuf,
        /// The run's place in the plan.
        run: usize,
    },
    /// One that did not come to its end.
    #[error("shard {shard} has done {done} of its {planned} runs: start it again, and merge then")]
    Unfinished {
        /// Which.
        shard: Shard,
        /// Runs on record.
        done: usize,
        /// Its runs.
        planned: usize,
    },
    /// The folder holds the records of something else.
    #[error("{} is there already, with other runs", .0.display())]
    Exists(PathBuf),
}

/// Puts the shards in `folder` together: all their runs in the order of the plan, written to `runs.jsonl` as an unsharded study
/// writes them. The shards stay.
///
/// # Errors
/// [`ShardError`]: a shard that is missing, unfinished, at work, of another plan, or that has another one's runs; nothing is
/// written then.
pub fn merge(folder: &Path) -> Result<Vec<Record>, ShardError> {
    let shards = present(folder)?;
    let mut plan: Option<(String, usize)> = None;
    let mut merged = BTreeMap::new();
    let mut done = BTreeMap::new();
    for &shard in &shards {
        let path = folder.join(shard.file());
        // A torn end is a run that is not done.
        let held = read(&path)?;
        done.insert(shard, held.len());
        for line in held {
            let this = (line.plan, line.runs);
            if *plan.get_or_insert_with(|| this.clone()) != this {
                return Err(ShardError::Plans(path));
            }
            let own = line.run % shard.count == shard.place - 1 && line.run < line.runs;
            if !own || merged.insert(line.run, line.record).is_some() {
                return Err(ShardError::Overlap { path, run: line.run });
            }
        }
    }
    // Without any line no shard has anything to do.
    let runs = plan.map_or(0, |(_, runs)| runs);
    for (&shard, &done) in &done {
        let planned = (shard.place - 1..runs).step_by(shard.count).len();
        if done != planned {
            return Err(ShardError::Unfinished { shard, done, planned });
        }
    }
    let records: Vec<Record> = merged.into_values().collect();
    write(folder, &records)?;
    Ok(records)
}

/// The shards whose files are there: all of them, from the first to the last.
fn present(folder: &Path) -> Result<BTreeSet<Shard>, ShardError> {
    let failed = |source| RecordError::Read { path: folder.to_owned(), source };
    let mut shards = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        shards.extend(name.to_str().and_then(Shard::of_file));
    }
    let first = *shards.first().ok_or_else(|| ShardError::None(folder.to_owned()))?;
    if let Some(other) = shards.iter().find(|shard| shard.count != first.count) {
        return Err(ShardError::Counts { first: first.count, other: other.count });
    }
    let all = (1..=first.count).map(|place| Shard { place, count: first.count });
    let missing: Vec<String> =
        all.filter(|shard| !shards.contains(shard)).map(|shard| shard.to_string()).collect();
    if missing.is_empty() { Ok(shards) } else { Err(ShardError::Missing(missing.join(", "))) }
}

/// The whole lines of a shard that nobody is writing.
fn read(path: &Path) -> Result<Vec<Line>, RecordError> {
    let _lock = lock_to_read(path)?;
    let failed = |source| RecordError::Read { path: path.to_owned(), source };
    Ok(lines(&read_regular(path).map_err(failed)?, path)?.0)
}

/// Writes the records of a study, which are the same if they are there already.
fn write(folder: &Path, records: &[Record]) -> Result<(), ShardError> {
    let path = folder.join(FILE);
    let failed = |source| RecordError::Write { path: path.clone(), source };
    let mut text = Vec::new();
    for record in records {
        serde_json::to_writer(&mut text, record).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
    }
    if path.exists() {
        let there = read_regular(&path).map_err(failed)?;
        return if there == text { Ok(()) } else { Err(ShardError::Exists(path)) };
    }
    Ok(write_atomically(&path, &text).map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::cell::tests::cell;
    use crate::study::record::tests::record;
    use tempfile::TempDir;

    fn runs(count: u64) -> Vec<(Cell, u64)> {
        (0..count).map(|seed| (cell(), seed)).collect()
    }

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    /// Does those runs of a shard that `wanted` lets pass.
    fn work(folder: &TempDir, text: &str, plan: u64, wanted: impl Fn(u64) -> bool) {
        let runs = runs(plan);
        let (mut store, stored) = shard(text).open(folder.path(), &runs).unwrap();
        for (_, seed) in shard(text).runs(&runs) {
            let fresh = stored.records.iter().all(|record| record.seed != seed);
            if wanted(seed) && fresh {
                store = store.append(&record(seed)).unwrap();
            }
        }
    }

    fn refusal(folder: &TempDir) -> String {
        let refused = merge(folder.path()).unwrap_err().to_string();
        assert!(!folder.path().join(FILE).exists(), "{refused}");
        refused
    }

    #[test]
    fn shards_are_named_and_part_the_plan() {
        for bad in ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/4", "1/4/2"] {
            assert_eq!(bad.parse::<Shard>(), Err(UnknownShard), "{bad:?}");
        }
        let all = runs(11);
        let mut seeds: Vec<u64> = (1..=4)
            .flat_map(|place| Shard { place, count: 4 }.runs(&all))
            .map(|(_, seed)| seed)
            .collect();
        seeds.sort_unstable();
        assert_eq!(seeds, (0..11).collect::<Vec<_>>());
        assert_eq!(Shard::of_file(&shard("3/12").file()), Some(shard("3/12")));
        assert_eq!(Shard::of_file("runs.jsonl"), None);
    }

    #[test]
    fn merged_shards_are_the_study_in_the_order_of_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["2/3", "1/3", "3/3"] {
            work(&folder, text, 8, |seed| seed < 4);
            work(&folder, text, 8, |_| true);
        }
        let expected: Vec<Record> = (0..8).map(record).collect();
        assert_eq!(merge(folder.path()).unwrap(), expected);
        assert_eq!(super::super::load(folder.path()).unwrap().records, expected);
        // Once more is as good; other records are kept.
        assert_eq!(merge(folder.path()).unwrap(), expected);
        fs::write(folder.path().join(FILE), "").unwrap();
        assert!(matches!(merge(folder.path()), Err(ShardError::Exists(_))));
    }

    #[test]
    fn a_shard_may_have_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["1/3", "2/3", "3/3"] {
            work(&folder, text, 2, |_| true);
        }
        assert_eq!(merge(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_missing_or_unfinished_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(&folder).contains("no shards"));
        work(&folder, "2/3", 8, |_| true);
        assert_eq!(refusal(&folder), "shards are missing: 1/3, 3/3");
        work(&folder, "1/3", 8, |_| true);
        work(&folder, "3/3", 8, |seed| seed > 2);
        assert!(refusal(&folder).starts_with("shard 3/3 has done 1 of its 2 runs"));
        // A run that is on its way is not done.
        work(&folder, "3/3", 8, |_| true);
        let path = folder.path().join(shard("3/3").file());
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(refusal(&folder).starts_with("shard 3/3 has done 1 of its 2 runs"));
    }

    #[test]
    fn other_plans_and_overlaps_are_named() {
        let folder = tempfile::tempdir().unwrap();
        work(&folder, "1/2", 8, |_| true);
        work(&folder, "2/2", 9, |_| true);
        assert!(refusal(&folder).contains("another plan"));
        let other = shard("2/2").open(folder.path(), &runs(8));
        assert!(matches!(other, Err(ShardError::Plans(_))));
        drop(other);

        let (first, second) = (shard("1/2").file(), shard("2/2").file());
        fs::copy(folder.path().join(first), folder.path().join(second)).unwrap();
        assert!(refusal(&folder).ends_with("run 0 is another shard's"));
        work(&folder, "1/4", 8, |_| true);
        assert!(refusal(&folder).contains("of 2 and of 4"));
    }

    #[test]
    fn a_shard_at_work_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        work(&folder, "2/2", 4, |_| true);
        let (_store, _) = shard("1/2").open(folder.path(), &runs(4)).unwrap();
        assert!(refusal(&folder).contains("in use"));
    }
}
