//! Fewer dimensions first: f depends on x through A^T x alone, so for d > m0 every gradient lies in
//! the m0-dimensional range of A, and all later stages run there.

use nalgebra::{DMatrix, DVector};

use super::line;
use super::tolerances::{
    CHECK_INNER_SCALES, CHECK_SCALES, CHECKS, CLEAR_GRADIENT, GRADIENT_NOISE, GRADIENT_STEPS,
    LEAST_OUTSIDE, NOTABLE_CHANGE, RANGE_CENTRES, RANGE_GAP, RANGE_NOISE, RANGE_ROUNDING,
    RANGE_SCALES, RANGE_TRUNCATION, SURE_CHANGE,
};
use crate::algebra::linalg::thin_svd;
use crate::algebra::subspace::largest_gap;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::RangeFound;
use crate::identify::failure::Halt;
use crate::oracle::Oracle;
use crate::stencil::{self, GradientScheme};

/// Orthonormal basis Q (d x k) of the range of the gradients; the identity where no clear gap shows
/// that k < d.
pub fn reduce(cx: &mut Context<'_>) -> Result<DMatrix<f64>, Halt> {
    let (d, land) = (cx.f.input_dim(), cx.land);
    let mut rng = draws::stream(cx.seed, "reduce", 0);
    // Several scales: near the origin all units are active, farther out one at a time.
    let mut centres = draws::gaussian(&mut rng, d, RANGE_CENTRES.0 * d + RANGE_CENTRES.1);
    for (k, mut centre) in centres.column_iter_mut().enumerate() {
        centre *= land.scale * 2f64.powi(k as i32 % RANGE_SCALES);
    }
    let basis = range(cx, centres, land.scale)?;
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

/// The same from gradients at the columns of `centres` (d x n), f varying over lengths of `scale`.
pub fn range(
    cx: &mut Context<'_>,
    centres: DMatrix<f64>,
    scale: f64,
) -> Result<DMatrix<f64>, Halt> {
    let Context { f, land, evidence, .. } = cx;
    let d = f.input_dim();
    let identity = DMatrix::identity(d, d);
    if d == 1 {
        return Ok(identity);
    }
    // Truncation h^4 against noise / h, for a function of this scale and spread.
    let h = scale * (land.noise_near / land.spread).powf(0.2);
    let scheme = GradientScheme::Central4;
    let gradients = stencil::gradients(&mut |x| f.values(x), &centres, &identity, scheme, h)?;
    let noise = GRADIENT_NOISE * land.noise_near / h * (d as f64).sqrt();
    let clear: Vec<_> =
        gradients.column_iter().filter(|g| g.norm() > CLEAR_GRADIENT * noise).collect();
    let columns: Vec<DVector<f64>> = clear.iter().map(|g| g / g.norm()).collect();
    // What noise alone puts into a direction that no gradient has.
    let tail = clear.iter().map(|g| (noise / g.norm()).powi(2)).sum::<f64>().sqrt();
    if columns.len() < d {
        let reason = Some("too few gradients above the noise");
        evidence.reduce.push(RangeFound { dimension: d, reason, ..Default::default() });
        return Ok(identity);
    }
    let Some(svd) = thin_svd(&DMatrix::from_columns(&columns)) else { return Ok(identity) };
    let gap = largest_gap(&svd.s, 1..=d - 1, RANGE_ROUNDING * svd.s[0]);
    let allowed = (RANGE_NOISE * tail).max(RANGE_TRUNCATION * svd.s[0]);
    let reduced = gap.filter(|gap| gap.ratio > RANGE_GAP && svd.s[gap.rank] < allowed);
    let dimension = reduced.map_or(d, |gap| gap.rank);
    evidence.reduce.push(RangeFound {
        dimension,
        gap: gap.map(|g| g.ratio),
        step: Some(h),
        smallest: svd.s.last().copied(),
        allowed: Some(allowed),
        ..Default::default()
    });
    Ok(if dimension < d { svd.u.columns(0, dimension).into_owned() } else { identity })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, Network};
    use crate::oracle::NetworkOracle;

    #[test]
    fn a_steep_unit_is_not_lost() {
        let mut network = Network::random((8, 6, 2), Class::Paper, Activation::Tanh, 3).unwrap();
        network.a.column_mut(2).scale_mut(1e4);
        network.theta[2] = 2e4;
        let mut f = NetworkOracle::new(network.clone());
        let land = Landscape { scale: 2.0, spread: 1.0, noise_near: 1e-15, noise_growth: 1e-15 };
        let (basis, evidence) = in_context(&mut f, &land, (1, 0), reduce);
        let basis = basis.unwrap();
        assert_eq!(basis.ncols(), 6, "{evidence:?}");
        assert_eq!(evidence.reduce[1].added, Some(1), "{evidence:?}");
        let outside = &network.a - &basis * basis.tr_mul(&network.a);
        for (outside, a) in outside.column_iter().zip(network.a.column_iter()) {
            assert!(outside.norm() < 1e-6 * a.norm(), "{}", outside.norm() / a.norm());
        }
    }
}
