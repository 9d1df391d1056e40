//! The nearest point at which units are saturated on given sides.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{NEAREST_SHORT, NEAREST_SWEEPS};
use crate::algebra::linalg::complement;

/// Half a space: side times (direction . x), at least so much.
pub struct Beyond {
    /// The unit, a column of the directions.
    pub unit: usize,
    /// +1 or -1.
    pub side: f64,
    /// How much, at a side of -1 of the negative.
    pub least: f64,
}

/// The point nearest to the origin that is where all of `wanted` say, as far from it as `base` along the span of the
/// `held` directions (d x k, independent), in which `base` is. A side can be chosen for each unit, and how far beyond it is need not
/// be: that leads much less far out than the point at which all arguments are as wanted (Hildreth, Naval Res. Logist. Q. 4, 1957).
/// `None` where that is not found.
pub fn nearest(
    directions: &DMatrix<f64>,
    (held, base): (&DMatrix<f64>, &DVector<f64>),
    wanted: &[Beyond],
) -> Option<DVector<f64>> {
    let d = directions.nrows();
    let free = if held.ncols() == 0 { DMatrix::identity(d, d) } else { complement(held) };
    let rows: Vec<DVector<f64>> =
        wanted.iter().map(|b| free.tr_mul(&directions.column(b.unit)) * b.side).collect();
    let at_base = |b: &Beyond| b.side * directions.column(b.unit).dot(base);
    let missing: Vec<f64> = wanted.iter().map(|b| b.least - at_base(b)).collect();
    let allowed = NEAREST_SHORT * wanted.iter().map(|b| b.least).fold(0.0, f64::max);
    let mut multipliers = vec![0.0f64; rows.len()];
    let mut y = DVector::<f64>::zeros(free.ncols());
    for _ in 0..NEAREST_SWEEPS {
        for ((row, missing), multiplier) in rows.iter().zip(&missing).zip(&mut multipliers) {
            let square = row.norm_squared();
            if square > 0.0 {
                let change = ((missing - row.dot(&y)) / square).max(-*multiplier);
                *multiplier += change;
                y.axpy(change, row, 1.0);
            }
        }
        let there =
            rows.iter().zip(&missing).all(|(row, missing)| missing - row.dot(&y) <= allowed);
        if there && y.iter().all(|y| y.is_finite()) {
            return Some(base + free * y);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::linalg::dual;
    use crate::draws;

    #[test]
    fn sides_are_had_nearer_than_by_the_dual_basis() {
        let rng = &mut draws::stream(3, "nearest", 0);
        let columns: Vec<_> = (0..20).map(|_| draws::unit_vector(rng, 20)).collect();
        let directions = DMatrix::from_columns(&columns);
        let held = directions.columns(0, 5).into_owned();
        let base = dual(&held).unwrap().0 * DVector::repeat(5, 0.3);
        let sides = draws::gaussian(rng, 20, 1).map(f64::signum);
        let wanted: Vec<Beyond> =
            (5..20).map(|unit| Beyond { unit, side: sides[unit], least: 8.0 }).collect();
        let point = nearest(&directions, (&held, &base), &wanted).unwrap();
        let levels = directions.tr_mul(&point);
        for (unit, level) in levels.iter().enumerate() {
            if unit < 5 {
                assert!((level - 0.3).abs() < 1e-9, "{level}");
            } else {
                assert!(level * sides[unit] > 8.0 * (1.0 - NEAREST_SHORT) - 1e-9, "{level}");
            }
        }
        let exact = DVector::from_fn(20, |k, _| if k < 5 { 0.3 } else { 8.0 * sides[k] });
        let by_dual = dual(&directions).unwrap().0 * exact;
        assert!(point.norm() < 0.5 * by_dual.norm(), "{} {}", point.norm(), by_dual.norm());
    }
}
