//! Which second differences tell the weights of known directions, and what they do not make up.

use nalgebra::{DMatrix, DVector};

use super::sight::{Differences, Entries, Looks, Sight};
use super::tolerances::{SPAN_ADDED, SPAN_ENTRIES, SPAN_SURPRISE};
use crate::algebra::linalg::{Cholesky, complement, thin_svd};
use crate::algebra::rank_one::pairs;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placement;
use crate::stage::Stage;

/// Those of the entries that tell the weights of the `directions`: as many as these, the most independent ones, and as many
/// more as show errors.
pub fn telling(directions: &DMatrix<f64>, entries: &Entries) -> Vec<usize> {
    let rows = entries.of(directions).transpose();
    let most = rows.ncols();
    let m1 = directions.ncols();
    let wanted = ((SPAN_ENTRIES.0 * m1 as f64) as usize + SPAN_ENTRIES.1).min(most);
    let mut chosen = Vec::new();
    let mut residual = rows.clone();
    let mut rest: Vec<usize> = (0..most).collect();
    while chosen.len() < wanted {
        if chosen.len() % m1 == 0 {
            residual = rows.clone();
        }
        let norm = |&k: &usize| residual.column(k).norm_squared();
        let Some(at) = (0..rest.len()).max_by(|&a, &b| norm(&rest[a]).total_cmp(&norm(&rest[b])))
        else {
            break;
        };
        let pick = rest.swap_remove(at);
        chosen.push(pick);
        if let Some(q) = residual.column(pick).try_normalize(0.0) {
            let along = residual.tr_mul(&q);
            residual.ger(-1.0, &q, &along, 1.0);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Second differences at `places` of which the `directions` tell the weights, where they are too many for those along pairs alone:
/// those along one unit have more, of that unit's own curvature, one number for each unit at all places, which
/// shows in what the directions do not make up.
pub fn weighing(
    sight: &mut Sight<'_>,
    (places, differences): (&[Placement], Differences),
    directions: &DMatrix<f64>,
) -> Result<Looks, Halt> {
    let size = sight.size();
    sight.bends = None;
    let twice = (0..size).map(|i| [i, i]);
    let entries: Vec<[usize; 2]> = pairs(size).into_iter().chain(twice).collect();
    let different = entries.len() - size;
    let mut looks = Looks::new(Entries::Second(entries), differences);
    sight.look(&mut looks, places.to_vec())?;
    // Entries x (entries - m1).
    let beside = complement(&looks.entries.of(directions));
    let own = beside.rows(different, size);
    let (mut square, mut pull) = (DMatrix::zeros(size, size), DVector::zeros(size));
    for (k, place) in looks.places.iter().enumerate() {
        let weight = differences.error_at(place).recip();
        let design = DMatrix::from_diagonal(&looks.first[k]) * own * weight;
        let left = beside.tr_mul(&looks.mixed[k]) * weight;
        square += &design * design.transpose();
        pull += &design * left;
    }
    let factor = Cholesky::new(&square);
    let bends = factor.map(|factor| factor.solve(&pull)).ok_or_else(|| {
        failure("second differences do not tell the curvatures of the units held")
    })?;
    looks.straighten(&bends);
    sight.bends = Some(bends);
    Ok(looks.only(&telling(directions, &looks.entries)))
}

/// Patterns whose second differences the directions do not make up.
pub fn surprises(sight: &Sight<'_>, looks: &Looks, directions: &DMatrix<f64>) -> Vec<usize> {
    let design = looks.entries.of(directions);
    let Some(svd) = thin_svd(&design) else { return Vec::new() };
    let left = |k: usize| {
        let mixed = &looks.mixed[k];
        let left = mixed - &svd.u * svd.u.tr_mul(mixed);
        let (place, root) = (&looks.places[k], (mixed.len() as f64).sqrt());
        let share = SPAN_SURPRISE.1 + sight.astray(place);
        left.norm() / (looks.differences.error_at(place) * root + mixed.norm() * share)
    };
    let mut seen: Vec<(f64, usize)> = (0..looks.mixed.len()).map(|k| (left(k), k)).collect();
    seen.retain(|seen| seen.0 > SPAN_SURPRISE.0);
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    seen.into_iter().take(SPAN_ADDED).map(|seen| seen.1).collect()
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}
