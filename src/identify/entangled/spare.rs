//! One unit more, one unit less.

use nalgebra::{DMatrix, DVector};
use rand::Rng;

use super::outputs::Outputs;
use super::tolerances::{OUTGOING_CUTOFF, SPARE_CANDIDATES, TANGENT_DAMPING};
use crate::algebra::linalg::{least_squares, median, rms};
use crate::draws;
use crate::identify::fit::refine::Equilibrated;
use crate::identify::fit::sample::Sample;
use crate::network::TwoLayer;
use crate::ranks::Team;

/// Where a unit is added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A column of A.
    First,
    /// A column of B.
    Second,
}

impl Layer {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Layer::First => "first",
            Layer::Second => "second",
        }
    }
}

/// A unit to be added: its incoming weights and shift, and its outgoing weights.
struct Unit {
    incoming: DVector<f64>,
    shift: f64,
    outgoing: DVector<f64>,
}

/// `network` with one more unit in `layer`: the one of random ones that explains most of the residual, beyond
/// what changes of all other parameters explain (to first order). `None` if nothing can be said.
pub fn grown(
    sample: &Sample,
    network: &TwoLayer,
    layer: Layer,
    rng: &mut impl Rng,
) -> Option<TwoLayer> {
    let residual = sample.residual(network);
    let jacobian = Equilibrated::new(network.jacobian_transposed(&sample.points), &Team::alone())?;
    let tangent = jacobian.damped(TANGENT_DAMPING)?;
    let outputs = Outputs::new(network, &sample.points);
    let like = match layer {
        Layer::First => &network.a,
        Layer::Second => &network.b,
    };
    let length = median(&lengths(like))?;
    let points = sample.points.ncols();
    // Each has as many features as outgoing weights: what f changes by with these.
    let width = match layer {
        Layer::First => network.c.len(),
        Layer::Second => 1,
    };
    let mut units = Vec::new();
    let mut features = DMatrix::zeros(points, SPARE_CANDIDATES * width);
    for k in 0..SPARE_CANDIDATES {
        let incoming = draws::unit_vector(rng, like.nrows()) * length;
        let mut of_unit = features.columns_mut(k * width, width);
        let shift = match layer {
            Layer::First => {
                let y = sample.points.tr_mul(&incoming).map(|z| network.g.value(z));
                of_unit.copy_from(&outputs.weights.transpose());
                of_unit.column_iter_mut().for_each(|mut w| w.component_mul_assign(&y));
                0.0
            }
            Layer::Second => {
                let u = outputs.first.tr_mul(&incoming);
                let middle = u.mean();
                of_unit.set_column(0, &u.map(|u| network.h.value(u - middle)));
                middle
            }
        };
        units.push((incoming, shift));
    }
    let explained = tangent.solve_columns(&(&jacobian.jt * &features));
    let beyond = features - jacobian.jt.transpose() * explained;
    let mut best: Option<(f64, Unit)> = None;
    for (k, (incoming, shift)) in units.into_iter().enumerate() {
        let of_unit = beyond.columns(k * width, width).into_owned();
        let Some((outgoing, _)) = least_squares(&of_unit, &-&residual, OUTGOING_CUTOFF) else {
            continue;
        };
        let rest = (&residual + of_unit * &outgoing).norm();
        if best.as_ref().is_none_or(|best| rest < best.0) {
            best = Some((rest, Unit { incoming, shift, outgoing }));
        }
    }
    best.map(|(_, unit)| with(network, layer, &unit))
}

/// `network` with `unit` as the last one of `layer`.
fn with(network: &TwoLayer, layer: Layer, unit: &Unit) -> TwoLayer {
    let mut more = network.clone();
    let (_, m0, m1) = network.dims();
    match layer {
        Layer::First => {
            more.a = more.a.insert_column(m0, 0.0);
            more.a.set_column(m0, &unit.incoming);
            more.theta = more.theta.push(unit.shift);
            more.b = more.b.insert_row(m0, 0.0);
            more.b.set_row(m0, &unit.outgoing.transpose());
        }
        Layer::Second => {
            more.b = more.b.insert_column(m1, 0.0);
            more.b.set_column(m1, &unit.incoming);
            more.tau = more.tau.push(unit.shift);
            more.c = more.c.push(unit.outgoing[0]);
        }
    }
    more
}

/// `network` with one unit less in `layer`, in all ways: what the unit is on average goes into the shifts of the next
/// layer, and its outgoing weights to the unit most parallel to it, or to none. The way with the smallest
/// residual first.
pub fn shrunk(sample: &Sample, network: &TwoLayer, layer: Layer) -> Vec<TwoLayer> {
    let outputs = Outputs::new(network, &sample.points);
    let (incoming, outputs) = match layer {
        Layer::First => (&network.a, outputs.first),
        Layer::Second => (&network.b, outputs.second),
    };
    let means = outputs.column_mean();
    let lengths = lengths(incoming);
    let cosine = |i: usize, j: usize| {
        let inner = incoming.column(i).dot(&incoming.column(j));
        inner / (lengths[i] * lengths[j]).max(f64::MIN_POSITIVE)
    };
    let mut ways: Vec<(f64, TwoLayer)> = Vec::new();
    let units = incoming.ncols();
    for i in 0..units {
        let twin = (0..units)
            .filter(|&j| j != i)
            .max_by(|&j, &k| cosine(i, j).abs().total_cmp(&cosine(i, k).abs()));
        for heir in [None, twin] {
            // In terms of the other: y_i = share y_j + constant.
            let share = heir.map_or(0.0, |j| cosine(i, j).signum() * lengths[i] / lengths[j]);
            let heir = heir.unwrap_or(i);
            let constant = means[i] - share * means[heir];
            let mut less = network.clone();
            match layer {
                Layer::First => {
                    let row = network.b.row(i);
                    less.tau -= row.transpose() * constant;
                    less.b.row_mut(heir).zip_apply(&row, |b, more| *b += share * more);
                    less.a = less.a.remove_column(i);
                    less.theta = less.theta.remove_row(i);
                    less.b = less.b.remove_row(i);
                }
                Layer::Second => {
                    less.c0 += network.c[i] * constant;
                    less.c[heir] += share * network.c[i];
                    less.b = less.b.remove_column(i);
                    less.tau = less.tau.remove_row(i);
                    less.c = less.c.remove_row(i);
                }
            }
            ways.push((rms(&sample.residual(&less)), less));
        }
    }
    ways.sort_by(|a, b| a.0.total_cmp(&b.0));
    ways.into_iter().map(|(_, less)| less).collect()
}

/// Of the columns.
fn lengths(m: &DMatrix<f64>) -> Vec<f64> {
    m.column_iter().map(|column| column.norm()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class};

    fn truth() -> (TwoLayer, Sample) {
        let truth = TwoLayer::random((6, 6, 3), Class::General, Activation::Tanh, 6).unwrap();
        let points = draws::gaussian(&mut draws::stream(2, "spare", 0), 6, 300);
        let sample = Sample { values: truth.values(&points), points };
        (truth, sample)
    }

    #[test]
    fn a_constant_unit_and_a_double_are_taken_away() {
        let (truth, sample) = truth();
        let constant = |layer, inputs, outgoing| {
            let unit = Unit { incoming: DVector::zeros(inputs), shift: 0.3, outgoing };
            with(&truth, layer, &unit)
        };
        let value = (-0.3f64).tanh();
        let mut first = constant(Layer::First, 6, DVector::from_vec(vec![2.0, -1.0, 0.5]));
        first.tau += first.b.row(6).transpose() * value;
        let mut second = constant(Layer::Second, 6, DVector::from_vec(vec![0.7]));
        second.c0 -= 0.7 * value;
        // The opposite of a unit takes half of its part.
        let half = Unit {
            incoming: -truth.a.column(4),
            shift: -truth.theta[4],
            outgoing: truth.b.row(4).transpose() * -0.5,
        };
        let mut first_double = with(&truth, Layer::First, &half);
        first_double.b.row_mut(4).scale_mut(0.5);
        let half = Unit {
            incoming: -truth.b.column(1),
            shift: -truth.tau[1],
            outgoing: DVector::from_vec(vec![-0.5 * truth.c[1]]),
        };
        let mut second_double = with(&truth, Layer::Second, &half);
        second_double.c[1] *= 0.5;
        for (network, layer) in [
            (first, Layer::First),
            (first_double, Layer::First),
            (second, Layer::Second),
            (second_double, Layer::Second),
        ] {
            assert!(rms(&sample.residual(&network)) < 1e-14);
            let less = shrunk(&sample, &network, layer).remove(0);
            assert!(rms(&sample.residual(&less)) < 1e-14, "{layer:?}");
            assert!(truth.matching(&less).parameter_error.unwrap() < 1e-13);
        }
    }

    #[test]
    fn what_is_added_explains_some_of_the_residual() {
        let (truth, sample) = truth();
        let rng = &mut draws::stream(3, "spare", 0);
        for layer in [Layer::First, Layer::Second] {
            let less = shrunk(&sample, &truth, layer).remove(0);
            let more = grown(&sample, &less, layer, rng).unwrap();
            assert_eq!(more.dims(), truth.dims());
            assert!(sample.residual(&more).iter().all(|r| r.is_finite()));
        }
    }
}
