//! What f looks like from afar, in four numbers and a word.

use serde::Serialize;

use super::line::half_width;
use super::tolerances::NOISE_SHOWN;
use crate::identify::failure::Failure;
use crate::identify::first_layer::tolerances::SATURATED;
use crate::network::Activation;
use crate::stage::Stage;

/// What the probe measured.
#[derive(Clone, Debug, Serialize)]
pub struct Landscape {
    /// Natural scale s1: the smallest s at which the standard deviation of f over x ~ N(0, s^2 I)
    /// reaches half its largest value. Where f grows, that from which on second differences over a length of
    /// s grow with s.
    pub scale: f64,
    /// The largest standard deviation over the scales; where f grows, that at the natural one.
    pub spread: f64,
    /// Accuracy (standard deviation of the noise) of values near the origin.
    pub noise_near: f64,
    /// What the accuracy loses per unit of |x|: a point far out is itself rounded.
    pub noise_growth: f64,
    /// Does f grow in proportion to |x|?
    pub grows: bool,
}

impl Landscape {
    /// Expected noise of a value at distance `radius` from the origin.
    pub fn noise_at(&self, radius: f64) -> f64 {
        self.noise_near + self.noise_growth * radius
    }

    /// Root mean square of the noise expected of values at these distances from the origin.
    pub fn noise_over(&self, distances: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = distances.len() as f64;
        (distances.map(|r| self.noise_at(r).powi(2)).sum::<f64>() / count).sqrt()
    }

    /// Scale and spread 1, bounded, with this noise near the origin and this growth of it.
    #[cfg(test)]
    pub fn unit(noise_near: f64, noise_growth: f64) -> Landscape {
        Landscape { scale: 1.0, spread: 1.0, noise_near, noise_growth, grows: false }
    }

    /// Is more open in values than f64 rounds away?
    pub fn is_coarse(&self) -> bool {
        self.noise_near > NOISE_SHOWN * self.spread
    }

    /// Are points rounded more coarsely than those of f64, as where f is computed in f32?
    pub fn rounds_points(&self) -> bool {
        self.noise_growth * self.scale > NOISE_SHOWN * self.spread
    }

    /// Half widths after which a unit is saturated, to the accuracy of the values.
    pub fn saturation(&self) -> f64 {
        if !self.is_coarse() {
            return SATURATED;
        }
        // 1 - tanh z is 2 exp(-2 z).
        let z = 0.5 * (2.0 * self.spread / self.noise_near).ln();
        (z / half_width(Activation::Tanh)).min(SATURATED)
    }

    /// Of a black box that may have two hidden layers.
    pub fn bounded(self) -> Result<Landscape, Failure> {
        if self.grows {
            let reason = "the values keep growing, in proportion to the distance from the origin: relu, leaky relu, softplus, \
                          silu and gelu grow so, and of these one hidden layer is identified, not two; those of tanh, \
                          sigmoid and erf are bounded: rescale the inputs if its weights are below 1e-4";
            return Err(Failure::new(Stage::Probe, reason));
        }
        Ok(self)
    }

    /// The landscape of means of `repeats` values.
    pub fn averaged(&self, repeats: usize) -> Landscape {
        Landscape { noise_near: self.noise_near / (repeats as f64).sqrt(), ..self.clone() }
    }
}
