//! Units that lines do not show, by what those that they show leave of f.
//!
//! Where points are rounded coarsely, as where f is computed in f32, a small step far out is lost among the errors of the others,
//! and two that lie close overlap at every distance at which f is still accurate. Nearer by, where all units show at once, values are
//! accurate: what the units known leave of f there is the sum of the others ([`grow`]).

use super::tolerances::MISSING_MOST;
use crate::identify::context::Context;
use crate::identify::failure::Halt;
use crate::identify::fit::active;
use crate::identify::fit::grow::{self, Budget, Growth, Inputs};
use crate::identify::fit::tolerances::GROWTH_MOST_PARAMETERS;
use crate::network::OneLayer;
use crate::network::model::Model;

/// The network of `start`, with the units that it lacks, fitted to values near the origin; `None` where it is not found with
/// [`MISSING_MOST`] units.
pub fn completed(
    cx: &mut Context<'_>,
    start: &OneLayer,
    budget: &mut Budget,
) -> Result<Option<OneLayer>, Halt> {
    let stage = format!("missing {}", cx.attempt);
    let growth = Growth {
        stage: &stage,
        most_units: MISSING_MOST.0 * start.theta.len() + MISSING_MOST.1,
        most_parameters: GROWTH_MOST_PARAMETERS.max(start.parameter_count()),
        scale: cx.land.scale,
        inputs: Inputs::Known,
    };
    let draw = |cx: &mut Context<'_>, network: &OneLayer, round: usize| {
        let layer = (&network.a, &network.theta);
        let count = grow::points_for(network.parameter_count());
        active::sample(cx.f, cx.land, layer, count, cx.seed, &format!("{stage} {round}"))
    };
    let (found, mut seen) =
        grow::grow(cx, start.clone(), (&growth, budget), draw, |cx, network, sample, left| {
            let floor = grow::floor(cx.land, sample);
            if left > floor {
                return Ok(None);
            }
            grow::without_spare(sample, network.clone(), (cx.land, floor), cx.clock).map(Some)
        })?;
    seen.after = found.as_ref().map(|network: &OneLayer| network.theta.len());
    cx.evidence.grown.push(seen);
    Ok(found)
}
