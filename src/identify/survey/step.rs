//! The step of a finite difference, chosen by what the oracle answers rather than by theory.

use nalgebra::{DMatrix, DVector};

use super::tolerances::STEP_HALVINGS;
use crate::algebra::linalg::rms;
use crate::oracle::{Oracle, OracleError};
use crate::stencil::{first_along, second_along};

/// Queries a centre in the choice of a step.
#[cfg(feature = "study")]
pub const QUERIES: u64 = 4 * (STEP_HALVINGS as u64 + 1) + 1;

/// A step and what it is worth.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Step {
    /// The step h.
    pub h: f64,
    /// Root mean square difference of the derivative at h and at h/2.
    pub error: f64,
    /// Root mean square of the derivative itself.
    pub size: f64,
}

/// The best steps for derivatives of either order.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// For first derivatives.
    pub first: Step,
    /// For second ones.
    pub second: Step,
}

/// The steps at which the fourth-order differences along `directions[k]` at `centres[k]` change least when
/// halved: truncation and noise balance there. 4 queries a step and centre, and one a centre.
pub fn differences(
    f: &mut dyn Oracle,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    largest: f64,
) -> Result<Steps, OracleError> {
    let n = centres.ncols();
    let centre_values = f.values(centres)?;
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for k in 0..=STEP_HALVINGS {
        let h = largest * 0.5f64.powi(k as i32);
        let mut points = DMatrix::zeros(centres.nrows(), 4 * n);
        for (at, mut point) in points.column_iter_mut().enumerate() {
            let multiple = [h, -h, 2.0 * h, -2.0 * h][at % 4];
            point.copy_from(&centres.column(at / 4));
            point.axpy(multiple, &directions.column(at / 4), 1.0);
        }
        let values = f.values(&points)?;
        let at = |i: usize| &values.as_slice()[4 * i..4 * i + 4];
        firsts.push(DVector::from_fn(n, |i, _| first_along(at(i), h)));
        seconds.push(DVector::from_fn(n, |i, _| second_along(centre_values[i], at(i), h)));
    }
    Ok(Steps { first: steadiest(&firsts, largest), second: steadiest(&seconds, largest) })
}

/// The step for second differences alone.
pub fn second_difference(
    f: &mut dyn Oracle,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    largest: f64,
) -> Result<Step, OracleError> {
    Ok(differences(f, centres, directions, largest)?.second)
}

/// Of derivatives at the steps `largest` / 2^k those that change least with the next step.
fn steadiest(rows: &[DVector<f64>], largest: f64) -> Step {
    let best = (0..rows.len() - 1)
        .map(|k| Step {
            h: largest * 0.5f64.powi(k as i32),
            error: rms(&(&rows[k] - &rows[k + 1])),
            size: rms(&rows[k + 1]),
        })
        .min_by(|a, b| a.error.total_cmp(&b.error));
    best.unwrap_or(Step { h: largest, error: 0.0, size: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn the_chosen_step_is_accurate() {
        let network = TwoLayer {
            a: DMatrix::identity(2, 2),
            theta: DVector::from_vec(vec![0.1, -0.2]),
            b: DMatrix::from_vec(2, 1, vec![1.0, 0.5]),
            tau: DVector::from_vec(vec![0.3]),
            c: DVector::from_vec(vec![1.0]),
            c0: 0.0,
            g: Activation::Tanh,
            h: Activation::Tanh,
        };
        let mut rng = draws::stream(1, "test", 0);
        let centres = draws::gaussian(&mut rng, 2, 20);
        let mut directions = draws::gaussian(&mut rng, 2, 20);
        directions.column_iter_mut().for_each(|mut v| {
            v.normalize_mut();
        });
        let step = second_difference(&mut NetworkOracle::new(network), &centres, &directions, 1.0)
            .unwrap();
        assert!(step.error < 1e-8 * step.size, "{step:?}");
        assert!((1e-3..0.2).contains(&step.h));
    }
}
