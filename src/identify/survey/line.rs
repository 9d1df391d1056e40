//! Transitions along a line.
//!
//! Far out a network of sigmoidal units is constant but where a line crosses the hyperplane
//! a_i . x = theta_i of a first-layer unit: there it passes from one level to another, over a width
//! set by the slope of that unit, and its gradient is parallel to a_i.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    FAINT_BEND, FAINT_CENTRES, FAINT_MOST_WIDTH, FAINT_NOISE, FAINT_WIDTHS, FINEST_CELL,
    LEAST_SEGMENT, LINE_CELLS, MOST_ZOOMS, NONZERO, PAUSE_CELLS, QUIET_SHARE, RESOLVED_CELLS,
    WIDTH_QUANTILES,
};
use crate::identify::scalars::descend::descend;
use crate::network::Activation;
use crate::oracle::{Oracle, OracleError};

/// A place on a line where f passes from one level to another.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// Position along the line at which half the variation is behind.
    pub centre: f64,
    /// Half the width that holds 98 % of the variation: 2.3 / slope for a tanh unit.
    pub half_width: f64,
    /// Total variation over the transition.
    pub variation: f64,
}

/// Values of f at origin + t direction.
pub fn values_along(
    f: &mut dyn Oracle,
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    ts: &[f64],
) -> Result<DVector<f64>, OracleError> {
    if ts.is_empty() {
        return Ok(DVector::zeros(0));
    }
    let columns: Vec<DVector<f64>> = ts.iter().map(|&t| origin + direction * t).collect();
    f.values(&DMatrix::from_columns(&columns))
}

/// Finds a transition on origin + t direction, lo <= t <= hi: the one nearest to `expected`, or the
/// largest if nothing is expected. `None` where f varies by less than `floor` from cell to cell.
pub fn locate(
    f: &mut dyn Oracle,
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    range: (f64, f64),
    expected: Option<f64>,
    floor: f64,
) -> Result<Option<Transition>, OracleError> {
    Ok(match zoom(f, origin, direction, range, expected, floor)? {
        Zoomed::Resolved(transition) => Some(transition),
        Zoomed::Faint(..) | Zoomed::Nothing => None,
    })
}

/// The same; also a transition that is larger than `floor` as a whole only.
pub fn locate_in_noise(
    f: &mut dyn Oracle,
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    range: (f64, f64),
    expected: Option<f64>,
    floor: f64,
) -> Result<Option<Transition>, OracleError> {
    Ok(match zoom(f, origin, direction, range, expected, floor)? {
        Zoomed::Resolved(transition) => Some(transition),
        Zoomed::Faint(ts, values) => step(&ts, &values, floor),
        Zoomed::Nothing => None,
    })
}

/// How far a transition could be zoomed in on.
enum Zoomed {
    /// To many cells.
    Resolved(Transition),
    /// Until no cell varied by more than the floor: positions and values there.
    Faint(Vec<f64>, DVector<f64>),
    /// None is where it was expected.
    Nothing,
}

fn zoom(
    f: &mut dyn Oracle,
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    (mut lo, mut hi): (f64, f64),
    expected: Option<f64>,
    floor: f64,
) -> Result<Zoomed, OracleError> {
    for _ in 0..MOST_ZOOMS {
        let cell = (hi - lo) / LINE_CELLS as f64;
        let ts: Vec<f64> = (0..=LINE_CELLS).map(|k| lo + cell * k as f64).collect();
        let values = values_along(f, origin, direction, &ts)?;
        let variation: Vec<f64> =
            values.as_slice().windows(2).map(|v| (v[1] - v[0]).abs()).collect();
        let most = variation.iter().copied().fold(0.0, f64::max);
        if most <= floor {
            return Ok(Zoomed::Faint(ts, values));
        }
        let segments = segments(&variation, (QUIET_SHARE * most).max(floor));
        let total: f64 = variation.iter().sum();
        let chosen = match expected {
            Some(expected) => {
                segments.iter().filter(|s| s.variation >= LEAST_SEGMENT * total).min_by(|a, b| {
                    let distance = |s: &Segment| {
                        let (from, to) = (ts[s.first], ts[s.last + 1]);
                        (from - expected).max(expected - to).max(0.0)
                    };
                    distance(a).total_cmp(&distance(b))
                })
            }
            None => segments.iter().max_by(|a, b| a.variation.total_cmp(&b.variation)),
        };
        let Some(segment) = chosen else { return Ok(Zoomed::Nothing) };
        if segment.last + 1 - segment.first >= RESOLVED_CELLS
            || cell <= FINEST_CELL * lo.abs().max(hi.abs())
        {
            return Ok(Zoomed::Resolved(resolve(&ts, &variation, segment)));
        }
        let (first, last) = (segment.first.saturating_sub(1), (segment.last + 2).min(LINE_CELLS));
        (lo, hi) = (ts[first], ts[last]);
    }
    Ok(Zoomed::Nothing)
}

/// z at which 99 % of a transition from one level to the other is over.
pub fn half_width(phi: Activation) -> f64 {
    match phi {
        Activation::Tanh => 2.298,
        Activation::Sigmoid => 4.595,
        Activation::Erf => 1.645,
        // There is no other level.
        _ => f64::INFINITY,
    }
}

/// The step of tanh that `values` are, all but noise; `None` if it is not above `floor` or they are no such step.
fn step(ts: &[f64], values: &DVector<f64>, floor: f64) -> Option<Transition> {
    let (lo, hi) = (ts[0], ts[ts.len() - 1]);
    // In units of the range: level, height, centre and width.
    let residuals = |x: &DVector<f64>| {
        let of = |t: f64| x[0] + x[1] * (((t - lo) / (hi - lo) - x[2]) / x[3]).tanh();
        let bad = x[3] <= 0.0 || !(0.0..=1.0).contains(&x[2]);
        let entries = ts.iter().zip(values.iter());
        let residual = |(&t, &v): (&f64, &f64)| if bad { f64::NAN } else { of(t) - v };
        DVector::from_iterator(ts.len(), entries.map(residual))
    };
    let (first, last) = (values[0], values[values.len() - 1]);
    let starts = FAINT_CENTRES.into_iter().flat_map(|c| FAINT_WIDTHS.map(|w| (c, w)));
    let ends = starts.map(|(centre, width)| {
        let start = vec![0.5 * (first + last), 0.5 * (last - first), centre, width];
        descend(&residuals, DVector::from_vec(start))
    });
    let (x, cost) = ends.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let variation = 2.0 * x[1].abs();
    let misfit = (cost / ts.len() as f64).sqrt();
    let inside = (0.0..=1.0).contains(&x[2]) && x[3] < FAINT_MOST_WIDTH;
    (inside && variation > floor && misfit < FAINT_NOISE * floor + FAINT_BEND * variation).then(
        || Transition {
            centre: lo + x[2] * (hi - lo),
            half_width: half_width(Activation::Tanh) * x[3] * (hi - lo),
            variation,
        },
    )
}

/// The steps that f takes over cells of one length: first and last cell, and the step. Cells that vary by no more than
/// `floor` are none.
pub fn steps(ts: &[f64], values: &[f64], floor: f64) -> Vec<(usize, usize, Transition)> {
    let variation: Vec<f64> = values.windows(2).map(|v| (v[1] - v[0]).abs()).collect();
    let most = variation.iter().copied().fold(0.0, f64::max);
    let segments = segments(&variation, (QUIET_SHARE * most).max(floor));
    let step = |s: Segment| (s.first, s.last, resolve(ts, &variation, &s));
    segments.into_iter().map(step).collect()
}

struct Segment {
    first: usize,
    last: usize,
    variation: f64,
}

fn segments(variation: &[f64], quiet: f64) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    for (k, &v) in variation.iter().enumerate().filter(|&(_, &v)| v > quiet) {
        match found.last_mut() {
            Some(segment) if k - segment.last <= PAUSE_CELLS => {
                segment.last = k;
                segment.variation += v;
            }
            _ => found.push(Segment { first: k, last: k, variation: v }),
        }
    }
    found
}

fn resolve(ts: &[f64], variation: &[f64], segment: &Segment) -> Transition {
    let total = segment.variation;
    let quantile = |share: f64| {
        let mut behind = 0.0;
        for k in segment.first..=segment.last {
            if behind + variation[k] >= share * total {
                let within = (share * total - behind) / variation[k].max(NONZERO);
                return ts[k] + within * (ts[k + 1] - ts[k]);
            }
            behind += variation[k];
        }
        ts[segment.last + 1]
    };
    let (from, to) = (quantile(WIDTH_QUANTILES.0), quantile(WIDTH_QUANTILES.1));
    Transition {
        centre: quantile(0.5),
        half_width: (0.5 * (to - from)).max(0.5 * (ts[1] - ts[0])),
        variation: total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    /// Two steps along the first axis: at 3 with slope 5, at 400 with slope 0.5.
    struct Steps;

    impl Oracle for Steps {
        fn input_dim(&self) -> usize {
            1
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            let f = |t: f64| (5.0 * (t - 3.0)).tanh() + 2.0 * (0.5 * (t - 400.0)).tanh();
            Ok(DVector::from_iterator(points.ncols(), points.iter().map(|&t| f(t))))
        }
    }

    fn find(range: (f64, f64), expected: Option<f64>) -> Option<Transition> {
        let (origin, axis) = (DVector::zeros(1), DVector::from_element(1, 1.0));
        locate(&mut Steps, &origin, &axis, range, expected, 1e-9).unwrap()
    }

    #[test]
    fn the_nearest_or_the_largest_transition_is_resolved() {
        let near = find((-1e4, 1e4), Some(0.0)).unwrap();
        assert!((near.centre - 3.0).abs() < 0.05 && (near.half_width * 5.0 - 2.3).abs() < 0.5);
        let large = find((-1e4, 1e4), None).unwrap();
        assert!((large.centre - 400.0).abs() < 0.5 && (large.half_width * 0.5 - 2.3).abs() < 0.5);
        assert!(find((500.0, 1e4), None).is_none());
    }

    #[test]
    fn a_step_little_above_the_noise_is_placed() {
        let ts: Vec<f64> = (0..=32).map(f64::from).collect();
        let noise = draws::gaussian(&mut draws::stream(1, "line", 0), 33, 1) * 1e-3;
        let values = |height: f64| {
            let of = |k: usize| height * ((ts[k] - 19.0) / 3.0).tanh() + noise[k];
            DVector::from_fn(33, |k, _| of(k))
        };
        let found = step(&ts, &values(0.01), 8e-3).unwrap();
        assert!((found.centre - 19.0).abs() < 0.5, "{}", found.centre);
        assert!((found.half_width - 6.9).abs() < 2.0, "{}", found.half_width);
        assert!(step(&ts, &values(0.0), 8e-3).is_none());
    }
}
