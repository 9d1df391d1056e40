//! Several processes that do one run together.
//!
//! All ranks run the same program on the same numbers, in step: whatever may differ between them, above all the answers of
//! their black boxes and what the clock says, is exchanged, so that every rank sees the same. Work that can be cut is: each
//! rank does its share and says what came out. Only the first rank reads and writes files.
//!
//! * [`Team`]: the ranks of a run, most often one alone.
//! * [`Exchange`]: how they reach each other, by MPI (feature `mpi`), or as [`threads`].

pub mod threads;
#[cfg(feature = "mpi")]
pub mod world;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use disentangle_linalg::Workers;
use nalgebra::DVector;
use pulp::bytemuck;

/// How the ranks of a run reach each other. Every call is one of all ranks, in the same order.
pub trait Exchange: Debug + Send + Sync {
    /// The place of this rank, from 0.
    fn rank(&self) -> usize;
    /// How many there are.
    fn count(&self) -> usize;
    /// What each rank has to say.
    fn gather(&self, own: &[u8]) -> Said;
    /// The numbers of all, in the order of the ranks.
    fn gather_numbers(&self, own: &[f64]) -> Vec<f64> {
        to_numbers(self.gather(as_bytes(own)).bytes())
    }
    /// What the first rank has to say. Others give nothing.
    fn broadcast(&self, own: Vec<u8>) -> Vec<u8>;
}

/// What each rank said, in one piece: a copy for each of them would take as long as sending it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// One after the other.
    bytes: Vec<u8>,
    /// Where each begins, and the end of the last.
    begins: Vec<usize>,
}

impl Said {
    /// Of ranks that say so many bytes each: `bytes`, one after the other.
    pub fn new(bytes: Vec<u8>, lengths: &[usize]) -> Self {
        let mut begins = vec![0];
        begins.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        Said { bytes, begins }
    }

    /// By rank.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.begins.windows(2).map(|ends| &self.bytes[ends[0]..ends[1]])
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The ranks of a run, as one of them sees them.
#[derive(Clone, Debug, Default)]
pub struct Team {
    /// `None`: there is no other.
    others: Option<Others>,
}

#[derive(Clone, Debug)]
struct Others {
    exchange: Arc<dyn Exchange>,
    /// Bytes that this rank was sent.
    received: Arc<AtomicU64>,
}

impl Team {
    /// A process on its own.
    pub fn alone() -> Self {
        Team::default()
    }

    /// Ranks that reach each other by `exchange`.
    pub fn new(exchange: Arc<dyn Exchange>) -> Self {
        Team { others: Some(Others { exchange, received: Arc::default() }) }
    }

    /// Is it one that exchanges nothing?
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// The place of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.others.as_ref().map_or(0, |others| others.exchange.rank())
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.others.as_ref().map_or(1, |others| others.exchange.count())
    }

    /// Is it the rank that reads and writes?
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Bytes that this rank was sent by others.
    pub fn received(&self) -> u64 {
        self.others.as_ref().map_or(0, |others| others.received.load(Ordering::Relaxed))
    }

    /// The share of this rank in 0..`items`: contiguous, and those of all ranks in order are the whole.
    pub fn share(&self, items: usize) -> Range<usize> {
        let (rank, count) = (self.rank(), self.count());
        items * rank / count..items * (rank + 1) / count
    }

    /// The same for items that cost more or less work: each rank's begins where those before it have their part of all work.
    pub fn share_weighed(&self, items: usize, weight: impl Fn(usize) -> usize) -> Range<usize> {
        let all: usize = (0..items).map(&weight).sum();
        let (rank, count) = (self.rank(), self.count());
        let begins: Vec<usize> = (0..items)
            .scan(0, |before, item| {
                *before += weight(item);
                Some(*before - weight(item))
            })
            .collect();
        let first = |rank: usize| begins.partition_point(|&begin| begin * count < all * rank);
        first(rank)..if rank + 1 == count { items } else { first(rank + 1) }
    }

    /// What each rank has to say.
    pub fn gather(&self, own: &[u8]) -> Said {
        let Some(Others { exchange, received }) = &self.others else {
            return Said::new(own.to_vec(), &[own.len()]);
        };
        let all = exchange.gather(own);
        received.fetch_add((all.bytes().len() - own.len()) as u64, Ordering::Relaxed);
        all
    }

    /// What the first rank has to say; `own` is asked on no other.
    pub fn first(&self, own: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let Some(Others { exchange, received }) = &self.others else { return own() };
        let is_first = self.is_first();
        let said = exchange.broadcast(if is_first { own() } else { Vec::new() });
        let bytes = if is_first { 0 } else { said.len() };
        received.fetch_add(bytes as u64, Ordering::Relaxed);
        said
    }

    /// The numbers of all ranks, by rank; `None` where one of them has none to give.
    pub fn numbers(&self, own: Option<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
        if self.is_alone() {
            return own.map(|own| vec![own]);
        }
        // Without a number there is a byte that is none.
        let own = own.as_ref().map_or(&[0][..], |numbers| as_bytes(numbers));
        let given = |bytes: &[u8]| (bytes.len() != 1).then(|| to_numbers(bytes));
        self.gather(own).iter().map(given).collect()
    }

    /// What the ranks found, each in its share, in order; `None` where one of them has none to give.
    pub fn all<T: Parcel>(&self, own: Option<Vec<T>>) -> Option<Vec<T>> {
        if self.is_alone() {
            return own;
        }
        let own = own.map(|found| {
            let mut numbers = vec![found.len() as f64];
            found.iter().for_each(|found| found.pack(&mut numbers));
            numbers
        });
        let said = self.numbers(own)?;
        let each = said.iter().flat_map(|numbers| {
            let mut rest = Unpacked(numbers);
            (0..rest.number() as usize).map(move |_| T::unpack(&mut rest))
        });
        Some(each.collect())
    }
}

/// Every rank does its share of the items, and all have what came out.
impl Workers for Team {
    fn shared(&self, weights: &[usize], work: &dyn Fn(Range<usize>) -> Vec<f64>) -> Vec<f64> {
        let others = self.others.as_ref().filter(|_| weights.len() > 1);
        let Some(Others { exchange, received }) = others else {
            // One item is faster done than sent.
            return work(0..weights.len());
        };
        let own = work(self.share_weighed(weights.len(), |item| weights[item]));
        let all = exchange.gather_numbers(&own);
        received.fetch_add(8 * (all.len() - own.len()) as u64, Ordering::Relaxed);
        all
    }
}

/// What one rank finds for all, as numbers.
pub trait Parcel: Sized {
    /// Adds its numbers.
    fn pack(&self, numbers: &mut Vec<f64>);
    /// The same from the numbers that were added.
    fn unpack(numbers: &mut Unpacked<'_>) -> Self;
}

/// Numbers that were packed, and not yet taken.
pub struct Unpacked<'n>(&'n [f64]);

impl Unpacked<'_> {
    /// The next one.
    pub fn number(&mut self) -> f64 {
        self.many(1)[0]
    }

    fn many(&mut self, count: usize) -> &[f64] {
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }
}

impl Parcel for f64 {
    fn pack(&self, numbers: &mut Vec<f64>) {
        numbers.push(*self);
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        numbers.number()
    }
}

impl Parcel for DVector<f64> {
    fn pack(&self, numbers: &mut Vec<f64>) {
        numbers.push(self.len() as f64);
        numbers.extend(self.iter());
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        let length = numbers.number() as usize;
        DVector::from_column_slice(numbers.many(length))
    }
}

impl<A: Parcel, B: Parcel> Parcel for (A, B) {
    fn pack(&self, numbers: &mut Vec<f64>) {
        self.0.pack(numbers);
        self.1.pack(numbers);
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        (A::unpack(numbers), B::unpack(numbers))
    }
}

impl<A: Parcel, B: Parcel, C: Parcel> Parcel for (A, B, C) {
    fn pack(&self, numbers: &mut Vec<f64>) {
        self.0.pack(numbers);
        self.1.pack(numbers);
        self.2.pack(numbers);
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        (A::unpack(numbers), B::unpack(numbers), C::unpack(numbers))
    }
}

impl<T: Parcel> Parcel for Option<T> {
    fn pack(&self, numbers: &mut Vec<f64>) {
        numbers.push(f64::from(u8::from(self.is_some())));
        self.iter().for_each(|inner| inner.pack(numbers));
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        (numbers.number() != 0.0).then(|| T::unpack(numbers))
    }
}

impl<T: Parcel> Parcel for Vec<T> {
    fn pack(&self, numbers: &mut Vec<f64>) {
        numbers.push(self.len() as f64);
        self.iter().for_each(|inner| inner.pack(numbers));
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        (0..numbers.number() as usize).map(|_| T::unpack(numbers)).collect()
    }
}

/// Numbers as they are sent: the processors of a run have one order of bytes.
pub fn as_bytes(numbers: &[f64]) -> &[u8] {
    bytemuck::cast_slice(numbers)
}

/// Numbers that were sent.
pub fn to_numbers(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&eight| f64::from_ne_bytes(eight)).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use nalgebra::DVector;

    use super::threads::together;

    #[test]
    fn shares_are_the_whole_in_order() {
        for ranks in 1..=5 {
            for items in [0, 1, 3, 7, 100] {
                let shares = together(ranks, |team| team.share(items));
                let all: Vec<usize> = shares.into_iter().flatten().collect();
                assert_eq!(all, (0..items).collect::<Vec<_>>());
                let weight = |item| items - item;
                let shares = together(ranks, |team| team.share_weighed(items, weight));
                let work = |share: &Range<usize>| share.clone().map(weight).sum::<usize>();
                let fair = (0..items).map(weight).sum::<usize>() / ranks + items;
                assert!(shares.iter().all(|share| work(share) <= fair), "{shares:?}");
                let all: Vec<usize> = shares.into_iter().flatten().collect();
                assert_eq!(all, (0..items).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn all_ranks_hear_the_same() {
        for ranks in 1..=4 {
            let heard = together(ranks, |team| {
                let first = team.first(|| vec![team.rank() as u8, 7]);
                let own = (team.rank() != 2).then(|| vec![team.rank() as f64; team.rank()]);
                let gathered = team.gather(&vec![team.rank() as u8; team.rank()]);
                let gathered: Vec<Vec<u8>> = gathered.iter().map(<[u8]>::to_vec).collect();
                let found = |k: usize| {
                    let vector = DVector::from_element(k, k as f64);
                    (vector, (k > 1).then_some((0.5, -0.0, f64::MAX)), vec![(1.5, k as f64); k])
                };
                let parcels = team.all(Some(team.share(7).map(found).collect()));
                assert_eq!(parcels, Some((0..7).map(found).collect::<Vec<_>>()));
                (first, gathered, team.numbers(own))
            });
            let gathered: Vec<Vec<u8>> = (0..ranks).map(|rank| vec![rank as u8; rank]).collect();
            let numbers = (0..ranks).map(|rank| vec![rank as f64; rank]).collect();
            let numbers = Some(numbers).filter(|_| ranks < 3);
            let expected = (vec![0, 7], gathered, numbers);
            assert_eq!(heard, vec![expected; ranks]);
        }
    }
}
