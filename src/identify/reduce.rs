//! Fewer dimensions first: f depends on x through A^T x alone, so for d > m0 every gradient lies in
//! the m0-dimensional range of A, and all later stages run there.

use nalgebra::{DMatrix, DVector};
use serde_json::json;

use super::probe::Landscape;
use super::{Evidence, Halt};
use crate::draws;
use crate::hessian::stack::{HessianStack, HostStack};
use crate::linalg::thin_svd;
use crate::oracle::{Oracle, OracleError};
use crate::stencil::{self, GradientScheme, HessianScheme};
use crate::subspace::largest_gap;

/// A fall of the singular values of the gradients by this factor, down to near the noise, is a rank.
const CLEAR_GAP: f64 = 30.0;
/// Near the noise: this many times it.
const NOISE: f64 = 30.0;
/// Or this share of the largest singular value, for what the differences truncate.
const TRUNCATION: f64 = 1e-8;

/// A black box seen on a subspace: y -> f(Q y).
pub struct Restricted<'a> {
    inner: &'a mut dyn Oracle,
    basis: &'a DMatrix<f64>,
    by_values: bool,
}

impl<'a> Restricted<'a> {
    /// `basis` is Q, d x k with orthonormal columns. Derivatives are the oracle's own, at the accuracy
    /// that it has for them.
    pub fn new(inner: &'a mut dyn Oracle, basis: &'a DMatrix<f64>) -> Self {
        Restricted { inner, basis, by_values: false }
    }

    /// The same, but derivatives are differences of values: for the stages where accuracy decides.
    pub fn by_values(inner: &'a mut dyn Oracle, basis: &'a DMatrix<f64>) -> Self {
        Restricted { inner, basis, by_values: true }
    }
}

impl Oracle for Restricted<'_> {
    fn input_dim(&self) -> usize {
        self.basis.ncols()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        self.inner.values(&(self.basis * points))
    }

    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let (centres, directions) = (self.basis * centres, self.basis * directions);
        if self.by_values {
            return stencil::gradients(
                &mut |x| self.inner.values(x),
                &centres,
                &directions,
                scheme,
                h,
            );
        }
        self.inner.gradients(&centres, &directions, scheme, h)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let (centres, directions) = (self.basis * centres, self.basis * directions);
        if self.by_values {
            return stencil::hessians(
                &mut |x| self.inner.values(x),
                &centres,
                &directions,
                scheme,
                h,
            );
        }
        self.inner.hessians(&centres, &directions, scheme, h)
    }

    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        if self.by_values {
            return Ok(Box::new(HostStack::new(self.hessians(centres, directions, scheme, h)?)));
        }
        let (centres, directions) = (self.basis * centres, self.basis * directions);
        self.inner.hessian_stack(&centres, &directions, scheme, h)
    }

    fn hessian_noise(&self, h: f64) -> Option<f64> {
        if self.by_values { None } else { self.inner.hessian_noise(h) }
    }
}

/// Orthonormal basis Q (d x k) of the range of the gradients; the identity where no clear gap shows
/// that k < d.
pub fn reduce(
    f: &mut dyn Oracle,
    land: &Landscape,
    seed: u64,
    evidence: &mut Evidence,
) -> Result<DMatrix<f64>, Halt> {
    let d = f.input_dim();
    let mut rng = draws::stream(seed, "reduce", 0);
    // Several scales: near the origin all units are active, farther out one at a time.
    let mut centres = draws::gaussian(&mut rng, d, 2 * d + 8);
    for (k, mut centre) in centres.column_iter_mut().enumerate() {
        centre *= land.scale * 2f64.powi(k as i32 % 3);
    }
    range(f, land, centres, land.scale, evidence)
}

/// The same from gradients at the columns of `centres` (d x n), f varying over lengths of `scale`.
pub fn range(
    f: &mut dyn Oracle,
    land: &Landscape,
    centres: DMatrix<f64>,
    scale: f64,
    evidence: &mut Evidence,
) -> Result<DMatrix<f64>, Halt> {
    let d = f.input_dim();
    let identity = DMatrix::identity(d, d);
    if d == 1 {
        return Ok(identity);
    }
    // Truncation h^4 against noise / h, for a function of this scale and spread.
    let h = scale * (land.noise_near / land.spread).powf(0.2);
    let scheme = GradientScheme::Central4;
    let gradients = stencil::gradients(&mut |x| f.values(x), &centres, &identity, scheme, h)?;
    let noise = 1.5 * land.noise_near / h * (d as f64).sqrt();
    let clear: Vec<_> = gradients.column_iter().filter(|g| g.norm() > 1e3 * noise).collect();
    let columns: Vec<DVector<f64>> = clear.iter().map(|g| g / g.norm()).collect();
    // What noise alone puts into a direction that no gradient has.
    let tail = clear.iter().map(|g| (noise / g.norm()).powi(2)).sum::<f64>().sqrt();
    if columns.len() < d {
        evidence
            .add("reduce", json!({"dimension": d, "reason": "too few gradients above the noise"}));
        return Ok(identity);
    }
    let Some(svd) = thin_svd(&DMatrix::from_columns(&columns)) else { return Ok(identity) };
    let gap = largest_gap(&svd.s, 1..=d - 1, 1e-15 * svd.s[0]);
    let allowed = (NOISE * tail).max(TRUNCATION * svd.s[0]);
    let reduced = gap.filter(|gap| gap.ratio > CLEAR_GAP && svd.s[gap.rank] < allowed);
    let dimension = reduced.map_or(d, |gap| gap.rank);
    evidence.add(
        "reduce",
        json!({"dimension": dimension, "gap": gap.map(|g| g.ratio), "step": h,
        "smallest": svd.s.last(), "allowed": allowed}),
    );
    Ok(if dimension < d { svd.u.columns(0, dimension).into_owned() } else { identity })
}
