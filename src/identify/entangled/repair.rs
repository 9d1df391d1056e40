//! The way out of a fit that stops with all units right but a few.
//!
//! A first-layer unit whose weights in f nearly cancel leaves hardly a trace in the third derivatives, and neither does a
//! second-layer unit at its flattest; the direction found in its place leads to a minimum of the fit that is only
//! local. With one unit to spare such minima are none: a unit is added where it explains most of the residual, all
//! are fitted, and the one that has become superfluous (constant, or another's double) is taken away.

use rand::Rng;

use super::fitted::{Fitted, Floor};
use super::spare::{Layer, grown, shrunk};
use super::tolerances::{EXCHANGE_GAIN, MOST_EXCHANGES, REMOVALS};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::Repaired;
use crate::identify::failure::Halt;
use crate::identify::fit::refine;
use crate::identify::fit::sample::Sample;
use crate::network::TwoLayer;

/// What is exchanged at once; the next if this is of no use, then the first again.
const EXCHANGES: [&[Layer]; 5] = {
    const F: Layer = Layer::First;
    const S: Layer = Layer::Second;
    [&[F], &[S], &[F, S], &[F, F, S], &[F, F, F, S]]
};

/// Exchanges units of `fitted` as long as the fit improves.
pub fn repair(
    cx: &mut Context<'_>,
    sample: &Sample,
    mut fitted: Fitted,
    floor: Floor,
) -> Result<Fitted, Halt> {
    let rng = &mut draws::stream(cx.seed, "repair", cx.attempt);
    let mut idle = 0;
    for _ in 0..MOST_EXCHANGES {
        let Some(layers) = EXCHANGES.get(idle).filter(|_| fitted.rms > floor.enough) else { break };
        let network = fitted.network.clone();
        let next = exchanged(cx, sample, network, layers, floor, rng)?;
        let Some(next) = next else { break };
        let layers = layers.iter().map(|layer| layer.name()).collect();
        cx.evidence.repair.push(Repaired { layers, from: fitted.rms, to: next.rms });
        idle = if next.rms < EXCHANGE_GAIN * fitted.rms { 0 } else { idle + 1 };
        if next.rms < fitted.rms {
            fitted = next;
        }
    }
    Ok(fitted)
}

/// The best network found with one unit of each of `layers` exchanged; `None` if none can be added.
fn exchanged(
    cx: &mut Context<'_>,
    sample: &Sample,
    mut network: TwoLayer,
    layers: &[Layer],
    floor: Floor,
    rng: &mut impl Rng,
) -> Result<Option<Fitted>, Halt> {
    let mut fit = |start| -> Result<Fitted, Halt> {
        let (network, ended) = refine::refine(sample, start, floor.least, cx.clock)?;
        cx.evidence.refine_exchanged.push(ended);
        Ok(Fitted { network, rms: ended.to })
    };
    for &layer in layers {
        let Some(more) = grown(sample, &network, layer, rng) else { return Ok(None) };
        network = more;
    }
    let mut at = fit(network)?;
    for &layer in layers {
        let mut best: Option<Fitted> = None;
        for less in shrunk(sample, &at.network, layer).into_iter().take(REMOVALS) {
            let next = fit(less)?;
            if best.as_ref().is_none_or(|best| next.rms < best.rms) {
                best = Some(next);
            }
            if best.as_ref().is_some_and(|best| best.rms < floor.enough) {
                break;
            }
        }
        let Some(best) = best else { return Ok(None) };
        at = best;
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class};
    use crate::oracle::Clock;
    use crate::oracle::NetworkOracle;

    #[test]
    fn wrong_units_are_exchanged() {
        let truth = TwoLayer::random((6, 6, 2), Class::General, Activation::Tanh, 5).unwrap();
        let points = draws::gaussian(&mut draws::stream(2, "repair", 0), 6, 300);
        let sample = Sample { values: truth.values(&points), points };
        let floor = Floor { least: 1e-15, enough: 1e-13 };
        let land = Landscape::unit(0.0, 0.0);
        let mut minima = 0;
        for seed in 0..8 {
            // Where the fit from a wrong start stops short, the exchange goes on.
            let rng = &mut draws::stream(seed, "repair", 1);
            let mut wrong = truth.clone();
            wrong.a.set_column(2, &(draws::unit_vector(rng, 6) * truth.a.column(2).norm()));
            wrong.b.set_column(0, &(draws::unit_vector(rng, 6) * truth.b.column(0).norm()));
            let (network, ended) =
                refine::refine(&sample, wrong, floor.least, &Clock::new(None)).unwrap();
            let rms = ended.to;
            if rms < floor.enough {
                continue;
            }
            minima += 1;
            let f = &mut NetworkOracle::new(truth.clone());
            let (found, _) = in_context(f, &land, (seed, 0), |cx| {
                repair(cx, &sample, Fitted { network, rms }, floor)
            });
            let found = found.unwrap();
            assert!(found.rms < floor.enough, "{seed}: {rms} {}", found.rms);
            let error = truth.matching(&found.network).parameter_error.unwrap();
            assert!(error < 1e-9, "{error}");
        }
        assert!(minima > 0);
    }
}
