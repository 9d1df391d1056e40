//! What a span of second differences shows of each unit of the second layer, and the layer from it.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::lesson::Lesson;
use super::ridge::{self, Ridge};
use super::rows::{self, Design, SecondLayer};
use super::sight::{Looks, Sight, Untold};
use super::split::{Patterns, part_way};
use super::tolerances::{
    SPAN_MISFIT, SPAN_NOISY, SPAN_ONE_SIDED, SPAN_ROW_ERROR, SPAN_SHAPE, SPAN_SHOWN,
};
use crate::algebra::linalg::{Cholesky, dual, gram, median};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::unit::Unit;
use crate::network::Activation;
use crate::stage::Stage;

/// The second layer's units as their curvature shows them at many patterns.
pub struct Spanned {
    /// The first layer with the widths that were taken for this.
    pub units: Vec<Unit>,
    /// The units held, and where the others were.
    pub patterns: Patterns,
    /// What the inputs u_l depend on at these.
    design: Design,
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
    /// What other splits tell of the rows that the patterns do not.
    lessons: Vec<Option<Lesson>>,
    /// The ridges nearest to the curvatures.
    near: Vec<Option<Ridge>>,
}

/// Activations differ too little to choose patterns, or to tell units apart, by another one.
const FIRST_TRIED: Activation = Activation::Tanh;

/// `noise`: of the curvatures, relative to the largest.
fn is_told(ridge: &Ridge, noise: f64) -> bool {
    ridge.misfit < SPAN_MISFIT.max(SPAN_NOISY * noise)
        && ridge.error < SPAN_ROW_ERROR * (1.0 + ridge.inputs.amax())
}

impl Spanned {
    /// From second differences at some patterns, which are sums of the rank-one matrices of the `directions`.
    pub fn of(sight: &Sight<'_>, looks: &Looks, directions: &DMatrix<f64>) -> Result<Self, Halt> {
        let (dual, _) = dual(&looks.entries.of(directions))
            .ok_or_else(|| failure("the directions of the second layer are dependent"))?;
        let columns: Vec<DVector<f64>> = looks.mixed.iter().map(|k| dual.tr_mul(k)).collect();
        let patterns = sight.patterns(&looks.places);
        let mut spanned = Spanned {
            units: sight.units().to_vec(),
            design: rows::design(&patterns)?,
            patterns,
            values: DVector::from_column_slice(&looks.values),
            gradients: DMatrix::from_columns(&looks.first),
            directions: directions.clone(),
            w: DMatrix::from_columns(&columns),
            noise: DMatrix::from_fn(dual.ncols(), columns.len(), |l, k| {
                let place = &looks.places[k];
                let off =
                    looks.differences.error_at(place) + sight.astray(place) * looks.mixed[k].amax();
                off * dual.column(l).norm()
            }),
            lessons: vec![None; dual.ncols()],
            near: Vec::new(),
        };
        spanned.near = spanned.ridges(FIRST_TRIED);
        Ok(spanned)
    }

    /// m1.
    pub fn width(&self) -> usize {
        self.directions.ncols()
    }

    /// The units whose rows the patterns do not tell.
    pub fn untold(&self) -> Vec<Untold> {
        let open = self.open_units().into_iter();
        open.map(|l| Untold { near: self.near[l].clone(), w: self.w.row(l).transpose() }).collect()
    }

    /// How many rows are told.
    pub fn told(&self) -> usize {
        self.width() - self.open_units().len()
    }

    fn open_units(&self) -> Vec<usize> {
        (0..self.width()).filter(|&l| self.told_row(l).is_none()).collect()
    }

    /// The row of unit l, if it is told.
    fn told_row(&self, l: usize) -> Option<&Ridge> {
        self.near[l].as_ref().filter(|ridge| is_told(ridge, self.usual_noise(l)))
    }

    /// Of the curvatures of unit l, relative to the largest.
    fn usual_noise(&self, l: usize) -> f64 {
        let noise: Vec<f64> = self.noise.row(l).iter().copied().collect();
        median(&noise).unwrap_or(0.0) / self.w.row(l).amax()
    }

    /// Tells rows by those of another split, where its units are the same as far as the same units of the first layer vary
    /// in both.
    pub fn learn(&mut self, other: &Spanned) {
        let mine = &self.design;
        let taught: Vec<(usize, Lesson, Ridge)> = self
            .open_units()
            .into_par_iter()
            .filter_map(|l| {
                let (w, noise) = (self.w.row(l).transpose(), self.noise.row(l).transpose());
                let told = (0..other.width()).filter_map(|k| other.told_row(k));
                told.filter_map(|row| {
                    let lesson = Lesson::new(mine, (&other.design.free, row))?;
                    let ridge = lesson.fit(&mine.matrix, (&w, &noise), FIRST_TRIED)?;
                    is_told(&ridge, self.usual_noise(l)).then_some((l, lesson, ridge))
                })
                .min_by(|a, b| a.2.misfit.total_cmp(&b.2.misfit))
            })
            .collect();
        for (l, lesson, ridge) in taught {
            (self.lessons[l], self.near[l]) = (Some(lesson), Some(ridge));
        }
    }

    fn ridges(&self, h: Activation) -> Vec<Option<Ridge>> {
        let Design { matrix, free, between } = &self.design;
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
            if let Some(lesson) = &self.lessons[l] {
                return lesson.fit(matrix, seen, h);
            }
            let hint = few.as_ref().and_then(|few| ridge::fit(few, seen, h, None));
            ridge::fit(matrix, seen, h, hint.map(spread_out).as_ref())
        });
        each.collect()
    }

    /// Why there is no second layer where the rows of some units only are told.
    pub fn open(&self) -> Failure {
        let (told, (m1, count)) = (self.told(), self.w.shape());
        Failure::new(
            Stage::Peel,
            format!(
                "{m1} units of the second layer were seen, but {count} patterns of saturation tell the rows of {told} only"
            ),
        )
    }

    /// Free units on one side of which units that are not told do not show, those first which matter most.
    pub fn deciding(&self) -> Vec<usize> {
        let places = &self.patterns.places;
        let free = self.design.free.iter().copied();
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
        let Design { matrix: design, free, .. } = &self.design;
        let ridges = if h == FIRST_TRIED { self.near.clone() } else { self.ridges(h) };
        let ridges: Vec<Ridge> = ridges.into_iter().flatten().collect();
        if ridges.len() < m1 {
            return Err(self.open().into());
        }
        let inputs: Vec<DVector<f64>> = ridges.iter().map(|ridge| ridge.inputs.clone()).collect();
        let u = (design * DMatrix::from_columns(&inputs)).transpose();
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
        let (free, c0) = (free.clone(), 0.0);
        let mut out = SecondLayer { beta, b_free, free, offset, u, c, c0, affinity, misfit };
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
