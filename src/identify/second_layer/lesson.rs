//! What one split tells of a row of the second layer, for another split that does not show it well enough.
//!
//! Rows are in the scale of the inputs u, which is the same in every split: of a unit that both show, the entries at first-layer
//! units that vary in both are equal. Then few unknowns are left, and the factor of what is known must come out as 1.

use nalgebra::{DMatrix, DVector};

use super::ridge::{self, Ridge};
use super::rows::Design;
use super::tolerances::{LESSON_FACTOR, LESSON_SHARED};
use crate::network::Activation;

/// A row, known in part.
#[derive(Clone)]
pub struct Lesson {
    /// Over the columns of the design, 0 where it is open.
    row: DVector<f64>,
    /// Columns where it is open.
    open: Vec<usize>,
}

impl Lesson {
    /// For the `design` of a split, by a row that another one with the units `free` tells; `None` where too few vary in both.
    pub fn new(design: &Design, (free, told): (&[usize], &Ridge)) -> Option<Self> {
        let mut row = DVector::zeros(design.matrix.ncols());
        let mut open = Vec::new();
        for (column, unit) in design.free.iter().enumerate() {
            match free.iter().position(|other| other == unit) {
                Some(other) => row[column] = told.inputs[other],
                None => open.push(column),
            }
        }
        open.extend(design.free.len()..row.len());
        (open.len() + LESSON_SHARED <= row.len()).then_some(Lesson { row, open })
    }

    /// The ridge through curvatures, as [`ridge::fit`] has it, if it is that row.
    pub fn fit(
        &self,
        design: &DMatrix<f64>,
        seen: (&DVector<f64>, &DVector<f64>),
        h: Activation,
    ) -> Option<Ridge> {
        let known = std::iter::once(design * &self.row);
        let open = self.open.iter().map(|&column| design.column(column).into_owned());
        let columns: Vec<DVector<f64>> = known.chain(open).collect();
        let ridge = ridge::fit(&DMatrix::from_columns(&columns), seen, h, None)?;
        let factor = ridge.inputs[0];
        if (factor - 1.0).abs() > LESSON_FACTOR {
            return None;
        }
        let mut inputs = &self.row * factor;
        self.open.iter().zip(ridge.inputs.iter().skip(1)).for_each(|(&j, x)| inputs[j] = *x);
        Some(Ridge { inputs, ..ridge })
    }
}
