//! The black box of a study: a function whose values may be noisy, or rounded.

use nalgebra::{DMatrix, DVector, DVectorView, DVectorViewMut};
use rand_distr::{Distribution, StandardNormal};

use super::deviant::Deviant;
use super::precision::Precision;
use crate::draws;
use crate::oracle::{Mixture, Oracle, OracleError};

/// f plus an error of standard deviation sigma in every output, then rounded.
///
/// The errors are Gaussian and depend on the seed and on the bits of the point alone: a point asked again
/// has the same values, in any order and any batch, so that errors cannot be averaged away by
/// asking twice.
#[derive(Clone, Debug)]
pub struct BlackBox {
    f: Deviant,
    sigma: f64,
    precision: Precision,
    seed: u64,
    mixture: Mixture,
}

impl BlackBox {
    /// Wraps a function.
    pub fn new(f: Deviant, sigma: f64, precision: Precision, seed: u64) -> Self {
        let mixture = Mixture::first(f.network().output_dim());
        BlackBox { f, sigma, precision, seed, mixture }
    }

    fn add_errors(&self, point: DVectorView<'_, f64>, mut answers: DVectorViewMut<'_, f64>) {
        let stream = &mut draws::stream(self.seed, "output noise", fingerprint(point));
        for answer in &mut answers {
            let error: f64 = StandardNormal.sample(stream);
            *answer += self.sigma * error;
        }
    }
}

impl Oracle for BlackBox {
    fn input_dim(&self) -> usize {
        self.f.network().input_dim()
    }

    fn output_dim(&self) -> usize {
        self.mixture.outputs()
    }

    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let mut outputs = self.f.outputs(points);
        if self.sigma > 0.0 {
            for (answers, point) in outputs.column_iter_mut().zip(points.column_iter()) {
                self.add_errors(point, answers);
            }
        }
        outputs.apply(|value| *value = self.precision.rounded(*value));
        Ok(outputs)
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.mixture.set(weights);
    }

    // Gradients and Hessians are the trait's: differences of these values, noise and all.
    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let outputs = self.outputs(points)?;
        Ok(self.mixture.of(&outputs))
    }
}

/// 64 bits of a point: each coordinate is mixed in as SplitMix64 does.
pub(super) fn fingerprint(point: DVectorView<'_, f64>) -> u64 {
    point.iter().fold(0, |hash: u64, &x| {
        // The two zeros are one number.
        let mut z = (hash ^ (x + 0.0).to_bits()).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class, Network};

    fn function() -> Deviant {
        Deviant::exact(Network::random(&[6, 5, 2], 1, Class::Paper, Activation::Tanh, 1).unwrap())
    }

    fn points() -> DMatrix<f64> {
        draws::gaussian(&mut draws::stream(1, "test", 0), 6, 4000)
    }

    fn errors(sigma: f64, seed: u64, points: &DMatrix<f64>) -> DVector<f64> {
        let exact = function().outputs(points).transpose();
        let values = BlackBox::new(function(), sigma, Precision::F64, seed).values(points).unwrap();
        values - exact.column(0)
    }

    #[test]
    fn errors_have_the_spread_asked_for_and_no_mean() {
        let errors = errors(1e-3, 1, &points()) * 1e3;
        assert!((errors.norm_squared() / 4000.0 - 1.0).abs() < 0.1);
        assert!(errors.mean().abs() < 0.06);
        // Neighbouring points have unrelated errors.
        let lagged = errors.rows(0, 3999).dot(&errors.rows(1, 3999)) / 3999.0;
        assert!(lagged.abs() < 0.06, "{lagged}");
    }

    #[test]
    fn an_error_belongs_to_its_point_and_its_seed() {
        let points = points();
        let all = errors(1e-3, 1, &points);
        let some = errors(1e-3, 1, &points.columns(1000, 7).into_owned());
        assert!((all.rows(1000, 7) - some).amax() < 1e-15);
        assert!((&all - errors(1e-3, 2, &points)).amax() > 1e-3);
        assert_eq!(errors(0.0, 1, &points).amax(), 0.0);
    }

    #[test]
    fn rounded_values_are_f32() {
        let mut black_box = BlackBox::new(function(), 0.0, Precision::F32, 0);
        let values = black_box.values(&points()).unwrap();
        assert!(values.iter().all(|&value| f64::from(value as f32) == value));
    }
}
