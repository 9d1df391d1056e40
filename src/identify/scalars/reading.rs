//! f along lines on which only one first-layer unit changes, and what a slope and a shift leave of it.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{LINE_REACH, POINTS_PER_LINE};
use crate::identify::second_layer::rows::SecondLayer;
use crate::network::Activation;

/// Positions on a line, in half widths.
pub fn positions() -> Vec<f64> {
    let length = 2.0 * LINE_REACH;
    (0..POINTS_PER_LINE)
        .map(|k| length * k as f64 / (POINTS_PER_LINE - 1) as f64 - LINE_REACH)
        .collect()
}

/// What is known of a unit's row of B.
pub enum Row {
    /// The row itself.
    Known(DVector<f64>),
    /// The row times the slope of the activation, per half width.
    TimesSlope(DVector<f64>),
}

impl Row {
    /// The row, if the activation's slope per half width is `slope`.
    pub fn at(&self, slope: f64) -> DVector<f64> {
        match self {
            Row::Known(b) => b.clone(),
            Row::TimesSlope(beta) => beta / slope,
        }
    }
}

/// f along a line on which only one first-layer unit changes.
pub struct Line {
    /// The second layer's inputs without the unit (in T) or with it at its middle (in S).
    pub inputs: DVector<f64>,
    /// f at the [`positions`].
    pub values: DVector<f64>,
}

/// All that was read of one unit.
pub struct Reading {
    /// Its place among the units.
    pub unit: usize,
    /// direction . x in the middle of the lines.
    pub at: f64,
    /// Its row of B.
    pub row: Row,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Reading {
    /// Model minus values, for a unit of slope q per half width that is at z in its middle.
    pub fn residuals(
        &self,
        (q, z): (f64, f64),
        (g, h): (Activation, Activation),
        second: &SecondLayer,
        ts: &[f64],
        out: &mut Vec<f64>,
    ) {
        let b = self.row.at(q * g.slope(z));
        let included = match self.row {
            Row::Known(_) => 0.0,
            Row::TimesSlope(_) => g.value(z),
        };
        let mut ys: Vec<f64> = ts.iter().map(|t| z + q * t).collect();
        g.values(&mut ys);
        ys.iter_mut().for_each(|y| *y -= included);
        let mut outputs = DMatrix::zeros(b.len(), ts.len());
        for line in &self.lines {
            for (mut u, &y) in outputs.column_iter_mut().zip(&ys) {
                u.copy_from(&line.inputs);
                u.axpy(y, &b, 1.0);
            }
            h.values(outputs.as_mut_slice());
            let of_lines = outputs.column_iter().zip(line.values.iter());
            out.extend(of_lines.map(|(outputs, value)| second.mixed(outputs) - value));
        }
    }
}
