//! What a stage is given: the black box as it sees it, what is known of it, its draws, and where it writes what it saw.

use nalgebra::{DMatrix, DVector};

use super::evidence::Evidence;
use super::survey::landscape::Landscape;
use crate::oracle::views::centred::Centred;
use crate::oracle::views::restricted::Restricted;
use crate::oracle::{Clock, Oracle};

/// What a stage is given.
pub(crate) struct Context<'a> {
    /// The black box in the stage's coordinates.
    pub f: &'a mut dyn Oracle,
    /// Scale and noise in these coordinates.
    pub land: &'a Landscape,
    /// Fixes every random draw.
    pub seed: u64,
    /// Varies the draws from one attempt to the next, from 0.
    pub attempt: u64,
    /// When the run must end, and how far the stage is.
    pub clock: &'a Clock,
    /// What the stages saw so far.
    pub evidence: &'a mut Evidence,
}

/// Coordinates y of k dimensions with x = centre + Q y, and how derivatives in them are had.
#[derive(Clone, Copy)]
pub(crate) struct Coordinates<'a> {
    /// Length d; `None`: the origin.
    pub centre: Option<&'a DVector<f64>>,
    /// Q, d x k; `None`: the identity.
    pub basis: Option<&'a DMatrix<f64>>,
    /// Derivatives are differences of values, for the stages where accuracy decides; otherwise the oracle's own, at
    /// the accuracy that it has for them.
    pub by_values: bool,
}

impl<'a> Coordinates<'a> {
    /// Of the inputs themselves.
    pub const INPUTS: Coordinates<'static> =
        Coordinates { centre: None, basis: None, by_values: false };

    /// x = Q y, with derivatives from values.
    pub fn along(basis: &'a DMatrix<f64>) -> Self {
        Coordinates { centre: None, basis: Some(basis), by_values: true }
    }

    /// x = centre + y.
    pub fn about(centre: &'a DVector<f64>) -> Self {
        Coordinates { centre: Some(centre), basis: None, by_values: false }
    }

    /// The same, with the derivatives that the oracle itself has.
    pub fn with_own_derivatives(self) -> Self {
        Coordinates { by_values: false, ..self }
    }

    /// Does `work` with `f` in these coordinates.
    pub fn of<T>(self, f: &mut dyn Oracle, work: impl FnOnce(&mut dyn Oracle) -> T) -> T {
        match self.centre {
            Some(centre) => self.restricted(&mut Centred::new(f, centre), work),
            None => self.restricted(f, work),
        }
    }

    fn restricted<T>(self, f: &mut dyn Oracle, work: impl FnOnce(&mut dyn Oracle) -> T) -> T {
        match self.basis {
            Some(basis) if self.by_values => work(&mut Restricted::by_values(f, basis)),
            Some(basis) => work(&mut Restricted::new(f, basis)),
            None => work(f),
        }
    }
}

/// What `work` makes of a context of its own, and what it wrote down.
#[cfg(test)]
pub(crate) fn in_context<T>(
    f: &mut dyn Oracle,
    land: &Landscape,
    (seed, attempt): (u64, u64),
    work: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, Evidence) {
    let mut evidence = Evidence::default();
    let context =
        &mut Context { f, land, seed, attempt, clock: &Clock::new(None), evidence: &mut evidence };
    let result = work(context);
    (result, evidence)
}
