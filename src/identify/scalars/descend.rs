//! Least squares in a few unknowns by damped Gauss-Newton with differences for derivatives.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    DESCENT_DAMPING_FALL, DESCENT_DAMPING_RISE, DESCENT_DIFFERENCE, DESCENT_FIRST_DAMPING,
    DESCENT_LEAST_DAMPING, DESCENT_LEAST_GAIN, DESCENT_MOST_DAMPING, DESCENT_STEPS,
};

/// From `start` to a minimum of the sum of squares of `residuals`, with that sum; residuals that are not finite
/// are out of bounds.
pub fn descend(
    residuals: &impl Fn(&DVector<f64>) -> DVector<f64>,
    start: DVector<f64>,
) -> (DVector<f64>, f64) {
    let mut x = start;
    let mut r = residuals(&x);
    let mut now = cost(&r);
    let mut damping = DESCENT_FIRST_DAMPING;
    for _ in 0..DESCENT_STEPS {
        if !now.is_finite() {
            break;
        }
        let mut jacobian = DMatrix::zeros(r.len(), x.len());
        for k in 0..x.len() {
            let mut moved = x.clone();
            moved[k] += DESCENT_DIFFERENCE;
            jacobian.set_column(k, &((residuals(&moved) - &r) / DESCENT_DIFFERENCE));
        }
        let mut damped = jacobian.tr_mul(&jacobian);
        let diagonal = damped.diagonal() * damping;
        (0..x.len()).for_each(|k| damped[(k, k)] += diagonal[k]);
        let Some(change) = damped.cholesky().map(|factor| factor.solve(&jacobian.tr_mul(&r)))
        else {
            break;
        };
        let next = &x - change;
        let next_r = residuals(&next);
        let next_cost = cost(&next_r);
        if next_cost < now {
            let done = now - next_cost < DESCENT_LEAST_GAIN * now;
            (x, r, now) = (next, next_r, next_cost);
            damping = (DESCENT_DAMPING_FALL * damping).max(DESCENT_LEAST_DAMPING);
            if done {
                break;
            }
        } else {
            damping *= DESCENT_DAMPING_RISE;
            if damping > DESCENT_MOST_DAMPING {
                break;
            }
        }
    }
    (x, now)
}

/// The sum of squares; infinite out of bounds.
pub fn cost(r: &DVector<f64>) -> f64 {
    let sum = r.norm_squared();
    if sum.is_finite() { sum } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_two_exponentials_is_found() {
        let curve = |x: &DVector<f64>| {
            DVector::from_fn(30, |k, _| {
                let t = 0.1 * k as f64;
                x[0] * (-x[1] * t).exp() - 2.0 * (-0.7 * t).exp()
            })
        };
        let (x, cost) = descend(&curve, DVector::from_vec(vec![1.0, 1.5]));
        assert!(cost < 1e-24, "{cost:e}");
        assert!((x[0] - 2.0).abs() < 1e-9 && (x[1] - 0.7).abs() < 1e-9, "{x}");
    }

    #[test]
    fn out_of_bounds_stays_where_it_is() {
        let start = DVector::from_vec(vec![1.0]);
        let (x, cost) = descend(&|x| x.map(|_| f64::NAN), start.clone());
        assert_eq!(x, start);
        assert!(cost.is_infinite());
    }
}
