//! The processes that a launcher of MPI started to do one command together.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::oracle::fingerprint;
use crate::ranks::Team;
#[cfg(feature = "mpi")]
use crate::ranks::world::{World, abort};

use super::{Outcome, UNUSABLE};

/// Does another rank speak for this one?
static SPOKEN_FOR: AtomicBool = AtomicBool::new(false);
/// What the first rank may take for a report when all are told to end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether this process leaves it to another one to write on the standard streams.
pub fn is_silent() -> bool {
    SPOKEN_FOR.load(Ordering::Relaxed)
}

/// The ranks of a command, as one of them sees them.
pub struct Ranks {
    team: Team,
    /// The place of this one among those on the same machine, from 0.
    pub place: usize,
    #[cfg(feature = "mpi")]
    _world: Option<World>,
}

impl Ranks {
    #[cfg(feature = "mpi")]
    fn join() -> Result<Self, Box<dyn Error>> {
        let world = World::join()?;
        let team = world.as_ref().map_or_else(Team::alone, World::team);
        Ok(Ranks { team, place: world.as_ref().map_or(0, World::place), _world: world })
    }

    /// Several processes that do not know of each other would write the same files.
    #[cfg(not(feature = "mpi"))]
    fn join() -> Result<Self, Box<dyn Error>> {
        let size = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].map(|name| std::env::var(name).ok());
        match size.into_iter().flatten().next() {
            Some(size) if size != "1" => Err(format!(
                "started as one of {size} processes of MPI, but built without it: `cargo build --release --features mpi`"
            )
            .into()),
            _ => Ok(Ranks { team: Team::alone(), place: 0 }),
        }
    }

    /// Those that do it.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Ends all ranks at once, whatever they are at, with this outcome; one alone goes on to its own end.
    pub fn end(&self, outcome: Outcome) -> Outcome {
        #[cfg(feature = "mpi")]
        if !self.team.is_alone() {
            abort(outcome.unwrap_or_else(|error| {
                self.shout(&error.to_string());
                UNUSABLE
            }));
        }
        outcome
    }

    /// Ends all ranks after this one, not the first, was told to end: later than the first one does it if it was told, too.
    pub fn end_later(&self, code: u8) -> Outcome {
        thread::sleep(LAST_WORDS);
        self.shout("it was told to end");
        self.end(Ok(code))
    }

    /// Says on stderr what went wrong on this rank, whoever speaks for it.
    pub fn shout(&self, text: &str) {
        super::write_line("error", &format!("rank {}: {text}", self.team.rank()));
    }

    /// What was prepared on this rank, if all ranks could and have the same `description` of it.
    ///
    /// # Errors
    /// The first rank's that could not, or that has another one.
    pub fn agreed<T>(&self, own: Result<(T, String), Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
        if self.team.is_alone() {
            return own.map(|(prepared, _)| prepared);
        }
        let said = match &own {
            Ok((_, description)) => {
                [&[1][..], &fingerprint(description.as_bytes()).to_le_bytes()].concat()
            }
            Err(error) => [&[0][..], error.to_string().as_bytes()].concat(),
        };
        let all = self.team.gather(&said);
        for (rank, said) in all.iter().enumerate() {
            if said[0] == 0 {
                return Err(format!("rank {rank}: {}", String::from_utf8_lossy(&said[1..])).into());
            }
        }
        let first = all.iter().next();
        if let Some(rank) = all.iter().position(|said| Some(said) != first) {
            let reason = "has other options, another network file, another device or another version than rank 0";
            return Err(format!("rank {rank} {reason}").into());
        }
        own.map(|(prepared, _)| prepared)
    }
}

/// Does `work` on this process, unless a launcher started others beside it: they would all do the same.
pub fn alone(work: impl FnOnce() -> Outcome) -> Outcome {
    together(|ranks| {
        if ranks.team().is_alone() {
            return work();
        }
        Err("this is not shared among ranks: start one process".into())
    })
}

/// Does `work` on all ranks that a launcher started, or on this process alone; none of them ends before the others.
pub fn together(work: impl FnOnce(&Ranks) -> Outcome) -> Outcome {
    let ranks = Ranks::join()?;
    SPOKEN_FOR.store(!ranks.team.is_first(), Ordering::Relaxed);
    match catch_unwind(AssertUnwindSafe(|| work(&ranks))) {
        Ok(outcome) => {
            ranks.team.gather(&[]);
            outcome
        }
        Err(panic) if ranks.team.is_alone() => resume_unwind(panic),
        Err(_) => {
            ranks.shout("the program failed, as it says above");
            ranks.end(Ok(UNUSABLE))
        }
    }
}
