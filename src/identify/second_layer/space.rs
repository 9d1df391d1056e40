//! What mixed differences at many patterns span, and the rank-one directions in it.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::sight::{Entries, Looks, Sight};
use super::tolerances::{
    CUBES_STARTS, SPAN_DISTANCE, SPAN_GAP, SPAN_MOST_PATTERNS, SPAN_PARALLEL, SPAN_PATTERNS,
    SPAN_SCORE, SPAN_SEARCHES, SPAN_SEEN, SPAN_SPARE, SPAN_STARTS,
};
use crate::algebra::linalg::{complement, median, symmetric_eigen, thin_svd};
use crate::algebra::rank_one::{entries_of, polish, search_distinct, search_off_diagonal};
use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::evidence::reported;
use crate::identify::failure::{Failure, Halt};
use crate::stage::Stage;

/// Why a split did not do.
pub enum Stop {
    /// What it spans has so many dimensions at least, more than it can tell apart.
    Wider {
        least: usize,
    },
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Stop::Halt(halt)
    }
}

/// What the differences span.
pub struct Space {
    /// Orthonormal columns, entries x m1.
    pub basis: DMatrix<f64>,
    /// How far the singular values fall there.
    pub gap: Gap,
    /// The leading ones.
    pub singular_values: Vec<f64>,
}

/// Looks at more patterns until m1 shows, `most` at most.
pub fn space(sight: &mut Sight<'_>, whole: &mut Looks, most: usize) -> Result<Space, Stop> {
    let (size, entries) = (sight.size(), whole.entries.len());
    loop {
        let (stack, noise) = normalised(sight, whole);
        let count = stack.ncols();
        let spare = SPAN_SPARE.0.max(count / SPAN_SPARE.1);
        if count > spare {
            let svd =
                thin_svd(&stack).ok_or_else(|| failure("mixed differences are not finite"))?;
            let ranks = 1..=(entries - 1).min(count - spare);
            let least = SPAN_GAP[usize::from(sight.is_coarse())];
            let gap = largest_gap(&svd.s, ranks, noise).filter(|gap| gap.ratio > least);
            match gap {
                Some(gap) if gap.rank <= most => {
                    let basis = svd.u.columns(0, gap.rank).into_owned();
                    return Ok(Space { basis, gap, singular_values: reported(&svd.s) });
                }
                Some(gap) => return Err(Stop::Wider { least: gap.rank }),
                None if count - spare >= entries => return Err(Stop::Wider { least: entries }),
                None => {}
            }
        }
        if whole.places.len() > SPAN_MOST_PATTERNS * (entries + SPAN_PATTERNS) {
            return Err(Stop::Halt(failure(format!(
                "of {} patterns of saturation only {count} show mixed differences along {size} held units well above \
                 their error: the second layer is saturated nearly everywhere, or the values are too inaccurate",
                whole.places.len()
            ))));
        }
        let wanted = SPAN_PATTERNS.max(whole.places.len() / 2);
        let more = sight.draw(&whole.places, wanted);
        if more.len() < wanted.div_ceil(2) {
            return Err(Stop::Halt(failure(format!(
                "{} patterns of saturation, all that were found with {size} units held, do not show m1",
                whole.places.len()
            ))));
        }
        sight.look(whole, more)?;
    }
}

/// Differences of unit norm, those at their error left out, and what errors make of their singular values at most.
fn normalised(sight: &Sight<'_>, looks: &Looks) -> (DMatrix<f64>, f64) {
    let root = (looks.entries.len() as f64).sqrt();
    let share = |k: usize| {
        let place = &looks.places[k];
        looks.differences.error_at(place) * root / looks.mixed[k].norm() + sight.astray(place)
    };
    let shares: Vec<f64> = (0..looks.places.len()).map(share).collect();
    let usual = median(&shares).unwrap_or(0.0);
    let most = SPAN_SEEN.0.min(SPAN_SEEN.1 * usual);
    let kept: Vec<usize> = (0..shares.len()).filter(|&k| shares[k] <= most).collect();
    if kept.is_empty() {
        return (DMatrix::zeros(looks.entries.len(), 0), 0.0);
    }
    let units: Vec<DVector<f64>> = kept.iter().map(|&k| looks.mixed[k].normalize()).collect();
    let errors: f64 = kept.iter().map(|&k| shares[k].powi(2)).sum::<f64>().sqrt();
    let largest = if sight.is_coarse() {
        // Of errors that are unrelated the largest singular value is less than all of them together: where these are near
        // what is to be seen that counts.
        let (rows, columns) = (looks.entries.len() as f64, kept.len() as f64);
        errors * (rows.sqrt() + columns.sqrt()) / (rows * columns).sqrt()
    } else {
        errors
    };
    (DMatrix::from_columns(&units), largest)
}

/// beta_l / |beta_l| as columns, up to sign.
pub fn directions(
    space: &Space,
    entries: &Entries,
    sight: &mut Sight<'_>,
) -> Result<DMatrix<f64>, Halt> {
    let (m1, size) = (space.basis.ncols(), sight.size());
    // Errors turn the span by about their share of its least singular value.
    let turned = if sight.is_coarse() { space.gap.ratio.powi(-2) } else { 0.0 };
    let (distance_allowed, rng) = (SPAN_DISTANCE.max(turned), &mut *sight.rng);
    let mut found: Vec<(f64, DVector<f64>)> = Vec::new();
    for _ in 0..SPAN_SEARCHES {
        let limits = match entries {
            Entries::Second(pairs) => {
                let mut starts = beside(&space.basis, pairs, &found, rng);
                let count = SPAN_STARTS * (m1 + size);
                starts.extend((0..count).map(|_| draws::unit_vector(rng, size)));
                search_off_diagonal(&space.basis, &DMatrix::from_columns(&starts))
            }
            Entries::Third(triples) => {
                let starts = draws::gaussian(rng, size, CUBES_STARTS * m1);
                search_distinct(&space.basis, triples, &starts)
            }
        };
        for candidate in limits.iter().filter(|limit| limit.score >= SPAN_SCORE - turned) {
            let polished = match entries {
                Entries::Second(pairs) => polish(&space.basis, pairs, &candidate.direction),
                Entries::Third(triples) => polish(&space.basis, triples, &candidate.direction),
            };
            if let Some((u, distance)) = polished
                && distance < distance_allowed
                && found.iter().all(|(_, other)| other.dot(&u).abs() < SPAN_PARALLEL)
            {
                found.push((distance, u));
            }
        }
        if found.len() >= m1 {
            break;
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    if found.len() < m1 {
        return Err(failure(format!(
            "the differences along {size} held units show m1 = {m1}, but only {} directions were found in \
             their span: two units of the second layer may be parallel there",
            found.len()
        )));
    }
    let columns: Vec<_> = found.into_iter().take(m1).map(|found| found.1).collect();
    Ok(DMatrix::from_columns(&columns))
}

/// Eigenvectors of matrices of the span, with a diagonal of 0, that are orthogonal to those of the directions `found`: what is not
/// found yet is large there.
fn beside(
    basis: &DMatrix<f64>,
    pairs: &[[usize; 2]],
    found: &[(f64, DVector<f64>)],
    rng: &mut ChaCha8Rng,
) -> Vec<DVector<f64>> {
    let Some(size) = found.first().map(|found| found.1.len()) else { return Vec::new() };
    let known: Vec<DVector<f64>> =
        found.iter().map(|(_, u)| basis.tr_mul(&entries_of(u, pairs))).collect();
    let rest = complement(&DMatrix::from_columns(&known));
    let matrices = (0..SPAN_STARTS).filter(|_| rest.ncols() > 0).map(|_| {
        let v = basis * (&rest * draws::unit_vector(rng, rest.ncols()));
        let mut matrix = DMatrix::zeros(size, size);
        for (&[i, j], v) in pairs.iter().zip(v.iter()) {
            (matrix[(i, j)], matrix[(j, i)]) = (*v, *v);
        }
        matrix
    });
    matrices
        .filter_map(|matrix| Some(symmetric_eigen(&matrix)?.vectors))
        .flat_map(|vectors| vectors.column_iter().map(|v| v.into_owned()).collect::<Vec<_>>())
        .collect()
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::rank_one::{most_off_diagonal, pairs};
    use crate::identify::first_layer::place::Placer;
    use crate::identify::first_layer::units::tests::units_of;
    use crate::identify::second_layer::weights::telling;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn the_gap_is_the_width_and_no_pattern_at_its_error_counts() {
        let truth = TwoLayer::random((12, 12, 7), Class::General, Activation::Tanh, 3).unwrap();
        let (units, mut f) = (units_of(&truth), NetworkOracle::new(truth));
        let placer = Placer::new(&units, &Landscape::unit(1e-16, 1e-16));
        let rng = &mut draws::stream(1, "gap", 0);
        let most = most_off_diagonal(7);
        let (mut sight, differences) =
            Sight::new(&mut f, (&units, &placer), (7, &[3, 5], most), rng).unwrap();
        let mut whole = Looks::new(Entries::Second(pairs(7)), differences);
        let Ok(found) = space(&mut sight, &mut whole, most) else { panic!("no gap") };
        assert_eq!((found.gap.rank, found.basis.shape()), (7, (21, 7)));
        assert!(found.gap.ratio > 1e3, "{}", found.gap.ratio);
        assert!([3, 5].iter().all(|j| sight.patterns(&whole.places).held.contains(j)));
        // A pattern that shows nothing but errors is left out.
        let count = normalised(&sight, &whole).0.ncols();
        whole.mixed[0].fill(differences.error);
        assert_eq!(normalised(&sight, &whole).0.ncols(), count - 1);
        // Each direction makes up its share, and the entries chosen tell all of them.
        let found = directions(&found, &whole.entries, &mut sight).unwrap();
        let chosen = telling(&found, &whole.entries);
        let some = whole.entries.of(&found).select_rows(&chosen);
        assert!(some.nrows() < 21 && some.rank(1e-6) == 7);
    }
}
