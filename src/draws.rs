//! Reproducible randomness: one ChaCha stream for every (seed, stage, item), so that a draw depends
//! neither on the thread count nor on what other stages drew.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The stream of item `item` of the stage named `stage`.
pub fn stream(seed: u64, stage: &str, item: u64) -> ChaCha8Rng {
    // FNV-1a of the stage's name keeps streams apart without a central list of numbers.
    let name = stage.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(name.wrapping_add(item));
    rng
}

/// A rows x columns matrix of independent N(0, 1) entries.
pub fn gaussian(rng: &mut impl Rng, rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// A uniformly random unit vector; without coordinates, which no unit vector has, the empty one.
pub fn unit_vector(rng: &mut impl Rng, n: usize) -> DVector<f64> {
    if n == 0 {
        return DVector::zeros(0);
    }
    loop {
        let v = DVector::from_fn(n, |_, _| StandardNormal.sample(rng));
        let norm: f64 = v.norm();
        if norm > 1e-6 {
            return v / norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stage, item| gaussian(&mut stream(seed, stage, item), 3, 2);
        assert_eq!(draw(1, "stack", 0), draw(1, "stack", 0));
        assert_ne!(draw(1, "stack", 0), draw(2, "stack", 0));
        assert_ne!(draw(1, "stack", 0), draw(1, "stack", 1));
        assert_ne!(draw(1, "stack", 0), draw(1, "peel", 0));
    }
}
