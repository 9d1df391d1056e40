//! The stencils of [`HessianScheme`], written as changes along one direction from points already
//! displaced along another.

use pulp::Simd;

use super::vector::{Real, Vector};
use crate::stencil::HessianScheme;

/// The nodes of a scheme. With F(p, q) = f(x + h (p v_j + q v_i)), an *axis* change is
/// F(m, 0) - F(0, 0) and a *pair* change F(p, q) - F(p, 0).
pub struct Pattern {
    /// Multiples m of h at which every axis is visited.
    pub multiples: &'static [f64],
    /// How many of the multiples, the first ones, displace the points that pair changes start from.
    pub bases: usize,
    /// (p, q) of the pair changes, as places in `multiples`.
    pub pairs: &'static [(usize, usize)],
}

impl Pattern {
    pub fn of(scheme: HessianScheme) -> Pattern {
        match scheme {
            HessianScheme::Forward => {
                Pattern { multiples: &[1.0, 2.0], bases: 1, pairs: &[(0, 0)] }
            }
            HessianScheme::Central => Pattern {
                multiples: &[1.0, -1.0, 2.0, -2.0],
                bases: 2,
                pairs: &[(0, 0), (0, 1), (1, 1), (1, 0)],
            },
            HessianScheme::Polarised => {
                Pattern { multiples: &[1.0, -1.0], bases: 2, pairs: &[(0, 0), (1, 1)] }
            }
            HessianScheme::Richardson => Pattern {
                multiples: &[1.0, -1.0, 2.0, -2.0],
                bases: 4,
                pairs: &[(0, 0), (1, 1), (2, 2), (3, 3)],
            },
        }
    }
}

/// An entry on the diagonal from the axis changes of its direction.
#[inline(always)]
pub fn diagonal<T: Real, S: Simd>(
    scheme: HessianScheme,
    axis: &[Vector<T, S>],
    h: f64,
) -> Vector<T, S> {
    let over = |x: Vector<T, S>, square: f64| x * x.constant(1.0 / square);
    match scheme {
        HessianScheme::Forward => over((axis[1] - axis[0]) - axis[0], h * h),
        HessianScheme::Central => over(axis[2] + axis[3], 4.0 * h * h),
        HessianScheme::Polarised => over(axis[0] + axis[1], h * h),
        HessianScheme::Richardson => {
            let fine = over(axis[0] + axis[1], h * h);
            extrapolate(fine, over(axis[2] + axis[3], 4.0 * h * h))
        }
    }
}

/// An svec entry off the diagonal from its pair changes and the axis changes of v_i.
#[inline(always)]
pub fn off_diagonal<T: Real, S: Simd>(
    scheme: HessianScheme,
    pair: &[Vector<T, S>],
    axis: &[Vector<T, S>],
    h: f64,
) -> Vector<T, S> {
    let over = |x: Vector<T, S>, square: f64| x * x.constant(std::f64::consts::SQRT_2 / square);
    match scheme {
        HessianScheme::Forward => over(pair[0] - axis[0], h * h),
        HessianScheme::Central => over((pair[0] - pair[1]) + (pair[2] - pair[3]), 4.0 * h * h),
        HessianScheme::Polarised => over((pair[0] + pair[1]) - (axis[0] + axis[1]), 2.0 * h * h),
        HessianScheme::Richardson => {
            let fine = over((pair[0] + pair[1]) - (axis[0] + axis[1]), 2.0 * h * h);
            let coarse = over((pair[2] + pair[3]) - (axis[2] + axis[3]), 8.0 * h * h);
            extrapolate(fine, coarse)
        }
    }
}

/// (4 fine - coarse) / 3.
#[inline(always)]
fn extrapolate<T: Real, S: Simd>(fine: Vector<T, S>, coarse: Vector<T, S>) -> Vector<T, S> {
    (fine - coarse).mul_add(fine.constant(1.0 / 3.0), fine)
}
