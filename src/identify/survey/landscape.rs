//! What f looks like from afar, in four numbers.

use serde::Serialize;

/// What the probe measured.
#[derive(Clone, Debug, Serialize)]
pub struct Landscape {
    /// Natural scale s1: the smallest s at which the standard deviation of f over x ~ N(0, s^2 I)
    /// reaches half its largest value.
    pub scale: f64,
    /// The largest standard deviation over the scales.
    pub spread: f64,
    /// Accuracy (standard deviation of the noise) of values near the origin.
    pub noise_near: f64,
    /// What the accuracy loses per unit of |x|: a point far out is itself rounded.
    pub noise_growth: f64,
}

impl Landscape {
    /// Expected noise of a value at distance `radius` from the origin.
    pub fn noise_at(&self, radius: f64) -> f64 {
        self.noise_near + self.noise_growth * radius
    }

    /// The landscape of means of `repeats` values.
    pub fn averaged(&self, repeats: usize) -> Landscape {
        Landscape { noise_near: self.noise_near / (repeats as f64).sqrt(), ..self.clone() }
    }
}
