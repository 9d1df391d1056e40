//! The few heavy factorisations, done by `faer`, in terms of nalgebra's matrices.
//!
//! A crate of its own, because the compiler takes as long for them as for a third of all the rest: so it does that
//! once, not again for the unit tests.
//!
//! Everything here is sequential inside and deterministic: the answer does not depend on the number
//! of threads. It calls faer's functions that are told so, [`Par::Seq`]; its types for the same decompositions
//! do what a setting of the whole process says, which belongs to the program and is left alone.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod blocks;

use std::cmp::Ordering;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::householder;
use faer::linalg::qr::no_pivoting::factor as qr;
use faer::linalg::svd::{self, ComputeSvdVectors};
use faer::{Conj, Mat, MatRef, Par};
use nalgebra::{DMatrix, DVector};

use blocks::gram_of;
pub use blocks::{Alone, Workers, lower_gram_of, row_squares};

// Derived.
/// Singular values below this share of the largest are rounding, and the columns dependent: some 500 eps, as the inner
/// products of a few hundred terms have.
const COLUMNS_DEPENDENT: f64 = 1e-13;

/// A large matrix of zeros. Its pages come when they are written to, each by whoever does; nalgebra's own writes all of them first.
pub fn zeros(rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_vec(rows, columns, vec![0.0; rows * columns])
}

fn view(matrix: &DMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(matrix.as_slice(), matrix.nrows(), matrix.ncols())
}

fn owned(matrix: MatRef<'_, f64>) -> DMatrix<f64> {
    DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)])
}

/// A B, on the thread that calls: for those of whom many run at a time.
pub fn product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    multiplied(view(a), view(b))
}

/// A^T B, likewise, without a transposed copy.
pub fn tr_product(a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
    multiplied(view(a).transpose(), view(b))
}

/// A matrix in column-major order, without a copy of it: its numbers, and how many are in a column.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a>(pub &'a [f64], pub usize);

impl<'a> From<&'a DMatrix<f64>> for Columns<'a> {
    fn from(matrix: &'a DMatrix<f64>) -> Self {
        Columns(matrix.as_slice(), matrix.nrows())
    }
}

impl<'a> Columns<'a> {
    /// So many columns from number `from` on.
    pub fn range(self, from: usize, count: usize) -> Columns<'a> {
        let Columns(entries, rows) = self;
        Columns(&entries[from * rows..(from + count) * rows], rows)
    }

    fn view(self) -> MatRef<'a, f64> {
        let Columns(entries, rows) = self;
        MatRef::from_column_major_slice(entries, rows, entries.len() / rows.max(1))
    }
}

/// A^T B on the thread that calls.
pub fn inner_product(a: Columns<'_>, b: Columns<'_>) -> DMatrix<f64> {
    multiplied(a.view().transpose(), b.view())
}

/// A B^T on the thread that calls.
pub fn outer_product(a: Columns<'_>, b: Columns<'_>) -> DMatrix<f64> {
    multiplied(a.view(), b.view().transpose())
}

fn multiplied(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> DMatrix<f64> {
    let (rows, columns) = (a.nrows(), b.ncols());
    let mut out = zeros(rows, columns);
    faer::linalg::matmul::matmul(
        faer::MatMut::from_column_major_slice_mut(out.as_mut_slice(), rows, columns),
        faer::Accum::Replace,
        a,
        b,
        1.0,
        Par::Seq,
    );
    out
}

/// A thin singular value decomposition M = U diag(s) V^T, s descending.
pub struct Svd {
    /// rows x min(rows, columns).
    pub u: DMatrix<f64>,
    /// Descending.
    pub s: Vec<f64>,
    /// columns x min(rows, columns).
    pub v: DMatrix<f64>,
}

/// Thin SVD; `None` if the iteration fails, which it does only on entries that are not finite.
pub fn thin_svd(matrix: &DMatrix<f64>) -> Option<Svd> {
    let (rows, columns) = matrix.shape();
    let count = rows.min(columns);
    let (mut u, mut v) = (Mat::zeros(rows, count), Mat::zeros(columns, count));
    let mut s = Diag::zeros(count);
    let thin = ComputeSvdVectors::Thin;
    let size = svd::svd_scratch::<f64>(rows, columns, thin, thin, Par::Seq, Default::default());
    svd::svd(
        view(matrix),
        s.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(size)),
        Default::default(),
    )
    .ok()?;
    Some(Svd { u: owned(u.as_ref()), s: (0..count).map(|k| s[k]).collect(), v: owned(v.as_ref()) })
}

/// Eigenvalues (ascending) and orthonormal eigenvectors of a symmetric matrix.
pub struct SymmetricEigen {
    /// Ascending.
    pub values: DVector<f64>,
    /// One column a value.
    pub vectors: DMatrix<f64>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix, of which the lower triangle is read; `None` if
/// the iteration fails, which it does only on entries that are not finite.
pub fn symmetric_eigen(matrix: &DMatrix<f64>) -> Option<SymmetricEigen> {
    let n = matrix.nrows();
    let (mut vectors, mut values) = (Mat::zeros(n, n), Diag::zeros(n));
    let with = ComputeEigenvectors::Yes;
    let size = evd::self_adjoint_evd_scratch::<f64>(n, with, Par::Seq, Default::default());
    evd::self_adjoint_evd(
        view(matrix),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(size)),
        Default::default(),
    )
    .ok()?;
    let values = DVector::from_fn(n, |k, _| values[k]);
    Some(SymmetricEigen { values, vectors: owned(vectors.as_ref()) })
}

/// Orthonormal basis of the orthogonal complement of the columns of a (rows > columns) matrix.
pub fn complement(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let (n, k) = matrix.shape();
    if k == 0 {
        return DMatrix::identity(n, n);
    }
    let factors = Householder::new(view(matrix));
    let reflections = factors.reflections();
    let mut q = Mat::identity(n, n);
    let size = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
        n,
        factors.coefficients.nrows(),
        n,
    );
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reflections.as_ref(),
        factors.coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(size)),
    );
    owned(q.as_ref().subcols(k, n - k))
}

/// A QR decomposition as LAPACK packs it: R in the upper triangle, the reflections that make up Q under it.
struct Householder {
    packed: Mat<f64>,
    coefficients: Mat<f64>,
}

impl Householder {
    fn new(matrix: MatRef<'_, f64>) -> Self {
        let (rows, columns) = matrix.shape();
        let block = qr::recommended_block_size::<f64>(rows, columns);
        let mut packed = matrix.to_owned();
        let mut coefficients = Mat::zeros(block, rows.min(columns));
        let size =
            qr::qr_in_place_scratch::<f64>(rows, columns, block, Par::Seq, Default::default());
        qr::qr_in_place(
            packed.as_mut(),
            coefficients.as_mut(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(size)),
            Default::default(),
        );
        Householder { packed, coefficients }
    }

    /// The reflections, unit lower trapezoidal.
    fn reflections(&self) -> Mat<f64> {
        let (rows, columns) = self.packed.shape();
        Mat::from_fn(rows, rows.min(columns), |i, j| match i.cmp(&j) {
            Ordering::Less => 0.0,
            Ordering::Equal => 1.0,
            Ordering::Greater => self.packed[(i, j)],
        })
    }

    /// R of a matrix that is not wide, square and upper triangular.
    fn triangle(&self) -> Mat<f64> {
        let n = self.packed.ncols();
        Mat::from_fn(n, n, |i, j| if i <= j { self.packed[(i, j)] } else { 0.0 })
    }
}

/// Pseudo-inverse transposed of a matrix of full column rank: D with M^T D = I, and its condition
/// number.
pub fn dual(matrix: &DMatrix<f64>) -> Option<(DMatrix<f64>, f64)> {
    let svd = thin_svd(matrix)?;
    let (largest, smallest) = (*svd.s.first()?, *svd.s.last()?);
    if matrix.nrows() < matrix.ncols() || smallest <= largest * COLUMNS_DEPENDENT {
        return None;
    }
    let inverse = DVector::from_iterator(svd.s.len(), svd.s.iter().map(|s| 1.0 / s));
    Some((&svd.u * DMatrix::from_diagonal(&inverse) * svd.v.transpose(), largest / smallest))
}

/// Least squares min |M x - y| through the SVD, singular values under `cutoff` times the largest
/// left out; also the condition number.
pub fn least_squares(
    m: &DMatrix<f64>,
    y: &DVector<f64>,
    cutoff: f64,
) -> Option<(DVector<f64>, f64)> {
    let svd = thin_svd(m)?;
    let (largest, smallest) = (*svd.s.first()?, *svd.s.last()?);
    let mut coefficients = svd.u.transpose() * y;
    for (coefficient, &s) in coefficients.iter_mut().zip(&svd.s) {
        *coefficient = if s > cutoff * largest { *coefficient / s } else { 0.0 };
    }
    Some((&svd.v * coefficients, largest / smallest))
}

/// Eigenvectors of a square matrix, unit columns; of complex ones the real parts. `None` if the
/// iteration fails.
pub fn real_eigenvectors(matrix: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    if matrix.iter().any(|entry| !entry.is_finite()) {
        return None;
    }
    let n = matrix.nrows();
    let mut vectors = Mat::zeros(n, n);
    let (mut re, mut im) = (Diag::zeros(n), Diag::zeros(n));
    let (without, with) = (ComputeEigenvectors::No, ComputeEigenvectors::Yes);
    let size = evd::evd_scratch::<f64>(n, without, with, Par::Seq, Default::default());
    evd::evd_real(
        view(matrix),
        re.as_mut(),
        im.as_mut(),
        None,
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(size)),
        Default::default(),
    )
    .ok()?;
    let mut real = owned(vectors.as_ref());
    // A complex pair has its real part in one column and its imaginary part in the next.
    let mut j = 0;
    while j < n {
        if im[j] == 0.0 {
            j += 1;
            continue;
        }
        let part = real.column(j).into_owned();
        real.set_column(j + 1, &part);
        j += 2;
    }
    real.column_iter_mut().for_each(|mut v| {
        v.normalize_mut();
    });
    Some(real)
}

/// The middle one of the sorted `values`, the upper one of two; `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Root mean square of the entries.
pub fn rms(v: &DVector<f64>) -> f64 {
    v.norm() / (v.len() as f64).sqrt()
}

/// M M^T (both triangles) of a wide matrix, in parallel.
pub fn gram(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    gram_of(matrix, &Alone)
}

/// R^-1, where R is upper triangular and R^T R = M M^T for a wide matrix M of full row rank: all that
/// least squares with the design M^T need.
pub struct InverseFactor(DMatrix<f64>);

impl InverseFactor {
    /// From M M^T. `None` if it is not positive definite to working precision.
    pub fn of_gram(gram: DMatrix<f64>, workers: &dyn Workers) -> Option<Self> {
        let factor = blocks::lower_factor(gram, workers)?;
        Some(Self::of_triangle(view(&factor).transpose(), workers))
    }

    /// From M itself: right where M M^T is singular to working precision. `None` where M has not full row
    /// rank to working precision either.
    pub fn of_rows(m: &DMatrix<f64>) -> Option<Self> {
        let n = m.nrows();
        if n == 0 || m.ncols() < n {
            return None;
        }
        let r = Householder::new(view(m).transpose()).triangle();
        let sizes = (0..n).map(|k| r[(k, k)].abs());
        let (least, most) = sizes.fold((f64::INFINITY, 0.0f64), |(a, b), s| (a.min(s), b.max(s)));
        if least.is_nan() || least <= n as f64 * f64::EPSILON * most {
            return None;
        }
        Some(Self::of_triangle(r.as_ref(), &Alone))
    }

    fn of_triangle(r: MatRef<'_, f64>, workers: &dyn Workers) -> Self {
        InverseFactor(blocks::upper_inverse(r, workers))
    }

    /// The diagonal of (M M^T)^-1 = R^-1 R^-T.
    pub fn diagonal(&self) -> DVector<f64> {
        let mut squares = DVector::zeros(self.0.nrows());
        for column in self.0.column_iter() {
            squares.zip_apply(&column, |sum, entry| *sum += entry * entry);
        }
        squares
    }

    /// R^-1 itself, upper triangular.
    pub fn triangle(&self) -> &DMatrix<f64> {
        &self.0
    }

    /// (M M^T)^-1.
    pub fn inverse(&self, workers: &dyn Workers) -> DMatrix<f64> {
        gram_of(&self.0, workers)
    }

    /// R^-1 z, of covariance (M M^T)^-1 where z has covariance 1.
    pub fn spread(&self, z: &DVector<f64>) -> DVector<f64> {
        &self.0 * z
    }

    /// The same for all columns of `z`, at once.
    pub fn spread_columns(&self, z: &DMatrix<f64>) -> DMatrix<f64> {
        product(&self.0, z)
    }

    /// (M M^T)^-1 v.
    pub fn solve(&self, v: &DVector<f64>) -> DVector<f64> {
        &self.0 * self.0.tr_mul(v)
    }

    /// The same for all columns of `v`, at once.
    pub fn solve_columns(&self, v: &DMatrix<f64>) -> DMatrix<f64> {
        product(&self.0, &tr_product(&self.0, v))
    }
}

/// Cholesky factor of a symmetric positive definite matrix.
pub struct Cholesky(DMatrix<f64>);

impl Cholesky {
    /// `None` if the matrix is not positive definite to working precision.
    pub fn new(matrix: &DMatrix<f64>) -> Option<Self> {
        Self::by(matrix.clone(), &Alone)
    }

    /// The same, shared.
    pub fn by(matrix: DMatrix<f64>, workers: &dyn Workers) -> Option<Self> {
        blocks::lower_factor(matrix, workers).map(Cholesky)
    }

    fn solved(&self, rhs: MatRef<'_, f64>) -> Mat<f64> {
        let mut x = rhs.to_owned();
        let factor = view(&self.0);
        let size = llt::solve::solve_in_place_scratch::<f64>(x.nrows(), x.ncols(), Par::Seq);
        llt::solve::solve_in_place(
            factor,
            x.as_mut(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(size)),
        );
        x
    }

    /// Solves the linear system for all columns of `rhs`.
    pub fn solve_columns(&self, rhs: &DMatrix<f64>) -> DMatrix<f64> {
        owned(self.solved(view(rhs)).as_ref())
    }

    /// Solves the linear system.
    pub fn solve(&self, rhs: &DVector<f64>) -> DVector<f64> {
        let x = self.solved(MatRef::from_column_major_slice(rhs.as_slice(), rhs.len(), 1));
        DVector::from_fn(rhs.len(), |i, _| x[(i, 0)])
    }
}
