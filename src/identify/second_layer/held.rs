//! How many units of the first layer a split holds, and the differences it takes along them.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::sight::Entries;
use super::tolerances::{CUBES_ENTRIES, CUBES_WEIGHTS, SPAN_DEGREE, SPAN_MORE_HELD};
use crate::algebra::rank_one::{most_distinct, most_off_diagonal, pairs, triples};

/// Units held, and what is looked at along them.
#[derive(Clone, Copy)]
pub struct Held {
    /// How many.
    pub size: usize,
    /// Of the differences: 2, or 3 where the second layer has more units than second differences tell apart.
    pub order: usize,
    /// Units that the second layer has at least.
    pub least: usize,
}

impl Held {
    /// With second differences along pairs.
    pub fn by_pairs(size: usize) -> Self {
        Held { size, order: 2, least: 1 }
    }

    /// Units of the second layer that are told apart at most.
    pub fn most(self) -> usize {
        if self.order == 2 {
            return most_off_diagonal(self.size);
        }
        // Once the directions are known, second differences along all pairs, and twice along each, tell the weights.
        let weights = (CUBES_WEIGHTS * (self.size * (self.size + 1) / 2) as f64) as usize;
        most_distinct(self.size, self.triples()).min(weights)
    }

    /// The same of differences of either order along `size` units, where there may be so many.
    pub fn most_of(size: usize, least: usize) -> usize {
        let most = |order| Held { size, order, least }.most();
        most(2).max(most(3))
    }

    /// Triples along which third differences are taken, of all that there are.
    fn triples(self) -> usize {
        let all = self.size * self.size.saturating_sub(1) * self.size.saturating_sub(2) / 6;
        all.min(CUBES_ENTRIES * self.least + self.size)
    }

    /// What tells `least` units apart, with `most` of the `m0` units of the first layer held at most: second differences, if
    /// enough units are left to vary.
    pub fn wider(self, least: usize, most: usize, m0: usize) -> Option<Self> {
        let all = [2, 3]
            .into_iter()
            .flat_map(|order| (1..=most).map(move |size| Held { size, order, least }));
        // The same once more would tell no more.
        let more = |held: &Held| {
            (held.order > self.order) || (held.order == self.order && held.most() > self.most())
        };
        // By the order and the size, unless few units are left.
        let dear = |held: &Held| degree(m0 - held.size, least).max(SPAN_DEGREE);
        all.filter(|held| held.most() >= least && more(held)).min_by_key(dear)
    }

    /// Another split where the directions of one were not found: with more units held, `most` at most, and then with as many as
    /// at `first`; along triples, which need units that are left to vary, with as many once more.
    pub fn again(self, first: usize, most: usize) -> Self {
        let size = match self.order {
            2 if self.size < most => (self.size + SPAN_MORE_HELD).min(most),
            2 => first,
            _ => self.size,
        };
        Held { size, ..self }
    }

    /// Along what differences are taken for the span.
    pub fn entries(self, rng: &mut ChaCha8Rng) -> Entries {
        if self.order == 2 {
            return Entries::Second(pairs(self.size));
        }
        let mut all: Vec<[usize; 3]> = triples(self.size).collect();
        all.shuffle(rng);
        all.truncate(self.triples());
        Entries::Third(all)
    }
}

/// The degree of polynomials in `free` variables of which there are so many as `units`. The weights of the second layer's units
/// are smooth functions of where the free units are: of more of them than polynomials of a low degree what tells
/// them apart is as small as the terms of that degree.
fn degree(free: usize, units: usize) -> usize {
    let mut count = 1.0;
    let mut degree = 0;
    while free > 0 && count < units as f64 {
        degree += 1;
        count *= (free + degree) as f64 / degree as f64;
    }
    degree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_differences_serve_while_enough_units_are_left_to_vary() {
        let next = |least: usize, most: usize, m0: usize| {
            let held = Held::by_pairs(6).wider(least, most, m0);
            held.map(|held| (held.order, held.size))
        };
        // Of 12 units 24, with 9 held; of 14 units 40, which second differences along 12 would tell, with two left to vary.
        assert_eq!(next(20, 10, 12), Some((2, 9)));
        assert_eq!(next(40, 12, 14), Some((3, 9)));
        assert_eq!(next(64, 14, 16), Some((3, 12)));
        // Of more units than inputs many vary.
        assert_eq!(next(20, 7, 30), Some((3, 7)));
        assert_eq!(next(60, 7, 30), None);
        assert_eq!(
            [(2, 45), (2, 46), (4, 64), (3, 1)].map(|(free, m)| degree(free, m)),
            [8, 9, 4, 0]
        );
    }
}
