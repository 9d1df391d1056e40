//! Moments of the samples with the Hermite corrections, in two passes.
//!
//! In coordinates in which the inputs are standard Gaussian, and with m_j of [`hermite_moments`](super::hermite), the moments
//! of one output are
//!
//! ```text
//! M_2 = E y (x x - I)                 = sum_i u_i m_2 w_i w_i
//! M_3 = E y (x x x - x ~ I)           = sum_i u_i m_3 w_i w_i w_i
//! M_4 = E y (x x x x - x x ~ I + I ~ I) = sum_i u_i m_4 w_i w_i w_i w_i
//! ```
//!
//! for units w_i of norm 1, where ~ sums over the ways to share out the indices (three, six, three). The first pass takes M_2, and
//! where it vanishes M_3(I, I, a) for a few a, in all coordinates; from them comes the span of the w_i, and the second
//! pass takes M_2, M_3 and M_4 in its k coordinates alone: nothing of size d^3 is ever made.
//!
//! Hermite polynomials of different degree are uncorrelated. So whatever a polynomial of lower degree says of y may be
//! taken off first, and should: the moments stay, their noise falls to that of what is left of y.
//!
//! Every sum is kept for two halves of the samples. Half of their difference is as large as the noise of the mean.

use std::borrow::Cow;
use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use super::file::{Block, SampleError, Samples};
use crate::algebra::linalg::{
    Cholesky, Columns, inner_product, outer_product, product, symmetric_eigen,
};
use crate::algebra::svec::{order, smat, svec, svec_outer};

// Statistical.
/// Departures that are taken for real, in standard deviations: of a billion tests one errs.
pub(super) const SIGMAS: f64 = 6.0;
// Search effort.
/// Samples from which the coordinates and the linear part of y are taken before the first pass, at most. More make the moments
/// less noisy, until the linear part is known better than what is left of y needs.
const PILOT: usize = 1 << 16;

/// A sum for each half of the samples.
#[derive(Clone, Debug)]
pub(super) struct Halves(pub [DMatrix<f64>; 2]);

impl Halves {
    fn mean(&self, count: f64) -> DMatrix<f64> {
        (&self.0[0] + &self.0[1]) / count
    }

    /// As large as the error of the mean.
    fn noise(&self, count: f64) -> DMatrix<f64> {
        (&self.0[0] - &self.0[1]) / count
    }

    fn add(&mut self, other: &Halves) {
        self.0[0] += &other.0[0];
        self.0[1] += &other.0[1];
    }
}

/// Coordinates in which the inputs are standard Gaussian, and what is linear in y: R (x - mean), b + beta^T R (x - mean).
#[derive(Clone, Debug)]
pub struct Frame {
    mean: DVector<f64>,
    /// R, d x d and symmetric; `None` for the identity, without a mean.
    root: Option<DMatrix<f64>>,
    /// d x m.
    beta: DMatrix<f64>,
    /// m.
    offset: DVector<f64>,
}

impl Frame {
    /// From the first samples of the range. `None` where they lie in a subspace, or are fewer than twice the inputs.
    ///
    /// # Errors
    /// Those of reading the samples.
    pub fn of(samples: &Samples, range: Range<usize>) -> Result<Option<Frame>, SampleError> {
        let count = range.len().min(PILOT);
        let (mut x, y) = samples.part(range.start..range.start + count)?;
        let (d, n) = (x.nrows(), count as f64);
        if count < 2 * d {
            return Ok(None);
        }
        let mean = x.column_mean();
        let covariance = &x * x.transpose() / n - &mean * mean.transpose();
        let standard = is_standard(&mean, &covariance, n);
        let root = if standard {
            None
        } else {
            let Some(eigen) = symmetric_eigen(&covariance) else { return Ok(None) };
            let least = eigen.values.max() * d as f64 * f64::EPSILON;
            if eigen.values.min() <= least {
                return Ok(None);
            }
            let scales = eigen.values.map(|value| value.powf(-0.5));
            Some(&eigen.vectors * DMatrix::from_diagonal(&scales) * eigen.vectors.transpose())
        };
        let mean = if standard { DVector::zeros(d) } else { mean };
        if let Some(root) = &root {
            for mut column in x.column_iter_mut() {
                column -= &mean;
            }
            x = root * x;
        }
        let offset = y.column_mean();
        let centred = x.column_mean();
        let gram = &x * x.transpose() / n - &centred * centred.transpose();
        let cross = &x * y.transpose() / n - &centred * offset.transpose();
        let Some(factor) = Cholesky::new(&gram) else { return Ok(None) };
        let beta = factor.solve_columns(&cross);
        let offset = offset - beta.tr_mul(&centred);
        Ok(Some(Frame { mean, root, beta, offset }))
    }

    /// Are the inputs standard Gaussian as they are, as far as mean and covariance go?
    pub fn is_standard(&self) -> bool {
        self.root.is_none()
    }

    /// Weights in the coordinates of the samples, up to a factor: those of R (x - mean) times R.
    pub(super) fn back(&self, directions: &DMatrix<f64>) -> DMatrix<f64> {
        self.root.as_ref().map_or_else(|| directions.clone(), |root| root * directions)
    }

    /// The inputs in these coordinates, d x b, and y less its linear part.
    fn apply<'a>(&self, block: Block<'a>) -> (Cow<'a, [f64]>, DMatrix<f64>) {
        let ((x, y), d) = (block.numbers, block.x.nrows());
        let x = match &self.root {
            None => Cow::Borrowed(x),
            Some(root) => {
                let mut x = x.to_vec();
                add_to_columns(&mut x, &-&self.mean);
                let centred = DMatrix::from_vec(d, block.x.ncols(), x);
                Cow::Owned(product(root, &centred).data.into())
            }
        };
        let mut rest = DMatrix::from_column_slice(block.y.nrows(), block.y.ncols(), y);
        rest -= inner_product((&self.beta).into(), Columns(&x, d));
        add_to_columns(rest.as_mut_slice(), &-&self.offset);
        (x, rest)
    }
}

/// Adds to each column of a matrix in column-major order.
fn add_to_columns(entries: &mut [f64], column: &DVector<f64>) {
    for entries in entries.chunks_exact_mut(column.len()) {
        entries.iter_mut().zip(column.iter()).for_each(|(entry, added)| *entry += added);
    }
}

/// Do mean and covariance of n samples agree with 0 and I?
fn is_standard(mean: &DVector<f64>, covariance: &DMatrix<f64>, n: f64) -> bool {
    let d = mean.len();
    let off = covariance - DMatrix::identity(d, d);
    // The variance of an entry is 1/n off the diagonal and 2/n on it.
    let limit = SIGMAS * (2.0 / n).sqrt();
    mean.amax() <= limit && off.amax() <= limit
}

/// What the first pass sums over a block.
struct First {
    /// Of R (x - mean): d x (1 + d), the sum and the sum of x x^T.
    inputs: DMatrix<f64>,
    /// Sums of |x|^4, then of x_i^4.
    fourth: DVector<f64>,
    /// For each weight t of y, t a^T x: the sums of t x x^T side by side, d x d T.
    second: Halves,
    /// Sums of y x^T, m x d, and of y.
    linear: Halves,
    constant: DVector<f64>,
}

/// The moments of the first pass.
#[derive(Clone, Debug)]
pub struct Wide {
    /// d x (d q): matrices whose range is spanned by the units, side by side, each in units of its noise.
    pub(super) stack: DMatrix<f64>,
    /// The same made of noise alone.
    pub(super) noise: DMatrix<f64>,
    /// What they are to be multiplied by to be the moments.
    pub(super) unit: f64,
    /// How the fourth moments of the inputs depart from those of a Gaussian, in standard deviations.
    pub kurtosis: f64,
}

/// One pass over the samples of the range: P_2, of the second moments where `second`, else of third ones contracted with
/// the columns of `contracted` (d x q).
///
/// # Errors
/// Those of reading the samples.
pub fn wide(
    samples: &Samples,
    range: Range<usize>,
    frame: &Frame,
    contracted: Option<&DMatrix<f64>>,
) -> Result<Wide, SampleError> {
    let n = range.len() as f64;
    let part = |block: Block<'_>| first_of(frame.apply(block), contracted);
    let add = |total: &mut First, other: First| {
        total.inputs += other.inputs;
        total.fourth += other.fourth;
        total.second.add(&other.second);
        total.linear.add(&other.linear);
        total.constant += other.constant;
    };
    let Some(sums) = samples.sum(range, part, add)? else {
        return Ok(Wide {
            stack: DMatrix::zeros(samples.inputs(), 0),
            noise: DMatrix::zeros(samples.inputs(), 0),
            unit: 1.0,
            kurtosis: 0.0,
        });
    };
    let moments =
        |second: DMatrix<f64>, linear: DMatrix<f64>, constant: DVector<f64>| match contracted {
            None => corrected_second(second, &constant),
            Some(a) => corrected_third(second, &linear, a),
        };
    let stack = moments(sums.second.mean(n), sums.linear.mean(n), sums.constant.clone() / n);
    let noise =
        moments(sums.second.noise(n), sums.linear.noise(n), DVector::zeros(sums.constant.len()));
    let scale = rms(&noise).recip();
    let scale = if scale.is_finite() { scale } else { 1.0 };
    Ok(Wide {
        stack: stack * scale,
        noise: noise * scale,
        unit: scale.recip(),
        kurtosis: kurtosis(&sums, n),
    })
}

fn first_of((x, y): (Cow<'_, [f64]>, DMatrix<f64>), contracted: Option<&DMatrix<f64>>) -> First {
    let count = y.ncols();
    let (d, x) = (x.len() / count, Columns(&x, x.len() / count));
    let weights = contracted.map(|a| contracted_weights(&y, &inner_product(a.into(), x)));
    let weights = weights.as_ref().unwrap_or(&y);
    let middle = count / 2;
    let half = |from: usize, width: usize| {
        let x = x.range(from, width);
        let second = weighted_products(x, x, Columns::from(weights).range(from, width));
        (second, outer_product(Columns::from(&y).range(from, width), x))
    };
    let ((first, one), (rest, other)) = (half(0, middle), half(middle, count - middle));
    let mut inputs = DMatrix::zeros(d, 1 + d);
    inputs.columns_mut(1, d).copy_from(&outer_product(x, x));
    let mut fourth = DVector::zeros(1 + d);
    let (sums, fourths) = (&mut inputs.as_mut_slice()[..d], fourth.as_mut_slice());
    for column in x.0.chunks_exact(d) {
        let mut norm = 0.0;
        let both = sums.iter_mut().zip(&mut fourths[1..]);
        for (x, (sum, fourth)) in column.iter().zip(both) {
            let square = x * x;
            norm += square;
            *sum += x;
            *fourth += square * square;
        }
        fourths[0] += norm * norm;
    }
    First {
        inputs,
        fourth,
        second: Halves([first, rest]),
        linear: Halves([one, other]),
        constant: y.column_sum(),
    }
}

/// y_o (a_q . x) for each output and each q, from the a_q . x.
fn contracted_weights(y: &DMatrix<f64>, along: &DMatrix<f64>) -> DMatrix<f64> {
    let (q, count) = along.shape();
    let mut weights = DMatrix::zeros(y.nrows() * q, count);
    let columns = y.column_iter().zip(along.column_iter());
    for ((y, along), mut weights) in columns.zip(weights.column_iter_mut()) {
        for (y, weights) in y.iter().zip(weights.as_mut_slice().chunks_exact_mut(q)) {
            weights.iter_mut().zip(along.iter()).for_each(|(weight, along)| *weight = y * along);
        }
    }
    weights
}

/// sum_j t_rj a_j b_j^T for each row r of the weights t, side by side.
fn weighted_products(a: Columns<'_>, b: Columns<'_>, weights: Columns<'_>) -> DMatrix<f64> {
    let (Columns(entries, height), width) = (a, b.1);
    let mut scaled = entries.to_vec();
    let mut sums = DMatrix::zeros(height, width * weights.1);
    for r in 0..weights.1 {
        let columns = scaled.chunks_exact_mut(height).zip(entries.chunks_exact(height));
        for ((scaled, a), weights) in columns.zip(weights.0.chunks_exact(weights.1)) {
            let weight = weights[r];
            scaled.iter_mut().zip(a).for_each(|(scaled, a)| *scaled = weight * a);
        }
        let part = outer_product(Columns(&scaled, height), b);
        sums.columns_mut(r * width, width).copy_from(&part);
    }
    sums
}

/// M_2 of each output, from the means of y x x^T and of y.
fn corrected_second(mut second: DMatrix<f64>, constant: &DVector<f64>) -> DMatrix<f64> {
    let d = second.nrows();
    for (o, y) in constant.iter().enumerate() {
        (0..d).for_each(|i| second[(i, o * d + i)] -= y);
    }
    second
}

/// M_3(I, I, a) of each output and each a, from the means of y (a . x) x x^T and of y x^T.
fn corrected_third(
    mut third: DMatrix<f64>,
    linear: &DMatrix<f64>,
    contracted: &DMatrix<f64>,
) -> DMatrix<f64> {
    let (d, q) = contracted.shape();
    for r in 0..third.ncols() / d {
        let (e, a) = (linear.row(r / q).transpose(), contracted.column(r % q));
        let both = &e * a.transpose();
        let mut slice = third.columns_mut(r * d, d);
        slice -= &both;
        slice -= both.transpose();
        let along = a.dot(&e);
        (0..d).for_each(|i| slice[(i, i)] -= along);
    }
    third
}

/// How fourth moments depart from those of a Gaussian with the same second ones, in standard deviations: all coordinates
/// together (Mardia, Biometrika 57, 1970), and each alone.
fn kurtosis(sums: &First, n: f64) -> f64 {
    let d = sums.fourth.len() - 1;
    let covariance = sums.inputs.columns(1, d) / n;
    let trace = covariance.trace();
    let expected = trace * trace + 2.0 * covariance.norm_squared();
    let all = (sums.fourth[0] / n - expected) / (8.0 * (d * (d + 2)) as f64 / n).sqrt();
    let one =
        |i: usize| (sums.fourth[1 + i] / n - 3.0 * covariance[(i, i)].powi(2)) / (24.0 / n).sqrt();
    (0..d).map(one).fold(all.abs(), |most, z| most.max(z.abs()))
}

fn rms(matrix: &DMatrix<f64>) -> f64 {
    (matrix.norm_squared() / matrix.len().max(1) as f64).sqrt()
}

/// The moments in the span of the units.
#[derive(Clone, Debug)]
pub struct Narrow {
    /// Symmetric k x k matrices as svec's, each W D W^T with D diagonal, in units of their noise.
    pub(super) slices: DMatrix<f64>,
    /// The same made of noise alone.
    pub(super) noise: DMatrix<f64>,
}

/// What the second pass sums over a block, of what is left of y: t, t z, t z z, t z z z and t z z z z for each output.
struct Second {
    constant: DVector<f64>,
    /// k x m.
    linear: Halves,
    /// svec's, q x m for q = k (k + 1) / 2.
    second: Halves,
    /// q x k m.
    third: Halves,
    /// q x q m.
    fourth: Halves,
}

/// The second pass over the samples of the range, in the coordinates of the orthonormal columns of `span` (d x k).
/// `second` are the second moments of the first pass (d x d m), if it took them; `orders` says which moments of order 2 to 4 to take.
///
/// # Errors
/// Those of reading the samples.
pub fn narrow(
    samples: &Samples,
    range: Range<usize>,
    frame: &Frame,
    span: &DMatrix<f64>,
    second: Option<&DMatrix<f64>>,
    orders: [bool; 5],
) -> Result<Narrow, SampleError> {
    let (n, m, k) = (range.len() as f64, samples.outputs(), span.ncols());
    let d = span.nrows();
    let inner = |o: usize| second.map(|second| span.transpose() * second.columns(o * d, d) * span);
    // What is already known of M_2, taken off y: half of it, for z^T M z - tr M has twice M as its own second moment.
    let known: Option<DMatrix<f64>> = second.map(|_| {
        DMatrix::from_columns(
            &(0..m)
                .filter_map(|o| inner(o).map(|inner| DVector::from_vec(svec(&inner))))
                .collect::<Vec<_>>(),
        )
    });
    let part = |block: Block<'_>| {
        let (x, y) = frame.apply(block);
        second_of(&inner_product(span.into(), Columns(&x, d)), y, known.as_ref(), orders)
    };
    let add = |total: &mut Second, other: Second| {
        total.constant += other.constant;
        total.linear.add(&other.linear);
        total.second.add(&other.second);
        total.third.add(&other.third);
        total.fourth.add(&other.fourth);
    };
    let Some(sums) = samples.sum(range, part, add)? else {
        return Ok(Narrow {
            slices: DMatrix::zeros(k * (k + 1) / 2, 0),
            noise: DMatrix::zeros(k * (k + 1) / 2, 0),
        });
    };
    let take = |of: &dyn Fn(&Halves) -> DMatrix<f64>,
                constant: DVector<f64>,
                known: Option<&DMatrix<f64>>| {
        let (linear, second) = (of(&sums.linear), of(&sums.second));
        [
            order_two(&second, &constant, known),
            order_three(of(&sums.third), &linear),
            order_four(of(&sums.fourth), &second, &constant),
        ]
    };
    let slices = take(&|sums| sums.mean(n), sums.constant.clone() / n, known.as_ref());
    let noise = take(&|sums| sums.noise(n), DVector::zeros(m), None);
    let taken = slices.iter().zip(&noise).zip(&orders[2..]).filter(|(_, taken)| **taken);
    let mut both = (Vec::new(), Vec::new());
    for ((slices, noise), _) in taken {
        let scale = rms(noise).recip();
        let scale = if scale.is_finite() { scale } else { 1.0 };
        both.0.extend((slices * scale).column_iter().map(|column| column.into_owned()));
        both.1.extend((noise * scale).column_iter().map(|column| column.into_owned()));
    }
    Ok(Narrow { slices: DMatrix::from_columns(&both.0), noise: DMatrix::from_columns(&both.1) })
}

fn second_of(
    z: &DMatrix<f64>,
    mut y: DMatrix<f64>,
    known: Option<&DMatrix<f64>>,
    orders: [bool; 5],
) -> Second {
    let (k, count) = z.shape();
    let q = k * (k + 1) / 2;
    let mut squares = DMatrix::zeros(q, count);
    for (z, square) in z.as_slice().chunks_exact(k).zip(squares.as_mut_slice().chunks_exact_mut(q))
    {
        svec_outer(z, square);
    }
    if let Some(known) = known {
        let identity = svec(&DMatrix::identity(k, k));
        let traces = known.tr_mul(&DVector::from_vec(identity));
        y -= inner_product(known.into(), (&squares).into()) * 0.5;
        add_to_columns(y.as_mut_slice(), &(traces * 0.5));
    }
    let middle = count / 2;
    let both = |of: &dyn Fn(usize, usize) -> DMatrix<f64>| {
        Halves([of(0, middle), of(middle, count - middle)])
    };
    let weighted = |of: &DMatrix<f64>, from: usize, width: usize| {
        let part = |of| Columns::from(of).range(from, width);
        weighted_products(part(&squares), part(of), part(&y))
    };
    let none = || Halves([DMatrix::zeros(q, 0), DMatrix::zeros(q, 0)]);
    let of = |matrix: &DMatrix<f64>, from, width| {
        outer_product(
            Columns::from(matrix).range(from, width),
            Columns::from(&y).range(from, width),
        )
    };
    Second {
        constant: y.column_sum(),
        linear: both(&|from, width| of(z, from, width)),
        second: both(&|from, width| of(&squares, from, width)),
        third: if orders[3] { both(&|from, width| weighted(z, from, width)) } else { none() },
        fourth: if orders[4] {
            both(&|from, width| weighted(&squares, from, width))
        } else {
            none()
        },
    }
}

/// svec M_2 of each output: the mean of t z z less that of t, and what was known of it.
fn order_two(
    second: &DMatrix<f64>,
    constant: &DVector<f64>,
    known: Option<&DMatrix<f64>>,
) -> DMatrix<f64> {
    let k = order(second.nrows());
    let identity = DVector::from_vec(svec(&DMatrix::identity(k, k)));
    let corrected = second - identity * constant.transpose();
    known.map_or(corrected.clone(), |known| corrected + known)
}

/// The slices M_3(., ., e_j) of each output as svec's.
fn order_three(mut third: DMatrix<f64>, linear: &DMatrix<f64>) -> DMatrix<f64> {
    let k = linear.nrows();
    for (column, mut slice) in third.column_iter_mut().enumerate() {
        let (o, j) = (column / k, column % k);
        let mut correction = DMatrix::identity(k, k) * linear[(j, o)];
        let mut row = correction.row_mut(j);
        row += linear.column(o).transpose();
        let mut column = correction.column_mut(j);
        column += linear.column(o);
        slice -= DVector::from_vec(svec(&correction));
    }
    third
}

/// M_4 of each output, contracted with every matrix of the basis of svec.
fn order_four(
    mut fourth: DMatrix<f64>,
    second: &DMatrix<f64>,
    constant: &DVector<f64>,
) -> DMatrix<f64> {
    let q = second.nrows();
    let k = order(q);
    let identity = DMatrix::identity(k, k);
    for (column, mut slice) in fourth.column_iter_mut().enumerate() {
        let (o, b) = (column / q, column % q);
        let mut basis = DVector::zeros(q);
        basis[b] = 1.0;
        let (e, a) = (smat(basis.as_slice()), smat(second.column(o).into_owned().as_slice()));
        let product = &a * &e;
        let six = &a * e.trace() + &identity * a.dot(&e) + (&product + product.transpose()) * 2.0;
        let three = &identity * e.trace() + &e * 2.0;
        slice -= DVector::from_vec(svec(&(six - three * constant[o])));
    }
    fourth
}
