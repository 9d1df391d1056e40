//! Fewer dimensions first: f depends on x through A^T x alone, so for d > m0 every gradient lies in
//! the m0-dimensional range of A, and all later stages run there.

use nalgebra::{DMatrix, DVector};

use super::landscape::Landscape;
use super::line;
use super::tolerances::{
    CHECK_INNER_SCALES, CHECK_SCALES, CHECKS, CLEAR_GRADIENT, GRADIENT_NOISE, GRADIENT_STEPS,
    LEAST_OUTSIDE, NOTABLE_CHANGE, RANGE_ACCURATE, RANGE_CENTRES, RANGE_FIRST, RANGE_GAP,
    RANGE_GROWTH, RANGE_NOISE, RANGE_ROUNDING, RANGE_SCALES, RANGE_SPARE, RANGE_TRUNCATION,
    SURE_CHANGE,
};
use crate::algebra::linalg::thin_svd;
use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{RangeFound, reported};
use crate::identify::failure::Halt;
use crate::oracle::{Oracle, OracleError};
use crate::stencil::{self, GradientScheme};

/// Gradients by which the range is told: where, and by which differences.
pub struct Sampling {
    /// Where, d x n; they are asked in this order, and as few of them as tell the range.
    centres: DMatrix<f64>,
    /// How many are asked at first.
    first: usize,
    scheme: GradientScheme,
    /// The step.
    pub h: f64,
}

impl Sampling {
    /// Over several scales: near the origin all units are active, farther out one at a time.
    pub fn wide(d: usize, land: &Landscape, seed: u64) -> Self {
        let mut rng = draws::stream(seed, "reduce", 0);
        let mut centres = draws::gaussian(&mut rng, d, RANGE_CENTRES.0 * d + RANGE_CENTRES.1);
        for (k, mut centre) in centres.column_iter_mut().enumerate() {
            centre *= land.scale * 2f64.powi(k as i32 % RANGE_SCALES);
        }
        // Truncation h^2 or h^4 against noise / h, for a function of this scale and spread.
        let noise = land.noise_near / land.spread;
        let (scheme, share) = if noise <= RANGE_ACCURATE {
            (GradientScheme::Central2, noise.cbrt())
        } else {
            (GradientScheme::Central4, noise.powf(0.2))
        };
        Sampling { centres, first: RANGE_FIRST, scheme, h: land.scale * share }
    }

    /// At all of the `centres`, f varying over lengths of `scale`.
    pub fn all(centres: DMatrix<f64>, land: &Landscape, scale: f64) -> Self {
        let h = scale * (land.noise_near / land.spread).powf(0.2);
        Sampling { first: centres.ncols(), centres, scheme: GradientScheme::Central4, h }
    }

    /// The gradients that are asked at first.
    pub fn gradients(&self, f: &mut dyn Oracle) -> Result<DMatrix<f64>, OracleError> {
        self.at(f, 0, self.first)
    }

    fn at(
        &self,
        f: &mut dyn Oracle,
        first: usize,
        end: usize,
    ) -> Result<DMatrix<f64>, OracleError> {
        let d = self.centres.nrows();
        let centres = self.centres.columns(first, end - first).into_owned();
        let identity = DMatrix::identity(d, d);
        stencil::gradients(&mut |x| f.values(x), &centres, &identity, self.scheme, self.h)
    }
}

/// Orthonormal basis Q (d x k) of the range of the gradients, of which the `first` of the `sampling` are known; the
/// identity where no clear gap shows that k < d, or where k is more than `most`.
pub fn reduce(
    cx: &mut Context<'_>,
    sampling: &Sampling,
    first: DMatrix<f64>,
    most: usize,
) -> Result<DMatrix<f64>, Halt> {
    let basis = range(cx, sampling, first, most)?;
    completed(cx, basis)
}

/// The range with what its gradients have missed: a steep unit is active at few points only, but f(x) and
/// f(Q Q^T x) lie on different sides of its hyperplane often enough, and between them is its gradient.
fn completed(cx: &mut Context<'_>, mut basis: DMatrix<f64>) -> Result<DMatrix<f64>, Halt> {
    let Context { f, land, seed, .. } = cx;
    let (f, land, seed): (&mut dyn Oracle, _, _) = (*f, *land, *seed);
    let d = basis.nrows();
    let mut added = 0;
    let mut rng = draws::stream(seed, "reduce completed", 0);
    while basis.ncols() < d {
        let mut points = draws::gaussian(&mut rng, d, CHECKS);
        for (k, mut x) in points.column_iter_mut().enumerate() {
            x *= land.scale * 2f64.powi(k as i32 % CHECK_SCALES - CHECK_INNER_SCALES);
        }
        let within = &basis * basis.tr_mul(&points);
        let change = f.values(&points)? - f.values(&within)?;
        let noise = |k: usize| land.noise_at(points.column(k).norm());
        let least = |k: usize| (SURE_CHANGE * noise(k)).max(NOTABLE_CHANGE * land.spread);
        let Some(k) = (0..CHECKS)
            .filter(|&k| change[k].abs() > least(k))
            .max_by(|&a, &b| change[a].abs().total_cmp(&change[b].abs()))
        else {
            break;
        };
        let origin = within.column(k).into_owned();
        let path = points.column(k) - &origin;
        let transition = line::locate(f, &origin, &path, (0.0, 1.0), None, SURE_CHANGE * noise(k))?;
        let Some(transition) = transition else { break };
        let at = &origin + &path * transition.centre;
        // The half width is a share of the path.
        let h = transition.half_width
            * path.norm()
            * (noise(k) / transition.variation).powf(0.2).clamp(GRADIENT_STEPS.0, GRADIENT_STEPS.1);
        let at = DMatrix::from_column_slice(d, 1, at.as_slice());
        let identity = DMatrix::identity(d, d);
        let scheme = GradientScheme::Central4;
        let gradient = stencil::gradients(&mut |x| f.values(x), &at, &identity, scheme, h)?;
        let gradient = gradient.column(0).into_owned();
        let outside = &gradient - &basis * basis.tr_mul(&gradient);
        if outside.norm() <= LEAST_OUTSIDE * gradient.norm() {
            break;
        }
        let mut columns: Vec<DVector<f64>> =
            basis.column_iter().map(|column| column.into_owned()).collect();
        columns.push(outside.normalize());
        basis = DMatrix::from_columns(&columns).qr().q();
        added += 1;
    }
    if added > 0 {
        let dimension = basis.ncols();
        cx.evidence.reduce.push(RangeFound { dimension, added: Some(added), ..Default::default() });
    }
    // All of the space is best seen in its own coordinates.
    Ok(if basis.ncols() == d { DMatrix::identity(d, d) } else { basis })
}

/// The same without what the gradients miss.
pub fn range(
    cx: &mut Context<'_>,
    sampling: &Sampling,
    first: DMatrix<f64>,
    most: usize,
) -> Result<DMatrix<f64>, Halt> {
    let Context { f, land, evidence, .. } = cx;
    let d = f.input_dim();
    let identity = DMatrix::identity(d, d);
    if d == 1 {
        return Ok(identity);
    }
    let most = most.min(d - 1);
    let (all, h) = (sampling.centres.ncols(), sampling.h);
    let noise = GRADIENT_NOISE * land.noise_near / h * (d as f64).sqrt();
    let mut asked = first.ncols();
    let mut gradients = Clear::default();
    gradients.add(&first, noise);
    loop {
        let last = asked == all;
        let Some(seen) = gradients.seen(d) else { return Ok(identity) };
        let mut found = RangeFound {
            dimension: d,
            gap: seen.gap.map(|g| g.ratio),
            step: Some(h),
            singular_values: seen.singular_values,
            smallest: seen.smallest,
            allowed: Some(seen.allowed),
            ..Default::default()
        };
        if let Some(gap) = seen.gap.filter(|gap| gap.ratio > RANGE_GAP && seen.rank <= gap.rank) {
            found.dimension = gap.rank;
            evidence.reduce.push(found);
            return Ok(seen.basis.columns(0, gap.rank).into_owned());
        }
        if seen.rank > most || last {
            if last && gradients.columns.len() < d {
                found.reason = Some("too few gradients above the noise");
            } else if most < d - 1 {
                found.reason = Some("more dimensions than are worth it");
            }
            evidence.reduce.push(found);
            return Ok(identity);
        }
        // One more than `most` may show that it is too few.
        let next = asked * RANGE_GROWTH.0 / RANGE_GROWTH.1;
        let next = if asked <= most { next.min(most + 1) } else { next };
        let next = next.clamp(asked + 1, all);
        gradients.add(&sampling.at(*f, asked, next)?, noise);
        asked = next;
    }
}

/// Unit gradients, of those above the noise.
#[derive(Default)]
struct Clear {
    columns: Vec<DVector<f64>>,
    /// Square of what noise alone puts into a direction that no gradient has.
    tail: f64,
}

/// What unit gradients span.
struct Span {
    /// Leading directions first.
    basis: DMatrix<f64>,
    /// Where their singular values fall most, with some gradients to spare.
    gap: Option<Gap>,
    /// How many of them stand above what is allowed to be none.
    rank: usize,
    /// What is allowed to be none.
    allowed: f64,
    /// The leading singular values.
    singular_values: Vec<f64>,
    /// The least one.
    smallest: Option<f64>,
}

impl Clear {
    fn add(&mut self, gradients: &DMatrix<f64>, noise: f64) {
        for gradient in gradients.column_iter() {
            let norm = gradient.norm();
            if norm > CLEAR_GRADIENT * noise {
                self.columns.push(gradient / norm);
                self.tail += (noise / norm).powi(2);
            }
        }
    }

    /// `None` if they are not finite.
    fn seen(&self, d: usize) -> Option<Span> {
        let count = self.columns.len();
        if count == 0 {
            let basis = DMatrix::zeros(d, 0);
            let singular_values = Vec::new();
            let (gap, smallest) = (None, None);
            return Some(Span { basis, gap, rank: 0, allowed: 0.0, singular_values, smallest });
        }
        let svd = thin_svd(&DMatrix::from_columns(&self.columns))?;
        let most = (d - 1).min(count.saturating_sub(RANGE_SPARE));
        let gap = largest_gap(&svd.s, 1..=most, RANGE_ROUNDING * svd.s[0]);
        let allowed = (RANGE_NOISE * self.tail.sqrt()).max(RANGE_TRUNCATION * svd.s[0]);
        let rank = svd.s.iter().filter(|&&s| s >= allowed).count();
        let (singular_values, smallest) = (reported(&svd.s), svd.s.last().copied());
        Some(Span { basis: svd.u, gap, rank, allowed, singular_values, smallest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::evidence::Evidence;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::{Meter, NetworkOracle, Silent};

    fn land() -> Landscape {
        Landscape { scale: 2.0, spread: 1.0, noise_near: 1e-15, noise_growth: 1e-15, grows: false }
    }

    fn reduced(network: &TwoLayer, most: usize) -> (DMatrix<f64>, Evidence, u64) {
        let (mut f, mut silent) = (NetworkOracle::new(network.clone()), Silent);
        let f = &mut Meter::new(&mut f, &mut silent, u64::MAX);
        let (land, d) = (land(), network.a.nrows());
        let sampling = Sampling::wide(d, &land, 1);
        let (basis, evidence) = in_context(f, &land, (1, 0), |cx| {
            let first = sampling.gradients(cx.f)?;
            reduce(cx, &sampling, first, most)
        });
        (basis.unwrap(), evidence, f.total())
    }

    #[test]
    fn the_rank_times_the_inputs_are_asked() {
        let network = TwoLayer::random((300, 6, 3), Class::Paper, Activation::Tanh, 1).unwrap();
        let (basis, evidence, asked) = reduced(&network, 300);
        assert_eq!(basis.ncols(), 6, "{evidence:?}");
        assert!(asked < 2 * 12 * 300 + 500, "{asked}");
        let outside = &network.a - &basis * basis.tr_mul(&network.a);
        assert!(outside.amax() < 1e-7, "{}", outside.amax());
        // More than are worth it end the search.
        let (basis, evidence, asked) = reduced(&network, 5);
        assert!(basis.is_square() && asked < 2 * 8 * 300 + 500, "{asked}");
        assert_eq!(evidence.reduce[0].reason, Some("more dimensions than are worth it"));
    }

    #[test]
    fn a_full_range_is_seen_by_one_gradient_an_input() {
        let network = TwoLayer::random((20, 30, 3), Class::Paper, Activation::Tanh, 1).unwrap();
        let (basis, _, asked) = reduced(&network, 20);
        assert_eq!((basis, asked), (DMatrix::identity(20, 20), 2 * 20 * 20));
    }

    #[test]
    fn a_steep_unit_is_not_lost() {
        let mut network = TwoLayer::random((8, 6, 2), Class::Paper, Activation::Tanh, 3).unwrap();
        network.a.column_mut(2).scale_mut(1e4);
        network.theta[2] = 2e4;
        let (basis, evidence, _) = reduced(&network, 8);
        assert_eq!(basis.ncols(), 6, "{evidence:?}");
        assert_eq!(evidence.reduce[1].added, Some(1), "{evidence:?}");
        let outside = &network.a - &basis * basis.tr_mul(&network.a);
        for (outside, a) in outside.column_iter().zip(network.a.column_iter()) {
            assert!(outside.norm() < 1e-6 * a.norm(), "{}", outside.norm() / a.norm());
        }
    }
}
