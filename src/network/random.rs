//! Random networks, reproducible from a seed.

use std::str::FromStr;

use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{Activation, Network, NetworkError};

/// Parameters a random network may have at most: 1 GiB of numbers.
const LARGEST: usize = 1 << 27;

/// How the parameters of a random network are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The class of Fornasier, Klock and Rauchensteiner (Constr. Approx. 55, 2022): unit Gaussian
    /// columns a_i and b_l, shifts N(0, 0.05) (the variance), c = 1, c0 = 0.
    Paper,
    /// As trained networks are: column norms uniform in [0.4, 2.5], shifts of standard deviation
    /// 0.6, |c_l| uniform in [0.5, 2] with either sign, c0 ~ N(0, 1).
    General,
}

impl Class {
    /// Every class known to the program.
    pub const ALL: [Class; 2] = [Class::Paper, Class::General];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Class::Paper => "paper",
            Class::General => "general",
        }
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Class::ALL.into_iter().find(|class| class.name() == name);
        known.ok_or_else(|| UnknownClass(name.to_owned()))
    }
}

/// A class name that is not known.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown class {0:?}; known are paper and general")]
pub struct UnknownClass(pub String);

impl Network {
    /// A random network of dimensions (d, m0, m1), one activation for both layers. The same
    /// arguments give the same network.
    ///
    /// # Errors
    /// [`NetworkError::Empty`] if a dimension is zero, [`NetworkError::TooLarge`] beyond 2^27
    /// parameters.
    pub fn random(
        dims: (usize, usize, usize),
        class: Class,
        activation: Activation,
        seed: u64,
    ) -> Result<Network, NetworkError> {
        let (d, m0, m1) = dims;
        if d == 0 || m0 == 0 || m1 == 0 {
            return Err(NetworkError::Empty(d, m0, m1));
        }
        let first = d.checked_add(1).and_then(|rows| rows.checked_mul(m0));
        let second = m0.checked_add(2).and_then(|rows| rows.checked_mul(m1));
        let count = first.zip(second).and_then(|(first, second)| first.checked_add(second));
        if count.is_none_or(|count| count >= LARGEST) {
            return Err(NetworkError::TooLarge(d, m0, m1));
        }

        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let spread = match class {
            Class::Paper => 0.05f64.sqrt(),
            Class::General => 0.6,
        };
        let a = columns(d, m0, class, rng);
        let theta = normal(m0, rng) * spread;
        let b = columns(m0, m1, class, rng);
        let tau = normal(m1, rng) * spread;
        let (c, c0) = match class {
            Class::Paper => (DVector::repeat(m1, 1.0), 0.0),
            Class::General => {
                let weight = |_, _| {
                    let magnitude = rng.random_range(0.5..=2.0);
                    if rng.random() { magnitude } else { -magnitude }
                };
                (DVector::from_fn(m1, weight), rng.sample(StandardNormal))
            }
        };
        Ok(Network { a, theta, b, tau, c, c0, g: activation, h: activation })
    }
}

fn normal(length: usize, rng: &mut ChaCha8Rng) -> DVector<f64> {
    DVector::from_fn(length, |_, _| rng.sample(StandardNormal))
}

/// Columns of uniformly random direction, and of the norms of the class.
fn columns(rows: usize, count: usize, class: Class, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let mut matrix = DMatrix::from_fn(rows, count, |_, _| rng.sample(StandardNormal));
    for mut column in matrix.column_iter_mut() {
        let norm = match class {
            Class::Paper => 1.0,
            Class::General => rng.random_range(0.4..=2.5),
        };
        column *= norm / column.norm();
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_alone_decides() {
        let draw = |seed| Network::random((6, 5, 4), Class::General, Activation::Tanh, seed);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let network = draw(3).unwrap();
        assert_eq!(network.validate(), Ok(()));
        // Fixed for good: whatever changes these numbers changes every published instance.
        assert!((network.a[(0, 0)] - 0.22741938895435512).abs() < 1e-14);
        assert!((network.c0 - 0.11677549535955611).abs() < 1e-14);
    }

    #[test]
    fn the_paper_class_has_unit_columns_and_small_shifts() {
        let network = Network::random((9, 4000, 7), Class::Paper, Activation::Tanh, 1).unwrap();
        for column in network.a.column_iter().chain(network.b.column_iter()) {
            assert!((column.norm() - 1.0).abs() < 1e-14);
        }
        assert!((network.theta.norm_squared() / 4000.0 - 0.05).abs() < 0.005);
        assert!(network.c.iter().all(|&c| c == 1.0) && network.c0 == 0.0);
    }

    #[test]
    fn the_general_class_stays_in_its_ranges() {
        let network = Network::random((9, 40, 200), Class::General, Activation::Erf, 1).unwrap();
        for column in network.a.column_iter().chain(network.b.column_iter()) {
            assert!((0.39..2.51).contains(&column.norm()));
        }
        assert!(network.c.iter().all(|c| (0.5..=2.0).contains(&c.abs())));
        assert!(network.c.min() < 0.0 && network.c.max() > 0.0);
    }

    #[test]
    fn impossible_dimensions_are_errors() {
        let draw = |dims| Network::random(dims, Class::Paper, Activation::Tanh, 0).unwrap_err();
        assert_eq!(draw((3, 0, 1)), NetworkError::Empty(3, 0, 1));
        for dims in [(usize::MAX, 1, 1), (1, usize::MAX, 2), (1 << 20, 1 << 20, 1)] {
            assert!(matches!(draw(dims), NetworkError::TooLarge(..)));
        }
    }

    #[test]
    fn names_round_trip() {
        for class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert!("other".parse::<Class>().is_err());
    }
}
