//! Ranks started by the launcher of MPI, `mpirun` or `srun`.

use std::env;
use std::sync::Arc;

use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

use super::{Exchange, Team};

/// Bytes that a rank receives at once at most: MPI counts in 32 bits.
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

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let world = SimpleCommunicator::world();
        let mut lengths = vec![0u64; self.count()];
        world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let most = MOST / lengths.len();
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|&length| Vec::with_capacity(length as usize)).collect();
        let mut done = 0;
        while lengths.iter().any(|&length| length as usize > done) {
            let left = |length: usize| length.saturating_sub(done).min(most);
            let counts: Vec<i32> =
                lengths.iter().map(|&length| left(length as usize) as i32).collect();
            let starts: Vec<i32> = counts
                .iter()
                .scan(0, |next, &count| Some(std::mem::replace(next, *next + count)))
                .collect();
            let mut bytes = vec![0u8; counts.iter().sum::<i32>() as usize];
            let part = &own[done.min(own.len())..(done + left(own.len())).min(own.len())];
            world.all_gather_varcount_into(
                part,
                &mut PartitionMut::new(&mut bytes[..], &counts[..], &starts[..]),
            );
            for ((all, &start), &count) in all.iter_mut().zip(&starts).zip(&counts) {
                all.extend_from_slice(&bytes[start as usize..][..count as usize]);
            }
            done += most;
        }
        all
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
