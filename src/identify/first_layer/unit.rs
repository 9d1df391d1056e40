//! A unit of the first layer before its slope and shift are known.

use nalgebra::DVector;

/// One first-layer unit as far as it is known before its slope and shift are.
#[derive(Clone, Debug)]
pub struct Unit {
    /// a_i / |a_i| up to sign.
    pub direction: DVector<f64>,
    /// direction . x at the middle of the transition.
    pub centre: f64,
    /// Half the width holding 98 % of the transition: about 2.3 / |a_i| for tanh.
    pub half_width: f64,
    /// Estimated angle error of the direction.
    pub error: f64,
}
