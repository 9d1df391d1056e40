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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    const FIRST_LAYER: usize = 9;

    /// A split that holds the units `held`, at `count` random patterns.
    fn split(held: &[usize], count: usize, seed: u64) -> Design {
        let free: Vec<usize> = (0..FIRST_LAYER).filter(|j| !held.contains(j)).collect();
        let sides = draws::gaussian(&mut draws::stream(seed, "sides", 0), count, free.len());
        let matrix = sides.map(f64::signum).insert_column(free.len(), 1.0);
        Design { matrix, free, between: Vec::new() }
    }

    #[test]
    fn a_row_is_told_by_another_split_and_no_other_row_is_taken_for_it() {
        let (mine, theirs) = (split(&[0, 1, 2], 12, 1), split(&[2, 5, 8], 0, 2));
        let rows = draws::gaussian(&mut draws::stream(3, "rows", 0), FIRST_LAYER + 1, 2);
        let inputs = |design: &Design, row: usize| {
            let columns: Vec<usize> = design.free.iter().copied().chain([FIRST_LAYER]).collect();
            rows.column(row).select_rows(&columns)
        };
        let h = Activation::Tanh;
        let w = (&mine.matrix * inputs(&mine, 0)).map(|u| 2.0 * h.curvature(u));
        let noise = DVector::repeat(w.len(), 1e-9);
        let told = |row: usize| Ridge {
            inputs: inputs(&theirs, row),
            sigma: 5.0,
            misfit: 1e-9,
            error: 1e-9,
        };
        let fit = |row: usize| {
            let lesson = Lesson::new(&mine, (&theirs.free, &told(row))).unwrap();
            lesson.fit(&mine.matrix, (&w, &noise), h).filter(|ridge| ridge.misfit < 1e-6)
        };
        let ridge = fit(0).unwrap();
        assert!((ridge.inputs - inputs(&mine, 0)).amax() < 1e-5);
        assert!((ridge.sigma - 2.0).abs() < 1e-5);
        assert!(fit(1).is_none());
        // Splits that hold all else of each other tell nothing.
        let apart = split(&[3, 4, 6, 7], 0, 4);
        let few = Ridge { inputs: inputs(&apart, 0), ..told(0) };
        assert!(Lesson::new(&split(&[0, 1, 2, 5, 8], 12, 5), (&apart.free, &few)).is_none());
    }
}
