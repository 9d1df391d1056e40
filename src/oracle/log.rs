//! A checkpoint as all ranks of a run see it: the first one reads and writes it, the others hear of it.

use super::checkpoint::{Checkpoint, CheckpointError, Record};
use super::error::OracleError;
use crate::ranks::{Team, as_bytes, to_numbers};

/// See above. Every call is one of all ranks.
pub(super) struct Log {
    /// On the first rank.
    checkpoint: Option<Checkpoint>,
    team: Team,
}

const FAILED: u8 = 0;
const NOTHING: u8 = 1;
const RECORD: u8 = 2;

impl Log {
    pub fn new(checkpoint: Option<Checkpoint>, team: Team) -> Self {
        Log { checkpoint, team }
    }

    /// The next answer recorded before, as [`Checkpoint::next`] has it.
    pub fn next(&mut self) -> Result<Option<Record>, OracleError> {
        self.hear(|checkpoint| checkpoint.next())
    }

    /// Adds an answer.
    pub fn append(&mut self, key: u64, numbers: &[f64]) -> Result<(), OracleError> {
        self.hear(|checkpoint| checkpoint.append(key, numbers).map(|()| None)).map(drop)
    }

    /// The last record read is not the answer to what is asked now.
    pub fn diverged(&self) -> OracleError {
        match &self.checkpoint {
            Some(checkpoint) => checkpoint.diverged().into(),
            None => OracleError::Rank {
                rank: self.team.rank(),
                reason: "asks something else than the checkpoint holds".to_owned(),
            },
        }
    }

    /// The number that the first rank has.
    pub fn agreed(&self, count: usize) -> usize {
        if self.team.is_alone() {
            return count;
        }
        let said = self.team.first(|| (count as u64).to_le_bytes().to_vec());
        said.as_chunks().0.first().map_or(count, |&eight| u64::from_le_bytes(eight) as usize)
    }

    /// What the first rank has from its checkpoint.
    fn hear(
        &mut self,
        work: impl FnOnce(&mut Checkpoint) -> Result<Option<Record>, CheckpointError>,
    ) -> Result<Option<Record>, OracleError> {
        let found = self.checkpoint.as_mut().map_or(Ok(None), work);
        if self.team.is_alone() {
            return Ok(found?);
        }
        let said = self.team.first(|| match &found {
            Err(error) => [&[FAILED][..], error.to_string().as_bytes()].concat(),
            Ok(None) => vec![NOTHING],
            Ok(Some(Record { key, numbers })) => {
                [&[RECORD][..], &key.to_le_bytes(), as_bytes(numbers)].concat()
            }
        });
        if self.team.is_first() {
            return Ok(found?);
        }
        Ok(match (said[0], said[1..].split_first_chunk()) {
            (RECORD, Some((key, numbers))) => {
                Some(Record { key: u64::from_le_bytes(*key), numbers: to_numbers(numbers) })
            }
            (FAILED, _) => {
                let reason = String::from_utf8_lossy(&said[1..]).into_owned();
                return Err(OracleError::Rank { rank: 0, reason });
            }
            _ => None,
        })
    }
}
