//! The second layer from values alone: for values too inaccurate for the differences of the peel.
//!
//! Where all units of the first layer are saturated, y is a vector of signs, known from the hyperplanes, and
//! f is a network of one hidden layer of y. It is fitted from random starts, with as few units as
//! reach the accuracy of the values; there are local minima, and the residual tells them. Every second start
//! draws its rows from where the second-order terms of f in y say that they are: those are about
//! sum_l c_l h''(-tau_l) b_l b_l^T off the diagonal.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;

use super::tolerances::{
    ROWS_PER_UNKNOWN, SATURATED_COMPLETIONS, SATURATED_FALL, SATURATED_MOST_UNITS, SATURATED_NORMS,
    SATURATED_REACHED, SATURATED_SHIFTS, SATURATED_STARTS,
};
use crate::algebra::linalg::{least_squares, symmetric_eigen};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{SaturatedFits, WidthTried};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placer;
use crate::identify::first_layer::tolerances::LEAST_SINGULAR;
use crate::identify::first_layer::unit::Unit;
use crate::identify::fit::refine::refine;
use crate::identify::fit::sample::Sample;
use crate::identify::survey::line::half_width;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::network::{Activation, TwoLayer};
use crate::oracle::Clock;
use crate::stage::Stage;

/// A network with activations g and h, the hyperplanes and widths of `units` and the second layer that fits where they
/// are saturated, to `values_each` values a parameter.
pub fn assemble(
    cx: &mut Context<'_>,
    units: &[Unit],
    (g, h): (Activation, Activation),
    values_each: usize,
) -> Result<TwoLayer, Halt> {
    let Context { f, land, seed, attempt, clock, evidence } = cx;
    let (land, seed, attempt) = (*land, *seed, *attempt);
    let (d, m0) = (f.input_dim(), units.len());
    let rng = &mut draws::stream(seed, "saturated", attempt);
    let most = SATURATED_MOST_UNITS.min(m0);
    let placer = Placer::new(units, land);
    let count = values_each * (most * (m0 + 2) + 1);
    let places: Vec<_> = (0..count).filter_map(|_| placer.saturate(&[], &[], None, rng)).collect();
    if places.len() < count {
        return Err(failure("the first layer cannot be saturated as a whole"));
    }
    let columns = |of: &dyn Fn(usize) -> DVector<f64>| {
        DMatrix::from_columns(&(0..count).map(of).collect::<Vec<_>>())
    };
    let values = f.values(&columns(&|k| places[k].point.clone()))?;
    let signs = columns(&|k| DVector::from_column_slice(&places[k].signs));
    let accuracy = places.iter().map(|p| land.noise_at(p.point.norm())).sum::<f64>() / count as f64;

    let quadratic = quadratic(&signs, &values);
    let mut tried = Vec::new();
    let mut residuals: Vec<f64> = Vec::new();
    for m1 in 1..=most {
        if let [.., before, _, last] = residuals[..]
            && last > SATURATED_FALL * before
        {
            // More units bring nothing: it is not their number that is wrong.
            break;
        }
        let used = values_each * (m1 * (m0 + 2) + 1);
        let sample = Sample {
            points: signs.columns(0, used).into_owned(),
            values: values.rows(0, used).into_owned(),
        };
        let mut best: Option<(f64, OneLayer)> = None;
        let span = quadratic.as_ref().and_then(|terms| row_space(terms, m1));
        for k in 0..SATURATED_STARTS {
            let span = span.as_ref().filter(|_| k % 2 == 0);
            let Some(start) = start(&sample, m1, span, h, rng) else { continue };
            let (fit, _) = refine(&sample, start, accuracy, clock)?;
            let sigma = sample.sigma(&fit);
            if best.as_ref().is_none_or(|b| sigma < b.0) {
                best = Some((sigma, fit));
            }
            if sigma <= SATURATED_REACHED * accuracy {
                break;
            }
        }
        let Some((sigma, fit)) = best else { continue };
        tried.push(WidthTried { m1, residual: sigma });
        residuals.push(sigma);
        if sigma <= SATURATED_REACHED * accuracy {
            let fit = pruned(&sample, fit, accuracy, clock)?;
            tried.push(WidthTried { m1: fit.c.len(), residual: sample.sigma(&fit) });
            evidence.saturated.push(SaturatedFits { values: count, accuracy, tried });
            return Ok(network(d, units, g, fit));
        }
    }
    evidence.saturated.push(SaturatedFits { values: count, accuracy, tried });
    Err(failure(format!(
        "no second layer of up to {most} units fits the values where the first layer is saturated"
    )))
}

/// The fit without the units that it does not need: fewer may have missed the values by bad starts alone.
fn pruned(
    sample: &Sample,
    mut fit: OneLayer,
    accuracy: f64,
    clock: &Clock,
) -> Result<OneLayer, Halt> {
    let mut unit = 0;
    while unit < fit.c.len() && fit.c.len() > 1 {
        let OneLayer { a, theta, c, .. } = fit.clone();
        let (a, theta, c) = (a.remove_column(unit), theta.remove_row(unit), c.remove_row(unit));
        let fewer = OneLayer { a, theta, c, ..fit.clone() };
        let (fewer, _) = refine(sample, fewer, accuracy, clock)?;
        if sample.sigma(&fewer) <= SATURATED_REACHED * accuracy {
            (fit, unit) = (fewer, 0);
        } else {
            unit += 1;
        }
    }
    Ok(fit)
}

/// The second-order terms of f in signs, m0 x m0 with a diagonal of 0, by least squares; `None` if there are too
/// few values.
fn quadratic(signs: &DMatrix<f64>, values: &DVector<f64>) -> Option<DMatrix<f64>> {
    let (m0, count) = signs.shape();
    let pairs: Vec<(usize, usize)> = (0..m0).flat_map(|i| (0..i).map(move |j| (j, i))).collect();
    let terms = 1 + m0 + pairs.len();
    if pairs.is_empty() || count < ROWS_PER_UNKNOWN * terms {
        return None;
    }
    let design = DMatrix::from_fn(count, terms, |k, term| match term {
        0 => 1.0,
        _ if term <= m0 => signs[(term - 1, k)],
        _ => signs[(pairs[term - 1 - m0].0, k)] * signs[(pairs[term - 1 - m0].1, k)],
    });
    let (solution, _) = least_squares(&design, values, LEAST_SINGULAR)?;
    let mut quadratic = DMatrix::zeros(m0, m0);
    for (&(j, i), &term) in pairs.iter().zip(solution.iter().skip(1 + m0)) {
        quadratic[(i, j)] = term;
        quadratic[(j, i)] = term;
    }
    Some(quadratic)
}

/// An orthonormal basis of the range of rank `m1` that has the entries of `terms` off the diagonal, m0 x m1.
fn row_space(terms: &DMatrix<f64>, m1: usize) -> Option<DMatrix<f64>> {
    let mut completed = terms.clone();
    let mut range = None;
    for _ in 0..SATURATED_COMPLETIONS {
        let eigen = symmetric_eigen(&completed)?;
        let mut order: Vec<usize> = (0..terms.nrows()).collect();
        order.sort_by(|&i, &j| eigen.values[j].abs().total_cmp(&eigen.values[i].abs()));
        order.truncate(m1);
        let basis = eigen.vectors.select_columns(&order);
        let sizes = DVector::from_iterator(m1, order.iter().map(|&k| eigen.values[k]));
        let low_rank = &basis * DMatrix::from_diagonal(&sizes) * basis.transpose();
        completed.set_diagonal(&low_rank.diagonal());
        range = Some(basis);
    }
    range
}

/// Random rows, in `span` if given, and shifts; output weights by least squares.
fn start(
    sample: &Sample,
    m1: usize,
    span: Option<&DMatrix<f64>>,
    phi: Activation,
    rng: &mut impl rand::Rng,
) -> Option<OneLayer> {
    let m0 = sample.points.nrows();
    let norm =
        SATURATED_NORMS.start * (SATURATED_NORMS.end / SATURATED_NORMS.start).powf(rng.random());
    let a = match span {
        Some(span) => span * draws::gaussian(rng, m1, m1) * (norm / (m1 as f64).sqrt()),
        None => draws::gaussian(rng, m0, m1) * (norm / (m0 as f64).sqrt()),
    };
    let theta = draws::gaussian(rng, m1, 1).column(0) * SATURATED_SHIFTS;
    let blank = OneLayer { a, theta, c: DVector::from_element(m1, 1.0), c0: 0.0, phi };
    // The derivatives with respect to c and c0 are the last m1 + 1 rows of the Jacobian.
    let jt = blank.jacobian_transposed(&sample.points);
    let linear = jt.rows(jt.nrows() - m1 - 1, m1 + 1).transpose();
    let (weights, _) = least_squares(&linear, &sample.values, LEAST_SINGULAR)?;
    Some(OneLayer { c: weights.rows(0, m1).into_owned(), c0: weights[m1], ..blank })
}

/// Slopes by the widths of the transitions, shifts by their middles.
fn network(d: usize, units: &[Unit], g: Activation, second: OneLayer) -> TwoLayer {
    let half = half_width(g);
    let mut a = DMatrix::zeros(d, units.len());
    for (unit, mut column) in units.iter().zip(a.column_iter_mut()) {
        column.copy_from(&(&unit.direction * (half / unit.half_width)));
    }
    let theta = DVector::from_iterator(
        units.len(),
        units.iter().map(|unit| half / unit.half_width * unit.centre),
    );
    let OneLayer { a: b, theta: tau, c, c0, phi: h } = second;
    TwoLayer { a, theta, b, tau, c, c0, g, h }
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Saturated, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::first_layer::hyperplanes::tests::noisy;
    use crate::identify::second_layer::tolerances::SATURATED_VALUES;

    #[test]
    fn the_second_layer_comes_from_saturated_values() {
        for (seed, sigma) in [(1, 1e-3), (2, 1e-5)] {
            let (mut f, land) = noisy(seed, sigma);
            let truth = f.network.clone();
            let units: Vec<Unit> = truth
                .a
                .column_iter()
                .zip(truth.theta.iter())
                .map(|(a, &theta)| Unit {
                    direction: a.into_owned(),
                    centre: theta,
                    half_width: half_width(Activation::Tanh),
                    error: 1e-9,
                })
                .collect();
            let tanh = Activation::Tanh;
            let (found, evidence) = in_context(&mut f, &land, (seed, 0), |cx| {
                assemble(cx, &units, (tanh, tanh), SATURATED_VALUES)
            });
            let found = found.unwrap();
            assert_eq!(evidence.saturated[0].tried.last().map(|tried| tried.m1), Some(2));
            let error = truth.matching(&found).parameter_error.expect("two units");
            assert!(error < 300.0 * sigma, "{sigma:e}: {error:e}");
        }
    }

    #[test]
    fn units_that_are_not_needed_go() {
        let (f, _) = noisy(1, 0.0);
        let TwoLayer { b, tau, c, c0, h, .. } = f.network;
        let exact = OneLayer { a: b, theta: tau, c, c0, phi: h };
        let signs = draws::gaussian(&mut draws::stream(1, "test", 0), 6, 200).map(f64::signum);
        let sample = Sample { values: exact.values(&signs), points: signs };
        // A third unit of small weight, as a fit of too many has them.
        let mut more = exact.clone();
        more.a = more.a.insert_column(2, 0.4);
        more.theta = more.theta.insert_row(2, 0.1);
        more.c = more.c.insert_row(2, 1e-3);
        let fewer = pruned(&sample, more, 1e-9, &Clock::new(None)).unwrap();
        assert_eq!(fewer.c.len(), 2);
        assert!(sample.sigma(&fewer) < 1e-9);
        assert_eq!(pruned(&sample, exact, 1e-9, &Clock::new(None)).unwrap().c.len(), 2);
    }
}
