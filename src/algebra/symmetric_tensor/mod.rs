//! Symmetric tensors of order three, such as the third derivatives of f at a point.

mod decompose;
mod tolerances;

use nalgebra::{DMatrix, DVector};

pub use decompose::{Decomposition, Effort, decompose};

/// A symmetric tensor T in R^(d x d x d).
#[derive(Clone, Debug, PartialEq)]
pub struct Cubic {
    /// d^2 x d; column k is the slice T(., ., e_k).
    unfolded: DMatrix<f64>,
}

impl Cubic {
    /// From its slices T(., ., e_k), d matrices d x d, which measurement leaves slightly inconsistent:
    /// the mean over all orders of the indices, and by how much (relative to the norm) the slices
    /// depart from it.
    pub fn from_slices(slices: &[DMatrix<f64>]) -> (Cubic, f64) {
        let d = slices.len();
        let mut unfolded = DMatrix::zeros(d * d, d);
        for k in 0..d {
            for j in 0..d {
                for i in 0..d {
                    let sum = slices[k][(i, j)]
                        + slices[k][(j, i)]
                        + slices[j][(i, k)]
                        + slices[j][(k, i)]
                        + slices[i][(j, k)]
                        + slices[i][(k, j)];
                    unfolded[(i + d * j, k)] = sum / 6.0;
                }
            }
        }
        let cubic = Cubic { unfolded };
        let departure: f64 =
            (0..d).map(|k| (&slices[k] - cubic.basis_slice(k)).norm_squared()).sum();
        let norm = cubic.norm();
        let asymmetry = if norm > 0.0 { departure.sqrt() / norm } else { 0.0 };
        (cubic, asymmetry)
    }

    /// sum_j x_j (x) x_j (x) x_j over the columns of `components` (d x r).
    pub fn from_components(components: &DMatrix<f64>) -> Cubic {
        let (d, r) = components.shape();
        let mut squares = DMatrix::zeros(d * d, r);
        for (x, mut square) in components.column_iter().zip(squares.column_iter_mut()) {
            square.copy_from_slice((x * x.transpose()).as_slice());
        }
        Cubic { unfolded: squares * components.transpose() }
    }

    /// The difference of two tensors of the same dimension.
    pub fn minus(&self, other: &Cubic) -> Cubic {
        Cubic { unfolded: &self.unfolded - &other.unfolded }
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.unfolded.ncols()
    }

    /// Frobenius norm.
    pub fn norm(&self) -> f64 {
        self.unfolded.norm()
    }

    /// T(., ., e_k).
    pub fn basis_slice(&self, k: usize) -> DMatrix<f64> {
        let d = self.dim();
        DMatrix::from_column_slice(d, d, self.unfolded.column(k).as_slice())
    }

    /// T(., ., w).
    pub fn slice(&self, w: &DVector<f64>) -> DMatrix<f64> {
        let d = self.dim();
        DMatrix::from_column_slice(d, d, (&self.unfolded * w).as_slice())
    }

    /// T(x_j, x_j, .) for the columns of `vectors` (d x r), as columns.
    pub fn contract(&self, vectors: &DMatrix<f64>) -> DMatrix<f64> {
        let (d, r) = vectors.shape();
        let slices = &self.unfolded * vectors;
        let mut out = DMatrix::zeros(d, r);
        for (j, mut out) in out.column_iter_mut().enumerate() {
            let slice = nalgebra::DMatrixView::from_slice(
                &slices.as_slice()[j * d * d..(j + 1) * d * d],
                d,
                d,
            );
            out.gemv(1.0, &slice, &vectors.column(j), 0.0);
        }
        out
    }

    /// T(W ., W ., W .) for W (d x k).
    pub fn congruence(&self, w: &DMatrix<f64>) -> Cubic {
        let (d, k) = w.shape();
        let transposed = w.transpose();
        let slices = &self.unfolded * w;
        let mut unfolded = DMatrix::zeros(k * k, k);
        for (j, mut out) in unfolded.column_iter_mut().enumerate() {
            let slice = DMatrix::from_column_slice(d, d, slices.column(j).as_slice());
            out.copy_from_slice((&transposed * slice * w).as_slice());
        }
        Cubic { unfolded }
    }

    /// sum_k T(., ., e_k)^2, d x d: its eigenvectors are the axes along which T is large or small.
    pub fn energy(&self) -> DMatrix<f64> {
        self.unfolded.transpose() * &self.unfolded
    }

    fn scale_mut(&mut self, factor: f64) {
        self.unfolded.scale_mut(factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn contractions_are_those_of_the_components() {
        let x = draws::gaussian(&mut draws::stream(1, "cubic", 0), 5, 3);
        let t = Cubic::from_components(&x);
        let w = draws::gaussian(&mut draws::stream(1, "cubic", 1), 5, 2);
        for j in 0..2 {
            let inner = x.transpose() * w.column(j);
            let expected = &x * inner.component_mul(&inner);
            assert!((t.contract(&w).column(j) - expected).amax() < 1e-12);
            let slice = &x * DMatrix::from_diagonal(&inner) * x.transpose();
            assert!((t.slice(&w.column(j).into_owned()) - slice).amax() < 1e-12);
        }
        let moved = Cubic::from_components(&(w.transpose() * &x));
        assert!((t.congruence(&w).unfolded - moved.unfolded).amax() < 1e-12);
    }

    #[test]
    fn slices_are_made_consistent() {
        let x = draws::gaussian(&mut draws::stream(2, "cubic", 0), 4, 3);
        let t = Cubic::from_components(&x);
        let mut slices: Vec<_> = (0..4).map(|k| t.basis_slice(k)).collect();
        let (same, asymmetry) = Cubic::from_slices(&slices);
        assert!((same.unfolded - &t.unfolded).amax() < 1e-12 && asymmetry < 1e-14);
        slices[2][(0, 1)] += 1e-3;
        let (_, asymmetry) = Cubic::from_slices(&slices);
        assert!((1e-6..1e-3).contains(&asymmetry));
    }
}
