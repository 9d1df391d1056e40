//! Several first-layer units with one direction.
//!
//! Gradients show directions, and units that share a_i show as one. Along the line on which that one alone
//! changes, one slope and one shift do not fit then, by orders of magnitude, and those of several units do:
//! u = inputs + sum_k b_k g(z_k + q_k t), where the sum of the rows b_k is the row of B that the peel has seen.

use nalgebra::DVector;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::descend::descend;
use super::reading::Line;
use super::tolerances::{BUNDLE_MIDDLES, BUNDLE_SLOPES, BUNDLE_STARTS, MOST_PER_DIRECTION};
use crate::network::Activation;

/// One of the units: its slope per half width, its z in the middle of the lines, its row of B.
pub struct Part {
    pub q: f64,
    pub z: f64,
    pub row: DVector<f64>,
}

/// The fewest units that explain the `lines` (values at `ts`, `output` of u) to a root mean square of `goal`, or
/// else those that explain them best, and their misfit; `row` is the sum of their rows.
pub fn fit(
    lines: &[Line],
    ts: &[f64],
    row: &DVector<f64>,
    g: Activation,
    output: impl Fn(&DVector<f64>) -> f64,
    goal: f64,
    rng: &mut ChaCha8Rng,
) -> Option<(Vec<Part>, f64)> {
    let residuals = |x: &DVector<f64>| {
        let parts = parts(x, row);
        let along = |part: &Part| {
            let mut ys: Vec<f64> = ts.iter().map(|t| part.z + part.q * t).collect();
            g.values(&mut ys);
            ys
        };
        let ys: Vec<Vec<f64>> = parts.iter().map(along).collect();
        let mut out = Vec::with_capacity(lines.len() * ts.len());
        for line in lines {
            for (k, &value) in line.values.iter().enumerate() {
                let mut u = line.inputs.clone();
                for (part, ys) in parts.iter().zip(&ys) {
                    u.axpy(ys[k], &part.row, 1.0);
                }
                out.push(output(&u) - value);
            }
        }
        if parts.iter().any(|part| part.q <= 0.0) {
            out.fill(f64::NAN);
        }
        DVector::from_vec(out)
    };
    let values = (lines.len() * ts.len()) as f64;
    let mut best: Option<(Vec<Part>, f64)> = None;
    for count in 2..=MOST_PER_DIRECTION {
        for _ in 0..BUNDLE_STARTS {
            let (x, cost) = descend(&residuals, start(count, row, rng));
            let misfit = (cost / values).sqrt();
            if best.as_ref().is_none_or(|best| misfit < best.1) {
                best = Some((parts(&x, row), misfit));
            }
            if misfit <= goal {
                return best;
            }
        }
    }
    best
}

/// Unknowns: slopes and middles of all, the rows of all but the last.
fn start(count: usize, row: &DVector<f64>, rng: &mut ChaCha8Rng) -> DVector<f64> {
    let mut x = Vec::new();
    for _ in 0..count {
        x.push(rng.random_range(BUNDLE_SLOPES));
        x.push(rng.random_range(-BUNDLE_MIDDLES..BUNDLE_MIDDLES));
    }
    let size = row.amax();
    for _ in 1..count {
        x.extend(row.iter().map(|b| b / count as f64 + size * rng.random_range(-1.0..1.0)));
    }
    DVector::from_vec(x)
}

fn parts(x: &DVector<f64>, row: &DVector<f64>) -> Vec<Part> {
    let m1 = row.len();
    let count = (x.len() + m1) / (2 + m1);
    let mut last = row.clone();
    (0..count)
        .map(|k| {
            let of_part = if k + 1 < count {
                let own = x.rows(2 * count + k * m1, m1).into_owned();
                last -= &own;
                own
            } else {
                last.clone()
            };
            Part { q: x[2 * k], z: x[2 * k + 1], row: of_part }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    /// Two units and three, with rows of both signs, from lines at different inputs of the second layer.
    #[test]
    fn units_of_one_direction_are_told_apart() {
        let (g, h) = (Activation::Tanh, Activation::Tanh);
        let output = |u: &DVector<f64>| u.iter().map(|&u| h.value(u)).sum::<f64>();
        let ts: Vec<f64> = (0..21).map(|k| 0.3 * f64::from(k) - 3.0).collect();
        let rng = &mut draws::stream(3, "bundle test", 0);
        for truth in [&[(2.3, 0.4), (2.1, -0.3)][..], &[(2.0, 1.2), (2.6, -0.9), (1.8, 0.1)]] {
            let rows = draws::gaussian(rng, 2, truth.len());
            let lines: Vec<Line> = (0..4)
                .map(|_| {
                    let inputs = draws::gaussian(rng, 2, 1).column(0).into_owned();
                    let value = |&t: &f64| {
                        let parts = truth.iter().zip(rows.column_iter());
                        let terms = parts.map(|(&(q, z), row)| row * g.value(z + q * t));
                        output(&terms.fold(inputs.clone(), |u, term| u + term))
                    };
                    let values = DVector::from_iterator(ts.len(), ts.iter().map(value));
                    Line { inputs, values }
                })
                .collect();
            let (parts, misfit) =
                fit(&lines, &ts, &rows.column_sum(), g, output, 1e-10, rng).expect("some fit");
            assert!(misfit <= 1e-10 && parts.len() == truth.len(), "{misfit:e}");
            for (&(q, z), row) in truth.iter().zip(rows.column_iter()) {
                let error = |part: &Part| {
                    (part.q - q).abs().max((part.z - z).abs()).max((&part.row - row).amax())
                };
                let error = parts.iter().map(error).fold(f64::INFINITY, f64::min);
                assert!(error < 1e-5, "unit at {z}: {error:e}");
            }
        }
    }
}
