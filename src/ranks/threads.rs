//! Ranks that are threads of one process: for tests, and to try things out.

use std::panic::resume_unwind;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Exchange, Said, Team};

#[derive(Debug)]
struct Room {
    barrier: Barrier,
    said: Mutex<Vec<Vec<u8>>>,
}

#[derive(Debug)]
struct Seat {
    rank: usize,
    room: Arc<Room>,
}

impl Room {
    fn said(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange for Seat {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.room.said().len()
    }

    fn gather(&self, own: &[u8]) -> Said {
        self.room.said()[self.rank] = own.to_vec();
        self.room.barrier.wait();
        let all = {
            let said = self.room.said();
            Said::new(said.concat(), &said.iter().map(Vec::len).collect::<Vec<_>>())
        };
        // Nobody says the next thing before all have heard this one.
        self.room.barrier.wait();
        all
    }

    fn broadcast(&self, own: Vec<u8>) -> Vec<u8> {
        self.gather(&own).iter().next().map(<[u8]>::to_vec).unwrap_or_default()
    }
}

/// What `work` makes of each of so many ranks, in their order. One that panics leaves the others waiting for it.
pub fn together<T: Send>(ranks: usize, work: impl Fn(Team) -> T + Sync) -> Vec<T> {
    let said = Mutex::new(vec![Vec::new(); ranks]);
    let room = Arc::new(Room { barrier: Barrier::new(ranks), said });
    thread::scope(|scope| {
        let start = |rank| {
            let team = Team::new(Arc::new(Seat { rank, room: Arc::clone(&room) }));
            let work = &work;
            scope.spawn(move || work(team))
        };
        let started: Vec<_> = (0..ranks).map(start).collect();
        started
            .into_iter()
            .map(|rank| rank.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
