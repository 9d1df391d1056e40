//! Stage 5 for any second layer: rank-one search among the second differences of a split.
//!
//! Hold the units S, saturate the units T on sides y_T(k), as the peel does. Off the diagonal, where kappa is not,
//!
//! ```text
//! K(k) = G_S B_S diag(c * h''(u(k))) B_S^T G_S = sum_l w_l(k) beta_l beta_l^T,   u_l(k) = b_T,l . y_T(k) + o_l
//! ```
//!
//! so that what is off the diagonals, for all k, spans m1 dimensions and no more, however many that is beside |S|: m1
//! shows as a gap. With all diagonal matrices added the beta_l beta_l^T are in that space, and they are what a rank-one
//! search finds there, beside the axes. The weights w_l(k) then need no more than m1 entries of K at a pattern, and
//! each is a ridge ([`ridge`]): its signs classify the patterns, which gives the row b_T,l. Gradients
//! p(k) = sum_l beta_l c_l h'(u_l(k)) tell the sizes and signs of beta_l and c_l.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::ridge::{self, Ridge};
use super::rows::{self, Design, SecondLayer};
use super::sight::{Looks, Sight};
use super::split::{Patterns, part_way};
use super::tolerances::{
    SPAN_ADDED, SPAN_ENTRIES, SPAN_FIRST_HELD, SPAN_GAP, SPAN_LEAST_HELD, SPAN_MISFIT, SPAN_MORE,
    SPAN_MORE_HELD, SPAN_ONE_SIDED, SPAN_PARALLEL, SPAN_PATTERNS, SPAN_ROUNDS, SPAN_ROW_ERROR,
    SPAN_ROWS, SPAN_SCORE, SPAN_SEARCHES, SPAN_SEEN, SPAN_SHAPE, SPAN_SHOWN, SPAN_SPARE,
    SPAN_SPLITS, SPAN_STARTS, SPAN_SURPRISE,
};
use crate::algebra::linalg::{Cholesky, complement, gram, median, symmetric_eigen, thin_svd};
use crate::algebra::rank_one::{
    most_off_diagonal, off_diagonal, pairs, polish_off_diagonal, search_off_diagonal,
};
use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{PeelFailed, SpanSplit, Spanning};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placer;
use crate::identify::first_layer::unit::Unit;
use crate::identify::first_layer::widths::widened;
use crate::network::Activation;
use crate::oracle::Oracle;
use crate::stage::Stage;

/// The second layer's units as their curvature shows them at many patterns.
pub struct Spanned {
    /// The first layer with the widths that were taken for this.
    pub units: Vec<Unit>,
    /// The units held, and where the others were.
    pub patterns: Patterns,
    /// f at the points.
    values: DVector<f64>,
    /// Gradients along the units held, |S| x K.
    gradients: DMatrix<f64>,
    /// beta_l / |beta_l|, up to sign, |S| x m1.
    directions: DMatrix<f64>,
    /// w_l(k) = c_l |beta_l|^2 h''(u_l(k)), m1 x K.
    w: DMatrix<f64>,
    /// Their errors.
    noise: DMatrix<f64>,
}

/// The second layer along growing S, until the gap shows m1. `attempt` varies the split.
pub fn span(cx: &mut Context<'_>, units: &[Unit]) -> Result<Spanned, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (f, attempt): (&mut dyn Oracle, _) = (*f, *attempt);
    let mut rng = draws::stream(*seed, "span", attempt);
    let units = &widened(f, land, units, &mut rng)?;
    let placer = Placer::new(units, land);
    // Directions must stay free for patterns of T, or two units to vary.
    let beside =
        if placer.any_signs() { units.len() } else { f.input_dim().min(units.len() + 1) - 1 };
    let most = beside.saturating_sub(2);
    let mut tried = Vec::new();
    let first = SPAN_FIRST_HELD.min(beside / 2).max(SPAN_LEAST_HELD).min(most);
    let mut next = (1..=first).rev().find(|&n| most_off_diagonal(n) > 0);
    let mut last = failure(
        "no split into S and T: three first-layer units must be held, and two units and dimensions left",
    );
    let mut wanted: Vec<usize> = Vec::new();
    let mut splits = 0;
    while let Some(size) = next {
        let why = match split(f, (units, &placer), (size, &wanted), &mut rng) {
            Ok((spanned, split)) if split.shown < split.m1 => {
                // Units that decide whether others show at all are held.
                wanted.splice(0..0, spanned.deciding());
                wanted.truncate(size / 2);
                splits += 1;
                next = (splits < SPAN_SPLITS).then_some(size);
                spanned.untold(split.shown)
            }
            Ok((spanned, split)) => {
                evidence.span.push(Spanning { attempt, failed: tried, split: Some(split) });
                return Ok(spanned);
            }
            Err(Stop::Wider { least }) => {
                next = (size + 1..=most).find(|&n| most_off_diagonal(n) >= least);
                let can = most_off_diagonal(most);
                Failure::new(
                    Stage::Peel,
                    match next {
                        Some(_) => format!("second differences span {least} dimensions or more"),
                        None => format!(
                            "the second layer has {least} units or more: with the {most} first-layer units that can be \
                         held at a time their second differences tell {can} apart"
                        ),
                    },
                )
            }
            Err(Stop::Halt(Halt::Failed(failure))) => {
                next = (size < most).then_some((size + SPAN_MORE_HELD).min(most));
                failure
            }
            Err(Stop::Halt(halt)) => return Err(halt),
        };
        tried.push(PeelFailed { held: size, reason: why.reason.clone() });
        last = why.into();
    }
    evidence.span.push(Spanning { attempt, failed: tried, split: None });
    Err(last)
}

/// Why a split did not do.
enum Stop {
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

/// One split.
fn split(
    f: &mut dyn Oracle,
    (units, placer): (&[Unit], &Placer),
    (size, wanted): (usize, &[usize]),
    rng: &mut ChaCha8Rng,
) -> Result<(Spanned, SpanSplit), Stop> {
    let mut sight = Sight::new(f, (units, placer), (size, wanted), rng)?;
    let mut whole = Looks::new(sight.all_pairs());
    let mut rounds = 0;
    let (space, directions, looks) = loop {
        let space = space(&mut sight, &mut whole)?;
        let directions = directions(&space, size, sight.rng)?;
        let pairs = telling_pairs(&directions);
        let looks = rest(&mut sight, &whole, pairs)?;
        // Patterns at which a unit shows that was not seen before.
        let surprises = surprises(&sight, &looks, &directions);
        if surprises.is_empty() || rounds == SPAN_ROUNDS {
            break (space, directions, looks);
        }
        rounds += 1;
        let places: Vec<_> = surprises.iter().map(|&k| looks.places[k].clone()).collect();
        sight.look(&mut whole, places)?;
    };
    let mut spanned = Spanned::of(&sight, &looks, &directions)?;
    let mut looks = looks;
    let mut shown = 0;
    for round in 0..=SPAN_MORE {
        let ridges = spanned.ridges(Activation::Tanh)?;
        let of = ridges.len();
        shown = ridges.iter().flatten().filter(|ridge| is_told(ridge)).count();
        if shown == of || round == SPAN_MORE {
            break;
        }
        let untold: Vec<_> = ridges
            .into_iter()
            .enumerate()
            .filter(|(_, ridge)| !ridge.as_ref().is_some_and(is_told))
            .map(|(l, ridge)| (ridge, spanned.w.row(l).transpose()))
            .collect();
        let more = sight.towards(&looks.places, &untold, looks.places.len());
        if more.is_empty() {
            break;
        }
        sight.look(&mut looks, more)?;
        spanned = Spanned::of(&sight, &looks, &directions)?;
    }
    let row = SpanSplit {
        held: size,
        free: sight.free(),
        patterns: looks.places.len(),
        whole: whole.places.len(),
        m1: directions.ncols(),
        gap: space.gap.ratio,
        error: sight.error,
        step: sight.step,
        shown,
    };
    Ok((spanned, row))
}

/// What the second differences span off the diagonals.
struct Space {
    /// Orthonormal columns, pairs x m1.
    basis: DMatrix<f64>,
    gap: Gap,
}

/// Looks at more patterns until m1 shows.
fn space(sight: &mut Sight<'_>, whole: &mut Looks) -> Result<Space, Stop> {
    let size = sight.size();
    let (most, pairs) = (most_off_diagonal(size), whole.pairs.len());
    loop {
        let (stack, noise) = normalised(sight, whole);
        let count = stack.ncols();
        let spare = SPAN_SPARE.0.max(count / SPAN_SPARE.1);
        if count > spare {
            let svd =
                thin_svd(&stack).ok_or_else(|| failure("second differences are not finite"))?;
            let ranks = 1..=(pairs - 1).min(count - spare);
            let gap = largest_gap(&svd.s, ranks, noise).filter(|gap| gap.ratio > SPAN_GAP);
            match gap {
                Some(gap) if gap.rank <= most => {
                    let basis = svd.u.columns(0, gap.rank).into_owned();
                    return Ok(Space { basis, gap });
                }
                Some(gap) => return Err(Stop::Wider { least: gap.rank }),
                None if count - spare >= pairs => return Err(Stop::Wider { least: pairs }),
                None => {}
            }
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

/// Second differences of unit norm, those at their error left out, and what errors make of their singular values at most.
fn normalised(sight: &Sight<'_>, looks: &Looks) -> (DMatrix<f64>, f64) {
    let root = (looks.pairs.len() as f64).sqrt();
    let share = |k: usize| {
        let place = &looks.places[k];
        sight.error_at(place) * root / looks.second[k].norm() + sight.astray(place)
    };
    let shares: Vec<f64> = (0..looks.places.len()).map(share).collect();
    let usual = median(&shares).unwrap_or(0.0);
    let most = SPAN_SEEN.0.min(SPAN_SEEN.1 * usual);
    let kept: Vec<usize> = (0..shares.len()).filter(|&k| shares[k] <= most).collect();
    if kept.is_empty() {
        return (DMatrix::zeros(looks.pairs.len(), 0), 0.0);
    }
    let units: Vec<DVector<f64>> = kept.iter().map(|&k| looks.second[k].normalize()).collect();
    let errors: f64 = kept.iter().map(|&k| shares[k].powi(2)).sum();
    (DMatrix::from_columns(&units), errors.sqrt())
}

/// beta_l / |beta_l| as columns, up to sign.
fn directions(space: &Space, size: usize, rng: &mut ChaCha8Rng) -> Result<DMatrix<f64>, Halt> {
    let m1 = space.basis.ncols();
    let mut found: Vec<(f64, DVector<f64>)> = Vec::new();
    for _ in 0..SPAN_SEARCHES {
        let mut starts = draws::gaussian(rng, size, SPAN_STARTS * (m1 + size));
        if !found.is_empty() {
            starts = DMatrix::from_columns(
                &starts
                    .column_iter()
                    .map(|s| s.into_owned())
                    .chain(beside(&space.basis, &found, rng))
                    .collect::<Vec<_>>(),
            );
        }
        for candidate in search_off_diagonal(&space.basis, &starts) {
            if candidate.score < SPAN_SCORE {
                continue;
            }
            let polished = polish_off_diagonal(&space.basis, &candidate.direction);
            if let Some((u, distance)) = polished
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
            "the second differences along {size} held units show m1 = {m1}, but only {} directions were found in \
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
    found: &[(f64, DVector<f64>)],
    rng: &mut ChaCha8Rng,
) -> Vec<DVector<f64>> {
    let known: Vec<DVector<f64>> =
        found.iter().map(|(_, u)| basis.tr_mul(&off_diagonal(u))).collect();
    let rest = complement(&DMatrix::from_columns(&known));
    let size = found[0].1.len();
    let matrices = (0..SPAN_STARTS).filter(|_| rest.ncols() > 0).map(|_| {
        let v = basis * (&rest * draws::unit_vector(rng, rest.ncols()));
        let mut matrix = DMatrix::zeros(size, size);
        for ((i, j), v) in pairs(size).zip(v.iter()) {
            (matrix[(i, j)], matrix[(j, i)]) = (*v, *v);
        }
        matrix
    });
    matrices
        .filter_map(|matrix| Some(symmetric_eigen(&matrix)?.vectors))
        .flat_map(|vectors| vectors.column_iter().map(|v| v.into_owned()).collect::<Vec<_>>())
        .collect()
}

/// Entries that tell the weights of the `directions`: as many as these, the most independent ones, and as many more as
/// show errors.
fn telling_pairs(directions: &DMatrix<f64>) -> Vec<usize> {
    let rows = design(directions).transpose();
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

/// What is off the diagonals of the direction's rank-one matrices, pairs x m1.
fn design(directions: &DMatrix<f64>) -> DMatrix<f64> {
    let columns: Vec<_> = directions.column_iter().map(|u| off_diagonal(&u.into_owned())).collect();
    DMatrix::from_columns(&columns)
}

/// The entries chosen, at the patterns already looked at and as many more as rows need.
fn rest(sight: &mut Sight<'_>, whole: &Looks, chosen: Vec<usize>) -> Result<Looks, Halt> {
    let mut looks = whole.only(&chosen);
    let wanted = SPAN_ROWS.0 * sight.unknowns() + SPAN_ROWS.1;
    let more = sight.draw(&looks.places, wanted.saturating_sub(looks.places.len()));
    sight.look(&mut looks, more)?;
    Ok(looks)
}

/// Patterns whose second differences the directions do not make up.
fn surprises(sight: &Sight<'_>, looks: &Looks, directions: &DMatrix<f64>) -> Vec<usize> {
    let design = design(directions).select_rows(&looks.indices);
    let Some(svd) = thin_svd(&design) else { return Vec::new() };
    let left = |k: usize| {
        let second = &looks.second[k];
        let left = second - &svd.u * svd.u.tr_mul(second);
        let (place, root) = (&looks.places[k], (second.len() as f64).sqrt());
        let share = SPAN_SURPRISE.1 + sight.astray(place);
        left.norm() / (sight.error_at(place) * root + second.norm() * share)
    };
    let mut seen: Vec<(f64, usize)> = (0..looks.second.len()).map(|k| (left(k), k)).collect();
    seen.retain(|seen| seen.0 > SPAN_SURPRISE.0);
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    seen.into_iter().take(SPAN_ADDED).map(|seen| seen.1).collect()
}

fn is_told(ridge: &Ridge) -> bool {
    ridge.misfit < SPAN_MISFIT && ridge.error < SPAN_ROW_ERROR * (1.0 + ridge.inputs.amax())
}

impl Spanned {
    fn of(sight: &Sight<'_>, looks: &Looks, directions: &DMatrix<f64>) -> Result<Self, Halt> {
        let design = design(directions).select_rows(&looks.indices);
        let (dual, _) = crate::algebra::linalg::dual(&design)
            .ok_or_else(|| failure("the directions of the second layer are dependent"))?;
        let columns: Vec<DVector<f64>> = looks.second.iter().map(|k| dual.tr_mul(k)).collect();
        Ok(Spanned {
            units: sight.units().to_vec(),
            patterns: sight.patterns(&looks.places),
            values: DVector::from_column_slice(&looks.values),
            gradients: DMatrix::from_columns(&looks.first),
            directions: directions.clone(),
            w: DMatrix::from_columns(&columns),
            noise: DMatrix::from_fn(dual.ncols(), columns.len(), |l, k| {
                let place = &looks.places[k];
                let off = sight.error_at(place) + sight.astray(place) * looks.second[k].amax();
                off * dual.column(l).norm()
            }),
        })
    }

    /// m1.
    pub fn width(&self) -> usize {
        self.directions.ncols()
    }

    fn ridges(&self, h: Activation) -> Result<Vec<Option<Ridge>>, Halt> {
        let design = rows::design(&self.patterns)?;
        let Design { matrix, free, between } = &design;
        // Where units are part-way, a unit of about the shape of a transition is a start with few unknowns.
        let about = |level: f64| if part_way(level) { (SPAN_SHAPE * level).tanh() } else { level };
        let few = (!between.is_empty()).then(|| {
            let places = &self.patterns.places;
            DMatrix::from_fn(places.len(), free.len() + 1, |k, j| {
                free.get(j).map_or(1.0, |&unit| about(places[k].signs[unit]))
            })
        });
        let spread_out = |ridge: Ridge| {
            let row = |unit: usize| free.iter().position(|&j| j == unit);
            let inputs = DVector::from_fn(matrix.ncols(), |column, _| {
                if let Some((unit, level)) =
                    column.checked_sub(free.len()).and_then(|n| between.get(n))
                {
                    row(*unit).map_or(0.0, |row| ridge.inputs[row] * about(*level))
                } else {
                    ridge.inputs[column.min(free.len())]
                }
            });
            Ridge { inputs, ..ridge }
        };
        let each = (0..self.width()).into_par_iter().map(|l| {
            let (w, noise) = (self.w.row(l).transpose(), self.noise.row(l).transpose());
            let seen = (&w, &noise);
            let hint = few.as_ref().and_then(|few| ridge::fit(few, seen, h, None));
            ridge::fit(matrix, seen, h, hint.map(spread_out).as_ref())
        });
        Ok(each.collect())
    }

    fn untold(&self, told: usize) -> Failure {
        let (m1, count) = self.w.shape();
        Failure::new(
            Stage::Peel,
            format!(
                "{m1} units of the second layer were seen, but {count} patterns of saturation tell the rows of {told} only"
            ),
        )
    }

    /// Free units on one side of which units that are not told do not show, those first which matter most.
    fn deciding(&self) -> Vec<usize> {
        let held = &self.patterns.held;
        let places = &self.patterns.places;
        let free = (0..places[0].signs.len()).filter(|j| !held.contains(j));
        let mut weighed: Vec<(f64, usize)> = free
            .map(|j| {
                let mean = |l: usize| {
                    let w = self.w.row(l);
                    let least = SPAN_SHOWN * w.amax();
                    let (mut sum, mut count) = (0.0, 0.0);
                    for (w, place) in w.iter().zip(places) {
                        if w.abs() > least {
                            sum += place.signs[j];
                            count += 1.0;
                        }
                    }
                    (sum / count).abs()
                };
                ((0..self.width()).map(mean).fold(0.0, f64::max), j)
            })
            .collect();
        weighed.retain(|weighed| weighed.0 > SPAN_ONE_SIDED);
        weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
        weighed.into_iter().map(|weighed| weighed.1).collect()
    }

    /// Scales, inputs and free rows of the second layer, for its activation h.
    pub fn second_layer(&self, h: Activation) -> Result<SecondLayer, Halt> {
        let m1 = self.width();
        let Design { matrix: design, free, .. } = rows::design(&self.patterns)?;
        let ridges: Vec<Ridge> = self.ridges(h)?.into_iter().flatten().collect();
        let told = ridges.iter().filter(|ridge| is_told(ridge)).count();
        if told < m1 {
            return Err(self.untold(told).into());
        }
        let inputs: Vec<DVector<f64>> = ridges.iter().map(|ridge| ridge.inputs.clone()).collect();
        let u = (&design * DMatrix::from_columns(&inputs)).transpose();
        let strengths = self.strengths(&u, h)?;
        let mut beta = self.directions.clone();
        let mut c = DVector::zeros(m1);
        for (l, ridge) in ridges.iter().enumerate() {
            // sigma = c rho^2, and the gradients have c rho.
            let rho = ridge.sigma / strengths[l];
            beta.column_mut(l).scale_mut(rho);
            c[l] = ridge.sigma / (rho * rho);
        }
        let b_free = DMatrix::from_fn(free.len(), m1, |row, l| inputs[l][row]);
        let offset = DVector::from_fn(m1, |l, _| inputs[l][design.ncols() - 1]);
        let logs: f64 = ridges.iter().map(|r| r.misfit.max(f64::MIN_POSITIVE).ln()).sum();
        let affinity = ridges.iter().map(|ridge| ridge.misfit).fold(0.0, f64::max);
        let misfit = (logs / m1 as f64).exp();
        let mut out = SecondLayer { beta, b_free, free, offset, u, c, c0: 0.0, affinity, misfit };
        out.fit_outputs(&self.values, h);
        Ok(out)
    }

    /// c_l rho_l for beta_l = rho_l (direction l), by the gradients.
    fn strengths(&self, u: &DMatrix<f64>, h: Activation) -> Result<DVector<f64>, Halt> {
        let slopes = u.map(|u| h.slope(u)).transpose();
        let square = gram(&slopes.transpose()).component_mul(&gram(&self.directions.transpose()));
        let along = self.directions.tr_mul(&self.gradients);
        let pull =
            DVector::from_fn(self.width(), |l, _| along.row(l).transpose().dot(&slopes.column(l)));
        let factor = Cholesky::new(&square);
        let strengths = factor.map(|factor| factor.solve(&pull));
        strengths
            .filter(|s| s.iter().all(|s| s.is_finite() && *s != 0.0))
            .ok_or_else(|| failure("the gradients do not tell the second layer's units apart"))
    }
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}
