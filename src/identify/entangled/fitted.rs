//! A fit in the coordinates of a ball, and how good it can become.

use crate::network::TwoLayer;

/// A network in the coordinates y, and its root mean square residual.
pub struct Fitted {
    pub network: TwoLayer,
    pub rms: f64,
}

/// How small residuals (root mean square) can become, and which is small enough.
#[derive(Clone, Copy)]
pub struct Floor {
    /// That of the fit.
    pub least: f64,
    /// Exchanges end here.
    pub enough: f64,
}
