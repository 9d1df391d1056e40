//! Random networks, reproducible from a seed.

use std::str::FromStr;

use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{Activation, Layer, Link, Network, NetworkError};
use crate::draws;

/// Parameters a random network may have at most: 1 GiB of numbers.
const LARGEST: usize = 1 << 27;

/// How the parameters of a random network are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The class of Fornasier, Klock and Rauchensteiner (Constr. Approx. 55, 2022): unit Gaussian
    /// columns a_i and b_l, shifts N(0, 0.05) (the variance), c = 1, c0 = 0.
    Paper,
    /// As trained networks are: column norms uniform in [0.4, 2.5], shifts of standard deviation
    /// 0.6, |c_l| uniform in [0.5, 2] with either sign, c0 ~ N(0, 1).
    General,
    /// As [`Paper`](Class::Paper), but without shifts: what is identified from samples.
    Centred,
}

impl Class {
    /// Every class known to the program.
    pub const ALL: [Class; 3] = [Class::Paper, Class::General, Class::Centred];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Class::Paper => "paper",
            Class::General => "general",
            Class::Centred => "centred",
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

/// The paper's class with its free choices open: ||a_i|| = ||b_l|| = 1, c = 1, c0 = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ensemble {
    /// Standard deviation of the shifts theta and tau, which are Gaussian with mean 0.
    pub shift_spread: f64,
    /// What A is. `None`: independent Gaussian columns, normalised. `Some(kappa)`, kappa >= 1: random
    /// but for its r = min(d, m0) singular values, which are log-spaced from s down to s / kappa with s
    /// such that the columns can have norm 1, and do.
    pub condition: Option<f64>,
}

/// A class name that is not known.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown class {0:?}; known are paper, general and centred")]
pub struct UnknownClass(pub String);

impl Network {
    /// A random network of `widths` (d, then the units of each hidden layer) and `outputs`, one activation
    /// for all layers, no link. The same arguments give the same network.
    ///
    /// Of one hidden layer, or of several outputs, the output weights c_ik have |c_ik| uniform in [0.5, 2]
    /// and either sign in both classes: with c = 1 the signs would be told, or all outputs be one.
    ///
    /// # Errors
    /// [`NetworkError::Empty`] if a dimension is zero or there is no hidden layer,
    /// [`NetworkError::TooLarge`] beyond 2^27 parameters.
    pub fn random(
        widths: &[usize],
        outputs: usize,
        class: Class,
        activation: Activation,
        seed: u64,
    ) -> Result<Network, NetworkError> {
        check(widths, outputs)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let spread = match class {
            Class::Paper => 0.05f64.sqrt(),
            Class::General => 0.6,
            Class::Centred => 0.0,
        };
        let layer = |size: &[usize]| {
            let weights = columns(size[0], size[1], class, rng);
            let shifts = normal(size[1], rng) * spread;
            Layer { weights, shifts, activation }
        };
        let layers: Vec<Layer> = widths.windows(2).map(layer).collect();
        let rng = &mut output_stream(rng, layers.len(), seed);
        let (c, c0) = match class {
            Class::Paper | Class::Centred => {
                (paper_weights(&layers, outputs, rng), DVector::zeros(outputs))
            }
            Class::General => (either_sign(&layers, outputs, rng), normal(outputs, rng)),
        };
        Ok(Network { layers, c, c0, link: Link::None })
    }

    /// A network of the ensemble, of `widths` (d, then the units of each hidden layer) and `outputs`, one
    /// activation for all layers, no link; the condition number is that of the first layer, and the output
    /// weights are as in [`random`](Self::random). The same arguments give the same network.
    ///
    /// # Errors
    /// As [`random`](Self::random); [`NetworkError::Ensemble`] if the spread is negative, the condition
    /// number below 1, or one of them not finite.
    pub fn of_ensemble(
        widths: &[usize],
        outputs: usize,
        ensemble: Ensemble,
        activation: Activation,
        seed: u64,
    ) -> Result<Network, NetworkError> {
        check(widths, outputs)?;
        let Ensemble { shift_spread, condition } = ensemble;
        let usable_spread = shift_spread.is_finite() && shift_spread >= 0.0;
        if !usable_spread || condition.is_some_and(|kappa| !(kappa.is_finite() && kappa >= 1.0)) {
            return Err(NetworkError::Ensemble);
        }
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let layer = |(l, size): (usize, &[usize])| {
            let weights = match condition {
                Some(kappa) if l == 0 => conditioned(size[0], size[1], kappa, rng),
                _ => columns(size[0], size[1], Class::Paper, rng),
            };
            let shifts = normal(size[1], rng) * shift_spread;
            Layer { weights, shifts, activation }
        };
        let layers: Vec<Layer> = widths.windows(2).enumerate().map(layer).collect();
        let rng = &mut output_stream(rng, layers.len(), seed);
        let c = paper_weights(&layers, outputs, rng);
        Ok(Network { layers, c, c0: DVector::zeros(outputs), link: Link::None })
    }
}

fn check(widths: &[usize], outputs: usize) -> Result<(), NetworkError> {
    let dims = [widths, &[outputs]].concat();
    if widths.len() < 2 || dims.contains(&0) {
        return Err(NetworkError::Empty(dims));
    }
    let layer = |size: &[usize]| size[0].checked_add(1).and_then(|rows| rows.checked_mul(size[1]));
    let count = dims.windows(2).map(layer).try_fold(0usize, |sum, count| sum.checked_add(count?));
    if count.is_none_or(|count| count > LARGEST) {
        return Err(NetworkError::TooLarge(dims));
    }
    Ok(())
}

/// What the output weights are drawn from: of one hidden layer from a stream of their own.
fn output_stream(rng: &ChaCha8Rng, hidden: usize, seed: u64) -> ChaCha8Rng {
    if hidden > 1 {
        return rng.clone();
    }
    let mut other = ChaCha8Rng::seed_from_u64(seed);
    other.set_stream(1);
    other
}

/// c = 1 where that tells nothing, see [`Network::random`].
fn paper_weights(layers: &[Layer], outputs: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    if layers.len() > 1 && outputs == 1 {
        return DMatrix::repeat(units(layers), outputs, 1.0);
    }
    either_sign(layers, outputs, rng)
}

/// Magnitudes uniform in [0.5, 2], either sign.
fn either_sign(layers: &[Layer], outputs: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    DMatrix::from_fn(units(layers), outputs, |_, _| {
        let magnitude = rng.random_range(0.5..=2.0);
        if rng.random() { magnitude } else { -magnitude }
    })
}

/// Those of the last layer.
fn units(layers: &[Layer]) -> usize {
    layers.last().map_or(0, |layer| layer.shifts.len())
}

/// A random matrix of condition number `kappa` with unit columns: U diag(s) V^T, then rotations of
/// pairs of columns, which leave the singular values as they are, until every column has norm 1
/// (Bendel and Mickey, Commun. Stat. Simul. Comput. 7, 1978).
fn conditioned(rows: usize, count: usize, kappa: f64, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let rank = rows.min(count);
    let place = |k: usize| k as f64 / (rank.max(2) - 1) as f64;
    let mut values = DVector::from_fn(rank, |k, _| kappa.powf(-place(k)));
    // The squares of the singular values sum to those of the columns' norms.
    values *= (count as f64).sqrt() / values.norm();
    let mut frame = |n: usize| draws::gaussian(rng, n, rank).qr().q();
    let (u, v) = (frame(rows), frame(count));
    let mut matrix = u * DMatrix::from_diagonal(&values) * v.transpose();
    // Each rotation gives one more column its norm.
    for _ in 1..count {
        let norms = DVector::from_fn(count, |k, _| matrix.column(k).norm_squared());
        let (short, long) = (norms.imin(), norms.imax());
        let (below, above) = (norms[short] - 1.0, norms[long] - 1.0);
        if above <= 0.0 || below >= 0.0 {
            break;
        }
        // The tangent t of the angle: |a_short - t a_long|^2 = 1 + t^2.
        let inner = matrix.column(short).dot(&matrix.column(long));
        let root = (inner * inner - below * above).sqrt();
        let t = (inner + root.copysign(inner)) / above;
        let cos = 1.0 / t.hypot(1.0);
        let (x, y) = (matrix.column(short).into_owned(), matrix.column(long).into_owned());
        matrix.set_column(short, &((&x - &y * t) * cos));
        matrix.set_column(long, &((&x * t + &y) * cos));
    }
    // Of the rotations' rounding.
    matrix.column_iter_mut().for_each(|mut column| {
        column.normalize_mut();
    });
    matrix
}

fn normal(length: usize, rng: &mut ChaCha8Rng) -> DVector<f64> {
    DVector::from_fn(length, |_, _| rng.sample(StandardNormal))
}

/// Columns of uniformly random direction, and of the norms of the class.
fn columns(rows: usize, count: usize, class: Class, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let mut matrix = DMatrix::from_fn(rows, count, |_, _| rng.sample(StandardNormal));
    for mut column in matrix.column_iter_mut() {
        let norm = match class {
            Class::Paper | Class::Centred => 1.0,
            Class::General => rng.random_range(0.4..=2.5),
        };
        column *= norm / column.norm();
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{OneLayer, TwoLayer};

    /// a_11 and tau_3 of the paper's class, 7-9-3, seed 5.
    const PAPER: (f64, f64) = (-0.5571264729563374, -0.32567863019336224);

    /// a_11, c_3 and c0 of one hidden layer, 5-3, seed 1, as drawn before there were others.
    const ONE_LAYER: [f64; 3] = [-0.1234252637657837, 0.6508035168138628, 1.3098979009958263];

    #[test]
    fn the_seed_alone_decides() {
        let draw = |seed| TwoLayer::random((6, 5, 4), Class::General, Activation::Tanh, seed);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let network = draw(3).unwrap();
        assert_eq!(Network::from(&network).validate(), Ok(()));
        // Fixed for good: whatever changes these numbers changes every published instance.
        assert!((network.a[(0, 0)] - 0.22741938895435512).abs() < 1e-14);
        assert!((network.c0 - 0.11677549535955611).abs() < 1e-14);
    }

    #[test]
    fn the_paper_class_has_unit_columns_and_small_shifts() {
        let network = TwoLayer::random((9, 4000, 7), Class::Paper, Activation::Tanh, 1).unwrap();
        for column in network.a.column_iter().chain(network.b.column_iter()) {
            assert!((column.norm() - 1.0).abs() < 1e-14);
        }
        assert!((network.theta.norm_squared() / 4000.0 - 0.05).abs() < 0.005);
        assert!(network.c.iter().all(|&c| c == 1.0) && network.c0 == 0.0);
    }

    #[test]
    fn the_general_class_stays_in_its_ranges() {
        let network = TwoLayer::random((9, 40, 200), Class::General, Activation::Erf, 1).unwrap();
        for column in network.a.column_iter().chain(network.b.column_iter()) {
            assert!((0.39..2.51).contains(&column.norm()));
        }
        assert!(network.c.iter().all(|c| (0.5..=2.0).contains(&c.abs())));
        assert!(network.c.min() < 0.0 && network.c.max() > 0.0);
    }

    #[test]
    fn the_paper_class_is_one_of_the_ensembles() {
        let paper = TwoLayer::random((7, 9, 3), Class::Paper, Activation::Tanh, 5).unwrap();
        let ensemble = Ensemble { shift_spread: 0.05f64.sqrt(), condition: None };
        let drawn = TwoLayer::of_ensemble((7, 9, 3), ensemble, Activation::Tanh, 5).unwrap();
        assert_eq!(drawn, paper);
        // Fixed for good, as the other class is.
        assert!((paper.a[(0, 0)] - PAPER.0).abs() < 1e-14, "{:?}", paper.a[(0, 0)]);
        assert!((paper.tau[2] - PAPER.1).abs() < 1e-14, "{:?}", paper.tau[2]);
    }

    #[test]
    fn the_condition_number_is_the_one_asked_for_and_the_columns_have_norm_one() {
        for (d, m0, kappa) in [(9, 9, 1.0), (12, 8, 30.0), (8, 12, 5.0), (10, 10, 1e6), (4, 1, 7.0)]
        {
            let ensemble = Ensemble { shift_spread: 0.0, condition: Some(kappa) };
            let network = TwoLayer::of_ensemble((d, m0, 1), ensemble, Activation::Tanh, 3).unwrap();
            for column in network.a.column_iter() {
                assert!((column.norm() - 1.0).abs() < 1e-14);
            }
            let s = network.a.singular_values();
            let expected = if d.min(m0) == 1 { 1.0 } else { kappa };
            assert!((s.max() / s.min() / expected - 1.0).abs() < 1e-8, "{d} {m0}: {s}");
            assert!(network.theta.iter().all(|&theta| theta == 0.0));
        }
    }

    #[test]
    fn impossible_ensembles_are_errors() {
        for (shift_spread, condition) in
            [(-1.0, None), (f64::NAN, None), (0.1, Some(0.5)), (0.1, Some(f64::INFINITY))]
        {
            let ensemble = Ensemble { shift_spread, condition };
            let drawn = TwoLayer::of_ensemble((3, 3, 2), ensemble, Activation::Tanh, 0);
            assert_eq!(drawn, Err(NetworkError::Ensemble));
        }
    }

    #[test]
    fn impossible_dimensions_are_errors() {
        let draw = |dims| TwoLayer::random(dims, Class::Paper, Activation::Tanh, 0).unwrap_err();
        assert_eq!(draw((3, 0, 1)), NetworkError::Empty(vec![3, 0, 1, 1]));
        for dims in [(usize::MAX, 1, 1), (1, usize::MAX, 2), (1 << 20, 1 << 20, 1)] {
            assert!(matches!(draw(dims), NetworkError::TooLarge(..)));
        }
    }

    #[test]
    fn several_outputs_and_layers_are_drawn_and_differ() {
        for class in Class::ALL {
            let network = Network::random(&[5, 4, 6, 3], 2, class, Activation::Silu, 1).unwrap();
            assert_eq!((network.validate(), network.dims()), (Ok(()), vec![5, 4, 6, 3, 2]));
            assert_ne!(network.c.column(0), network.c.column(1));
            // One output more changes nothing of the layers.
            let other = Network::random(&[5, 4, 6, 3], 3, class, Activation::Silu, 1).unwrap();
            assert_eq!(network.layers, other.layers);
        }
        let lone = Network::random(&[5], 1, Class::Paper, Activation::Tanh, 1);
        assert_eq!(lone, Err(NetworkError::Empty(vec![5, 1])));
    }

    #[test]
    fn one_hidden_layer_keeps_its_seeds() {
        let drawn = OneLayer::random((5, 3), Class::General, Activation::Tanh, 1).unwrap();
        let [a, c, c0] = ONE_LAYER;
        assert!((drawn.a[(0, 0)] - a).abs() < 1e-14, "{:?}", drawn.a[(0, 0)]);
        assert!((drawn.c[2] - c).abs() < 1e-14, "{:?}", drawn.c[2]);
        assert!((drawn.c0 - c0).abs() < 1e-14, "{:?}", drawn.c0);
    }

    #[test]
    fn names_round_trip() {
        for class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert!("other".parse::<Class>().is_err());
    }
}
