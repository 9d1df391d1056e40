//! The way that stays near a point: Hessians and their span, directions, profiles.

use nalgebra::{DMatrix, DVector};

use super::stack::{Plan, Stack, local_stack};
use super::tolerances::{NOISE_LINES_ROOM, SHALLOW_FIT_SCALES};
use super::{directions, profile};
use crate::algebra::linalg::{dual, least_squares};
use crate::algebra::svec::svec_outer;
use crate::algebra::tolerances::WEIGHTS_CUTOFF;
use crate::draws;
use crate::identify::context::Coordinates;
use crate::identify::evidence::Profiled;
use crate::identify::failure::{Failure, Halt};
use crate::identify::fit::sample::{self, Sample};
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::run::{Fit, Ground, Place, Run};
use crate::identify::scalars::family::families;
use crate::identify::settings::Settings;
use crate::identify::survey::landscape::Landscape;
use crate::identify::verdict::outcome::{Outcome, first_identified};
use crate::network::Activation;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::oracle::Oracle;
use crate::oracle::views::centred::Region;
use crate::stage::Stage;

/// An attempt within a region.
pub struct Near<'r, 'a> {
    pub run: &'r mut Run<'a>,
    pub region: &'r Region,
}

impl Near<'_, '_> {
    /// Stack and directions, then the rest by activation.
    pub fn attempt(&mut self, land: &Landscape, attempt: u64) -> Result<Outcome<OneLayer>, Halt> {
        let Settings { width, activation, .. } = self.run.settings;
        let ascent = self.run.settings.ascent();
        let local = self.run.settings.local.clone();
        let region = self.region;
        let place = Place { coordinates: Coordinates::about(&region.centre), land, attempt };
        let (radius, design) = (local.radius, local.design.unwrap_or_default());
        let plan = Plan { region, radius, design, width };
        let stack = self.run.stage(Stage::Stack, place, |cx| local_stack(cx, &plan))?;
        self.run.widths = Some(vec![stack.basis.ncols()]);
        let directions = self
            .run
            .stage(Stage::Directions, place, |cx| directions::directions(cx, &stack, ascent))?;

        self.run.meter.enter(Stage::Profiles);
        let coefficients = coefficients(&stack, &directions)?;
        let count = sample::size_for(&self.blank(&directions));
        let sample = self.sample(land, count, attempt)?;
        first_identified(families(activation), |&phi| {
            let start = self.start(&stack, &directions, &coefficients, &sample, phi)?;
            self.finish(land, start, &sample)
        })
    }

    /// A network of the right shape, for counting.
    fn blank(&self, directions: &DMatrix<f64>) -> OneLayer {
        let m = directions.ncols();
        let zeros = DVector::zeros(m);
        let (theta, c) = (zeros.clone(), zeros);
        OneLayer { a: directions.clone(), theta, c, c0: 0.0, phi: Activation::Tanh }
    }

    /// Fresh points all over the region, and their values.
    fn sample(&mut self, land: &Landscape, count: usize, attempt: u64) -> Result<Sample, Halt> {
        let rng = &mut draws::stream(self.run.settings.seed, "shallow sample", attempt);
        let scales = SHALLOW_FIT_SCALES.map(|s| s * land.scale);
        let points =
            self.region.within(NOISE_LINES_ROOM * land.scale).gaussian(rng, &scales, count);
        let values = self.run.meter.values(&points)?;
        Ok(Sample { points, values })
    }

    /// Norms and shifts from the profiles, then c and c0 by linear least squares on the sample.
    fn start(
        &mut self,
        stack: &Stack,
        directions: &DMatrix<f64>,
        coefficients: &DMatrix<f64>,
        sample: &Sample,
        phi: Activation,
    ) -> Result<OneLayer, Halt> {
        let m = directions.ncols();
        let places = directions.transpose() * &stack.points;
        let mut start = OneLayer { phi, ..self.blank(directions) };
        let mut worst = 0.0f64;
        for i in 0..m {
            let t: Vec<f64> = places.row(i).iter().copied().collect();
            let values: Vec<f64> = coefficients.row(i).iter().copied().collect();
            let fit = profile::fit(&t, &values, phi).ok_or_else(|| {
                Failure::new(Stage::Profiles, "a unit has no curvature at any point")
            })?;
            worst = worst.max(fit.misfit);
            start.a.column_mut(i).scale_mut(fit.slope);
            // Back from the centre to the origin.
            start.theta[i] = fit.shift + start.a.column(i).dot(&self.region.centre);
        }
        self.run.evidence.profiles.push(Profiled { activation: phi, largest_misfit: worst });
        // The derivatives with respect to c and c0 are the last m + 1 rows of the Jacobian.
        let jt = Model::jacobian_transposed(&start, &sample.points);
        let linear = jt.rows(jt.nrows() - m - 1, m + 1).transpose();
        let (weights, _) =
            least_squares(&linear, &sample.values, WEIGHTS_CUTOFF).ok_or_else(|| {
                Failure::new(Stage::Profiles, "the output weights have no least squares")
            })?;
        start.c.copy_from(&weights.rows(0, m));
        start.c0 = weights[m];
        Ok(start)
    }

    /// From a first network to the verdict.
    fn finish(
        &mut self,
        land: &Landscape,
        start: OneLayer,
        sample: &Sample,
    ) -> Result<Outcome<OneLayer>, Halt> {
        self.run.meter.enter(Stage::Refine);
        let floor = FIT_FLOOR * land.noise_near;
        let (mut network, rms) = self.run.refined(sample, start, floor, |seen| &mut seen.refine)?;
        let Settings { activation, width, .. } = self.run.settings;
        if let Some(asked) = activation {
            network = network.with_activation(asked).unwrap_or(network);
        }
        let accepted = width.is_none_or(|width| width == network.dims().1);
        let fit = Fit { network, sample: sample.clone(), rms };
        self.run.conclude(fit, Ground { land, land_of_fit: land, fresh: None }, accepted)
    }
}

/// Coefficients of the v_i v_i^T in every Hessian, m x N, by least squares.
fn coefficients(stack: &Stack, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, Failure> {
    let mut outer = DMatrix::zeros(stack.hessians.nrows(), directions.ncols());
    for (v, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        svec_outer(v.into_owned().as_slice(), outer.as_mut_slice());
    }
    let (dual, _) = dual(&outer).ok_or_else(|| {
        Failure::new(Stage::Directions, "the matrices a_i a_i^T are linearly dependent")
    })?;
    Ok(dual.transpose() * &stack.hessians)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_the_outer_products() {
        let rng = &mut draws::stream(1, "coefficients", 0);
        let directions: Vec<DVector<f64>> = (0..4).map(|_| draws::unit_vector(rng, 3)).collect();
        let directions = DMatrix::from_columns(&directions);
        let mut outer = DMatrix::zeros(6, 4);
        for (v, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
            svec_outer(v.as_slice(), outer.as_mut_slice());
        }
        let expected = draws::gaussian(rng, 4, 7);
        let points = DMatrix::zeros(3, 7);
        let stack = Stack { points, hessians: &outer * &expected, basis: DMatrix::zeros(6, 4) };
        assert!((coefficients(&stack, &directions).unwrap() - expected).amax() < 1e-12);
        // Two units of one direction, up to sign.
        let mut twice = directions;
        let first = -twice.column(0);
        twice.set_column(3, &first);
        let failure = coefficients(&stack, &twice).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "directions: the matrices a_i a_i^T are linearly dependent"
        );
    }
}
