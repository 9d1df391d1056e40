//! How wide the transitions of the first layer are where the second one is steep.
//!
//! A steep unit of the second layer changes within a small part of the transition of a first-layer unit, and f shows
//! no more of it: the width seen is too small, and what was to be saturated by it is not. Over many patterns of
//! the others different parts show; the farthest from the middle counts.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;

use super::place::Placer;
use super::tolerances::{WIDTH_LEVELS, WIDTH_PLACES, WIDTH_SAFE, WIDTH_SHARE, WIDTH_TAIL};
use super::unit::Unit;
use crate::identify::failure::Halt;
use crate::identify::survey::landscape::Landscape;
use crate::oracle::Oracle;

/// The units, of which some are wider.
pub fn widened(
    f: &mut dyn Oracle,
    land: &Landscape,
    units: &[Unit],
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Unit>, Halt> {
    let safe = |unit: &Unit| Unit { half_width: WIDTH_SAFE * unit.half_width, ..unit.clone() };
    let placer = Placer::new(&units.iter().map(safe).collect::<Vec<_>>(), land);
    let mut out = units.to_vec();
    for (i, unit) in out.iter_mut().enumerate() {
        let Some(moves) = placer.moves(&[i]) else { continue };
        let along = moves.column(0) / WIDTH_SAFE;
        let line = (&along, WIDTH_LEVELS[WIDTH_LEVELS.len() - 1]);
        let places = (0..WIDTH_PLACES)
            .filter_map(|_| placer.saturate_along(&[i], &[unit.centre], line, rng));
        let columns: Vec<_> = places
            .flat_map(|place| {
                let at = |level: f64| &place.point + &along * level;
                [1.0, -1.0].map(|side| WIDTH_LEVELS.map(|level| at(side * level))).concat()
            })
            .collect();
        if columns.is_empty() {
            continue;
        }
        let points = DMatrix::from_columns(&columns);
        let values = f.values(&points)?;
        let farthest = points.column_iter().map(|x| x.norm()).fold(0.0, f64::max);
        let least = WIDTH_SHARE * land.spread + land.noise_at(farthest);
        let ends = values.as_slice().chunks_exact(WIDTH_LEVELS.len()).map(|side| {
            let last = side[side.len() - 1];
            let shown = side.iter().rposition(|value| (value - last).abs() > least);
            shown.map_or(0.0, |at| WIDTH_LEVELS[at])
        });
        unit.half_width *= (ends.fold(0.0, f64::max) / WIDTH_TAIL).max(1.0);
    }
    Ok(out)
}
