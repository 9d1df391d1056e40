//! A solution beside the truth: is it wrong, and does its bound hold?

use super::cell::Cell;
use super::instance::Instance;
use crate::draws;
use crate::identify::verdict::tolerances::{HELD_OUT_POINTS, HELD_OUT_SCALES};
use crate::identify::{Solution, Status};
use crate::network::{Link, Network, centred};

/// Parameter error beyond which an identified network is a wrong one. No bound that comes with such a
/// verdict is larger.
pub const WRONG: f64 = 1e-6;
/// Points on which a network is compared with a black box that none explains, for each held-out point.
const TIMES: usize = 5;
/// The share of points with a residual above all of n held-out ones is Beta(1, n): above 10/n with a
/// probability of e^-10. What departs on a smaller share of the points may have been missed.
const EXCLUDED: f64 = 10.0 / HELD_OUT_POINTS as f64;

/// A residual of an identified network is explained by this many times the accuracy of the values ...
const ACCURACIES: f64 = 20.0;
/// ... and by an error of the parameters of up to [`WRONG`] at a distance of about this many natural scales,
/// as of the farthest held-out points: a transition so far out moves by as much.
const REACH: f64 = 1e4;

/// What the truth says of a solution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Identified, and not true, see [`judge`].
    pub wrong: bool,
    /// Largest error of a parameter; `None` without a network of the true widths, or where no parameters
    /// are the true ones. A hidden unit below the bound for dependent errors may be missing: it counts as one
    /// of weight 0.
    pub parameter_error: Option<f64>,
    /// The share of fresh points at which the network found is farther from the black box than the
    /// certificate says; for black boxes that no network explains.
    pub unexplained: Option<f64>,
}

/// An identified network is wrong
///
/// * if there is a true network (the minimal one, with any hidden unit), and the widths are others or
///   the parameter error is above [`WRONG`]; only a hidden unit whose weight is within the bound stated for
///   errors of the values that depend on each other, as what a missing unit leaves does, may be missing, as
///   one of weight 0;
/// * if its largest held-out residual is far above what the accuracy of the values and such an error of the
///   parameters explain;
/// * if no network explains the black box, and the network found differs from it by more than that residual
///   on a greater share of points than the certificate's number of points can exclude. The points are drawn
///   as the held-out ones are: farther out nothing is certified.
///
/// All of these hold where a black box is a network on a part of the points.
pub fn judge(cell: &Cell, seed: u64, instance: &Instance, solution: &Solution) -> Judgement {
    let deviation = cell.deviation;
    let found = solution.network.as_ref();
    let parameter_error = found
        .filter(|_| deviation.has_parameters())
        .and_then(|found| parameter_error(instance, found, dependent_bound(solution)));
    let unexplained = found
        .filter(|_| deviation.leaves_the_class())
        .and_then(|found| unexplained(instance, found, solution, seed));
    let right_parameters =
        !deviation.has_parameters() || parameter_error.is_some_and(|error| error <= WRONG);
    let right_residual = solution.residual.is_some_and(|residual| {
        let accuracy = instance.accuracy(cell.noise, cell.precision.unit());
        residual <= REACH * WRONG + ACCURACIES * accuracy
    });
    let right_values =
        !deviation.leaves_the_class() || unexplained.is_some_and(|share| share <= EXCLUDED);
    let right = right_parameters && right_residual && right_values;
    let wrong = solution.status == Status::Identified && !right;
    Judgement { wrong, parameter_error, unexplained }
}

/// See [`Judgement::parameter_error`].
fn parameter_error(instance: &Instance, found: &Network, bound: Option<f64>) -> Option<f64> {
    let whole = instance.network.matching(found).parameter_error;
    whole.or_else(|| {
        let hidden = instance.hidden.as_ref()?;
        let error = hidden.without.matching(found).parameter_error?;
        (hidden.weight <= bound?).then_some(error.max(hidden.weight))
    })
}

/// The bound that the last certificate of the run states for errors of the values that depend on each other.
fn dependent_bound(solution: &Solution) -> Option<f64> {
    solution.evidence.certificate()?.error_bound_dependent.filter(|bound| bound.is_finite())
}

/// See [`Judgement::unexplained`]. `None` if the solution does not say where it was certified.
fn unexplained(
    instance: &Instance,
    found: &Network,
    solution: &Solution,
    seed: u64,
) -> Option<f64> {
    let scale = solution.evidence.probe.first()?.scale;
    let residual = solution.residual?;
    let d = found.input_dim();
    let rng = &mut draws::stream(seed, "judge", 0);
    let mut points = draws::gaussian(rng, d, TIMES * HELD_OUT_POINTS);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        x *= scale * HELD_OUT_SCALES[k % HELD_OUT_SCALES.len()];
    }
    // As the certificate has them: before the link, of a softmax up to what the outputs share.
    let logits = found.logits(&points);
    let logits = if found.link == Link::Softmax { centred(logits) } else { logits };
    let Ok(undone) = found.link.undo(&instance.f.outputs(&points)) else {
        // Answers that this link does not give.
        return Some(1.0);
    };
    let differences = logits - undone;
    let beyond = differences.column_iter().filter(|column| column.amax() > residual).count();
    Some(beyond as f64 / points.ncols() as f64)
}
