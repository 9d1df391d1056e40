//! Ranks started by the launcher of MPI, `mpirun` or `srun`.

use std::env;
use std::sync::Arc;

use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence, Root};

use super::{Exchange, Said, Team, as_bytes, to_numbers};

/// Bytes, or numbers, that a rank receives at once at most: MPI counts in 32 bits.
const MOST: usize = 1 << 30;
/// Where launchers tell a process its rank: Open MPI, then MPICH, Intel MPI and SLURM.
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// MPI while it is in use: it ends when this is dropped, on all ranks.
pub struct World {
    team: Team,
    /// Its place on this machine, from 0.
    place: usize,
    _universe: Universe,
}

/// Why MPI cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("this MPI lets no thread but the first use it: build it with support for threads")]
pub struct NoThreads;

impl World {
    /// Joins the other ranks, if a launcher started this process; one that was not is alone.
    ///
    /// # Errors
    /// [`NoThreads`].
    pub fn join() -> Result<Option<Self>, NoThreads> {
        if LAUNCHED.iter().all(|name| env::var_os(name).is_none()) {
            return Ok(None);
        }
        // A run is on a thread of its own, and whoever watches it ends it from another one.
        let Some((universe, threads)) = mpi::initialize_with_threading(Threading::Multiple) else {
            return Ok(None);
        };
        if threads < Threading::Serialized {
            return Err(NoThreads);
        }
        let world = universe.world();
        let place = world.split_shared(world.rank()).rank();
        let team = match world.size() {
            1 => Team::alone(),
            _ => Team::new(Arc::new(All)),
        };
        Ok(Some(World { team, place: place.unsigned_abs() as usize, _universe: universe }))
    }

    /// The ranks.
    pub fn team(&self) -> Team {
        self.team.clone()
    }

    /// The place of this rank among those on the same machine, from 0.
    pub fn place(&self) -> usize {
        self.place
    }
}

/// Ends all ranks at once, whatever they are at; the launcher ends with this code.
pub fn abort(code: u8) -> ! {
    SimpleCommunicator::world().abort(code.into())
}

/// All ranks there are. The handle of MPI is no thread's own, so that it is taken anew for each call.
#[derive(Debug)]
struct All;

impl Exchange for All {
    fn rank(&self) -> usize {
        SimpleCommunicator::world().rank().unsigned_abs() as usize
    }

    fn count(&self) -> usize {
        SimpleCommunicator::world().size().unsigned_abs() as usize
    }

    fn gather(&self, own: &[u8]) -> Said {
        let lengths = lengths(own.len());
        if lengths.iter().sum::<usize>() <= MOST {
            return Said::new(gathered(own, &lengths), &lengths);
        }
        // Part by part, then together.
        let most = MOST / lengths.len();
        let mut each: Vec<Vec<u8>> =
            lengths.iter().map(|&length| Vec::with_capacity(length)).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        for done in (0..longest).step_by(most) {
            let left = |length: usize| length.saturating_sub(done).min(most);
            let counts: Vec<usize> = lengths.iter().map(|&length| left(length)).collect();
            let from = done.min(own.len());
            let bytes = gathered(&own[from..from + left(own.len())], &counts);
            let mut rest = &bytes[..];
            for (each, &count) in each.iter_mut().zip(&counts) {
                let (part, others) = rest.split_at(count);
                each.extend_from_slice(part);
                rest = others;
            }
        }
        Said::new(each.concat(), &lengths)
    }

    fn gather_numbers(&self, own: &[f64]) -> Vec<f64> {
        let lengths = lengths(own.len());
        if lengths.iter().sum::<usize>() <= MOST {
            return gathered(own, &lengths);
        }
        to_numbers(self.gather(as_bytes(own)).bytes())
    }

    fn broadcast(&self, mut own: Vec<u8>) -> Vec<u8> {
        let world = SimpleCommunicator::world();
        let first = world.process_at_rank(0);
        let mut length = own.len() as u64;
        first.broadcast_into(&mut length);
        own.resize(length as usize, 0);
        for part in own.chunks_mut(MOST) {
            first.broadcast_into(part);
        }
        own
    }
}

/// How much each rank has to say.
fn lengths(own: usize) -> Vec<usize> {
    let world = SimpleCommunicator::world();
    let mut lengths = vec![0u64; world.size().unsigned_abs() as usize];
    world.all_gather_into(&(own as u64), &mut lengths[..]);
    lengths.into_iter().map(|length| length as usize).collect()
}

/// What ranks say that have so much each, [`MOST`] in all at most, one after the other.
fn gathered<T: Equivalence + Default + Clone>(own: &[T], lengths: &[usize]) -> Vec<T> {
    if lengths.iter().all(|&length| length == 0) {
        // Open MPI takes that for an error.
        return Vec::new();
    }
    let counts: Vec<i32> = lengths.iter().map(|&length| length as i32).collect();
    let begins: Vec<i32> = counts
        .iter()
        .scan(0, |next, &count| Some(std::mem::replace(next, *next + count)))
        .collect();
    let mut all = vec![T::default(); lengths.iter().sum()];
    let mut parts = PartitionMut::new(&mut all[..], &counts[..], &begins[..]);
    SimpleCommunicator::world().all_gather_varcount_into(own, &mut parts);
    all
}
