//! Finite-difference schemes for gradients and Hessians along arbitrary directions.
//!
//! A stencil is a set of nodes x + h (p v_i + q v_j) and a rule that turns the values there into
//! derivatives. Truncation and noise, for a function with bounded derivatives and values known to
//! an absolute accuracy eta:
//!
//! | scheme | truncation | noise | queries for k directions |
//! |---|---|---|---|
//! | gradient, order 2 | h^2 | eta / h | 2k |
//! | gradient, order 4 | h^4 | 1.5 eta / h | 4k |
//! | Hessian, forward | h | 4 eta / h^2 | (k+1)(k+2)/2 |
//! | Hessian, central | h^2 | eta / h^2 | 2k^2 + 1 |
//! | Hessian, polarised | h^2 | 3 eta / h^2 | k^2 + k + 1 |
//! | Hessian, Richardson (polarised at h and 2h) | h^4 | 4 eta / h^2 | 2k^2 + 2k + 1 |
//! | along lines, first and second derivative | h^4 | 1.5 eta / h, 4 eta / h^2 | 4k + 1 |
//! | mixed second derivatives along pairs | h^8 | 5 eta / h^2 | 8 (k + pairs) + 1 |
//! | mixed third derivatives along triples | h^10 | 5 eta / h^3 | 12 (k + pairs + triples) |

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};

/// Nodes evaluated in one call of the oracle, so that memory stays bounded.
const NODES_PER_CALL: usize = 1 << 15;

/// How gradients are differenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GradientScheme {
    /// [f(x+hv) - f(x-hv)] / 2h.
    Central2,
    /// [8 (f(x+hv) - f(x-hv)) - (f(x+2hv) - f(x-2hv))] / 12h.
    Central4,
}

/// How Hessians are differenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HessianScheme {
    /// [f(x+hv+hw) - f(x+hv) - f(x+hw) + f(x)] / h^2.
    Forward,
    /// [f(x+hv+hw) + f(x-hv-hw) - f(x+hv-hw) - f(x-hv+hw)] / 4h^2.
    Central,
    /// [f(x+hv+hw) + f(x-hv-hw) - f(x+hv) - f(x-hv) - f(x+hw) - f(x-hw) + 2f(x)] / 2h^2.
    Polarised,
    /// (4 P(h) - P(2h)) / 3 with P the polarised scheme: order h^4.
    Richardson,
}

impl GradientScheme {
    /// Queries for one gradient along `k` directions.
    pub fn queries(self, k: usize) -> u64 {
        match self {
            GradientScheme::Central2 => 2 * k as u64,
            GradientScheme::Central4 => 4 * k as u64,
        }
    }

    /// Displacements of all nodes of the stencil along the columns of `directions` (d x k), as the
    /// columns of a d x nodes matrix.
    pub fn offsets(self, directions: &DMatrix<f64>, h: f64) -> DMatrix<f64> {
        let multiples = self.multiples();
        let mut offsets = DMatrix::zeros(directions.nrows(), directions.ncols() * multiples.len());
        for (n, mut offset) in offsets.column_iter_mut().enumerate() {
            offset.axpy(
                h * multiples[n % multiples.len()],
                &directions.column(n / multiples.len()),
                0.0,
            );
        }
        offsets
    }

    /// Multiples of h visited along each direction.
    fn multiples(self) -> &'static [f64] {
        match self {
            GradientScheme::Central2 => &[1.0, -1.0],
            GradientScheme::Central4 => &[1.0, -1.0, 2.0, -2.0],
        }
    }

    fn derivative(self, values: &[f64], h: f64) -> f64 {
        match self {
            GradientScheme::Central2 => (values[0] - values[1]) / (2.0 * h),
            GradientScheme::Central4 => {
                (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * h)
            }
        }
    }
}

/// A displacement p v_i + q v_j in units of h.
#[derive(Clone, Copy)]
struct Node {
    i: usize,
    p: f64,
    j: usize,
    q: f64,
}

impl Node {
    fn axis(i: usize, p: f64) -> Self {
        Node { i, p, j: i, q: 0.0 }
    }

    fn pair(i: usize, p: f64, j: usize, q: f64) -> Self {
        Node { i, p, j, q }
    }
}

impl HessianScheme {
    /// Queries for one Hessian along `k` directions.
    pub fn queries(self, k: usize) -> u64 {
        let k = k as u64;
        match self {
            // Along no direction there is nothing to know.
            _ if k == 0 => 0,
            HessianScheme::Forward => (k + 1) * (k + 2) / 2,
            HessianScheme::Central => 2 * k * k + 1,
            HessianScheme::Polarised => k * k + k + 1,
            HessianScheme::Richardson => 2 * k * k + 2 * k + 1,
        }
    }

    /// Displacements of all nodes of the stencil along the columns of `directions` (d x k, k >= 1), as
    /// the columns of a d x nodes matrix.
    pub fn offsets(self, directions: &DMatrix<f64>, h: f64) -> DMatrix<f64> {
        let nodes = self.nodes(directions.ncols());
        let mut offsets = DMatrix::zeros(directions.nrows(), nodes.len());
        for (node, mut offset) in nodes.iter().zip(offsets.column_iter_mut()) {
            offset.axpy(h * node.p, &directions.column(node.i), 1.0);
            offset.axpy(h * node.q, &directions.column(node.j), 1.0);
        }
        offsets
    }

    /// The centre first, then the axes, then the pairs i < j in svec order.
    fn nodes(self, k: usize) -> Vec<Node> {
        let mut nodes = vec![Node::axis(0, 0.0)];
        let multiples: &[f64] = match self {
            HessianScheme::Forward => {
                // The diagonal uses the node 2h, the forward scheme with v = w.
                nodes.extend((0..k).flat_map(|i| [Node::axis(i, 1.0), Node::axis(i, 2.0)]));
                nodes.extend(pairs(k).map(|(i, j)| Node::pair(i, 1.0, j, 1.0)));
                return nodes;
            }
            HessianScheme::Central => {
                nodes.extend((0..k).flat_map(|i| [Node::axis(i, 2.0), Node::axis(i, -2.0)]));
                nodes.extend(pairs(k).flat_map(|(i, j)| {
                    [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)]
                        .map(|(p, q)| Node::pair(i, p, j, q))
                }));
                return nodes;
            }
            HessianScheme::Polarised => &[1.0],
            HessianScheme::Richardson => &[1.0, 2.0],
        };
        for &m in multiples {
            nodes.extend((0..k).flat_map(|i| [Node::axis(i, m), Node::axis(i, -m)]));
            nodes.extend(
                pairs(k).flat_map(|(i, j)| [Node::pair(i, m, j, m), Node::pair(i, -m, j, -m)]),
            );
        }
        nodes
    }

    /// svec of the Hessian from the values at [`nodes`](Self::nodes).
    fn assemble(self, values: &[f64], k: usize, h: f64, svec: &mut [f64]) {
        let (centre, rest) = (values[0], &values[1..]);
        match self {
            HessianScheme::Forward => {
                let (axes, pair) = rest.split_at(2 * k);
                fill(
                    k,
                    svec,
                    |i| (axes[2 * i + 1] - 2.0 * axes[2 * i] + centre) / (h * h),
                    |n, i, j| (pair[n] - axes[2 * i] - axes[2 * j] + centre) / (h * h),
                );
            }
            HessianScheme::Central => {
                let (axes, pair) = rest.split_at(2 * k);
                let scale = 1.0 / (4.0 * h * h);
                fill(
                    k,
                    svec,
                    |i| scale * (axes[2 * i] + axes[2 * i + 1] - 2.0 * centre),
                    |n, _, _| {
                        let p = &pair[4 * n..4 * n + 4];
                        scale * ((p[0] + p[1]) - (p[2] + p[3]))
                    },
                );
            }
            HessianScheme::Polarised => polarised(centre, rest, k, h, svec),
            HessianScheme::Richardson => {
                let (near, far) = rest.split_at(rest.len() / 2);
                let mut coarse = vec![0.0; svec.len()];
                polarised(centre, near, k, h, svec);
                polarised(centre, far, k, 2.0 * h, &mut coarse);
                for (fine, coarse) in svec.iter_mut().zip(coarse) {
                    *fine += (*fine - coarse) / 3.0;
                }
            }
        }
    }
}

/// Pairs i < j in the order of svec: column by column of the upper triangle.
fn pairs(k: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..k).flat_map(|j| (0..j).map(move |i| (i, j)))
}

/// Writes an svec from a rule for the diagonal and one for the n-th pair.
fn fill(
    k: usize,
    svec: &mut [f64],
    diagonal: impl Fn(usize) -> f64,
    pair: impl Fn(usize, usize, usize) -> f64,
) {
    let (mut at, mut n) = (0, 0);
    for j in 0..k {
        for i in 0..j {
            svec[at] = std::f64::consts::SQRT_2 * pair(n, i, j);
            at += 1;
            n += 1;
        }
        svec[at] = diagonal(j);
        at += 1;
    }
}

fn polarised(centre: f64, values: &[f64], k: usize, h: f64, svec: &mut [f64]) {
    let (axes, pair) = values.split_at(2 * k);
    // s_i = f(x + h v_i) + f(x - h v_i) - 2 f(x)
    let second: Vec<f64> =
        axes.chunks_exact(2).map(|a| (a[0] - centre) + (a[1] - centre)).collect();
    fill(
        k,
        svec,
        |i| second[i] / (h * h),
        |n, i, j| {
            let both = (pair[2 * n] - centre) + (pair[2 * n + 1] - centre);
            (both - second[i] - second[j]) / (2.0 * h * h)
        },
    );
}

/// Asks for values at the columns of a matrix of points; `E` is what may go wrong, and
/// [`Infallible`](std::convert::Infallible) for values that are always there.
pub type Values<'a, E> = dyn FnMut(&DMatrix<f64>) -> Result<DVector<f64>, E> + 'a;

/// Directional derivatives along the columns of `directions` (d x k) at the columns of `centres`
/// (d x n): a k x n matrix.
pub fn gradients<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: GradientScheme,
    h: f64,
) -> Result<DMatrix<f64>, E> {
    let (k, multiples) = (directions.ncols(), scheme.multiples());
    let offsets = scheme.offsets(directions, h);
    over_centres(f, centres, &offsets, k, |values, gradient| {
        for (derivative, values) in gradient.iter_mut().zip(values.chunks_exact(multiples.len())) {
            *derivative = scheme.derivative(values, h);
        }
    })
}

/// svec's of the Hessians along the columns of `directions` (d x k) at the columns of `centres`
/// (d x n): a k(k+1)/2 x n matrix.
pub fn hessians<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> Result<DMatrix<f64>, E> {
    let k = directions.ncols();
    if k == 0 {
        return Ok(DMatrix::zeros(0, centres.ncols()));
    }
    let offsets = scheme.offsets(directions, h);
    over_centres(f, centres, &offsets, k * (k + 1) / 2, |values, svec| {
        scheme.assemble(values, k, h, svec);
    })
}

/// f along lines through points.
#[derive(Clone, Debug)]
pub struct Lines {
    /// f at the n points.
    pub values: DVector<f64>,
    /// First derivatives along the k lines, k x n.
    pub first: DMatrix<f64>,
    /// Second derivatives along them, k x n.
    pub second: DMatrix<f64>,
}

/// First and second derivatives along the columns of `directions` (d x k) at the columns of `centres` (d x n), both
/// of order 4 and from the same values.
pub fn lines<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    h: f64,
) -> Result<Lines, E> {
    let (d, k) = directions.shape();
    let scheme = GradientScheme::Central4;
    let mut offsets = DMatrix::zeros(d, 4 * k + 1);
    offsets.columns_mut(1, 4 * k).copy_from(&scheme.offsets(directions, h));
    let all = over_centres(f, centres, &offsets, 2 * k + 1, |values, out| {
        out[0] = values[0];
        for (line, values_there) in values[1..].chunks_exact(4).enumerate() {
            out[1 + line] = first_along(values_there, h);
            out[1 + k + line] = second_along(values[0], values_there, h);
        }
    })?;
    Ok(Lines {
        values: all.row(0).transpose(),
        first: all.rows(1, k).into_owned(),
        second: all.rows(1 + k, k).into_owned(),
    })
}

/// Values, first derivatives along directions and mixed second ones along pairs of them.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// At the centres, n.
    pub values: DVector<f64>,
    /// First derivatives, k x n.
    pub first: DMatrix<f64>,
    /// Second ones, k x n.
    pub along: DMatrix<f64>,
    /// Mixed second ones, pairs x n.
    pub second: DMatrix<f64>,
}

/// What values at 1, 2, 3 and 4 steps, either side, count in differences of order 8: in the first and in the second
/// derivative; the latter has the centre too.
const ORDER_8: [(f64, f64); 4] = [
    (4.0 / 5.0, 8.0 / 5.0),
    (-1.0 / 5.0, -1.0 / 5.0),
    (4.0 / 105.0, 8.0 / 315.0),
    (-1.0 / 280.0, -1.0 / 560.0),
];
/// The same up to 6 steps in third derivatives, which suffer most from small ones: order 10.
const THIRD: [f64; 6] = [
    -1769.0 / 700.0,
    4469.0 / 2240.0,
    -4969.0 / 7560.0,
    643.0 / 4200.0,
    -19.0 / 840.0,
    479.0 / 302_400.0,
];

/// Derivatives of order 8 along the columns of `directions` (d x k), and along `pairs` of them, at the columns of `centres`
/// with steps up to 4 `h`: 8 queries for each direction and each pair, and one. The order allows larger steps, and
/// mixed derivatives suffer most from small ones.
pub fn mixed<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    pairs: &[[usize; 2]],
    h: f64,
) -> Result<Mixed, E> {
    let k = directions.ncols();
    let sums = pairs.iter().map(|&[i, j]| directions.column(i) + directions.column(j));
    let lines: Vec<DVector<f64>> =
        directions.column_iter().map(|v| v.into_owned()).chain(sums).collect();
    let nodes = 2 * ORDER_8.len();
    let offsets = along_lines(&lines, ORDER_8.len(), h).insert_column(0, 0.0);
    let all = over_centres(f, centres, &offsets, 1 + 2 * k + pairs.len(), |values, out| {
        let centre = values[0];
        let lines: Vec<&[f64]> = values[1..].chunks_exact(nodes).collect();
        let seconds: Vec<f64> =
            lines.iter().map(|line| second_of_order_8(centre, line, h)).collect();
        out[0] = centre;
        for (out, line) in out[1..=k].iter_mut().zip(&lines) {
            let terms = ORDER_8.iter().zip(line.chunks_exact(2));
            *out = terms.map(|(&(first, _), v)| first * (v[0] - v[1])).sum::<f64>() / h;
        }
        out[1 + k..][..k].copy_from_slice(&seconds[..k]);
        for (n, &[i, j]) in pairs.iter().enumerate() {
            // Along i + j, less those along i and along j.
            out[1 + 2 * k + n] = 0.5 * (seconds[k + n] - seconds[i] - seconds[j]);
        }
    })?;
    Ok(Mixed {
        values: all.row(0).transpose(),
        first: all.rows(1, k).into_owned(),
        along: all.rows(1 + k, k).into_owned(),
        second: all.rows(1 + 2 * k, pairs.len()).into_owned(),
    })
}

/// Mixed third derivatives of order 10 along `triples` i < j < k of the columns of `directions` (d x k) at the columns of
/// `centres`, triples x n, with steps up to 6 `h`: 12 queries for each triple, and for each pair and each direction in them.
pub fn mixed_third<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    triples: &[[usize; 3]],
    h: f64,
) -> Result<DMatrix<f64>, E> {
    // Sums of one, two and three directions, each once.
    let mut places: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    let mut sums: Vec<DVector<f64>> = Vec::new();
    let mut place = |sum: &[usize]| {
        *places.entry(sum.to_vec()).or_insert_with(|| {
            sums.push(directions.select_columns(sum).column_sum());
            sums.len() - 1
        })
    };
    // By inclusion and exclusion: all three, less each pair, and each one.
    let terms: Vec<[usize; 7]> = triples
        .iter()
        .map(|&[i, j, k]| {
            [&[i, j, k][..], &[i, j], &[i, k], &[j, k], &[i], &[j], &[k]].map(&mut place)
        })
        .collect();
    let (nodes, offsets) = (2 * THIRD.len(), along_lines(&sums, THIRD.len(), h));
    over_centres(f, centres, &offsets, triples.len(), |values, out| {
        let thirds: Vec<f64> = values.chunks_exact(nodes).map(|line| third(line, h)).collect();
        for (out, &[all, pairs @ .., i, j, k]) in out.iter_mut().zip(&terms) {
            let pairs: f64 = pairs.iter().map(|&pair| thirds[pair]).sum();
            *out = (thirds[all] - pairs + thirds[i] + thirds[j] + thirds[k]) / 6.0;
        }
    })
}

/// Where differences along `lines` need values, up to so many `steps` of h: at h, -h, 2h, -2h, ... for each.
fn along_lines(lines: &[DVector<f64>], steps: usize, h: f64) -> DMatrix<f64> {
    let multiples: Vec<f64> = (1..=steps).flat_map(|m| [m as f64 * h, -(m as f64) * h]).collect();
    let (d, nodes) = (lines.first().map_or(0, |line| line.len()), multiples.len());
    DMatrix::from_fn(d, nodes * lines.len(), |i, n| lines[n / nodes][i] * multiples[n % nodes])
}

fn third(line: &[f64], h: f64) -> f64 {
    let terms = THIRD.iter().zip(line.chunks_exact(2));
    terms.map(|(third, v)| third * (v[0] - v[1])).sum::<f64>() / h.powi(3)
}

fn second_of_order_8(centre: f64, line: &[f64], h: f64) -> f64 {
    let terms = ORDER_8.iter().zip(line.chunks_exact(2));
    let sum = terms.map(|(&(_, second), v)| second * ((v[0] - centre) + (v[1] - centre)));
    sum.sum::<f64>() / (h * h)
}

/// The second derivative from the values at a centre and h, -h, 2h, -2h from it.
pub(crate) fn second_along(centre: f64, values: &[f64], h: f64) -> f64 {
    let near = ((values[0] - centre) + (values[1] - centre)) / (h * h);
    let far = ((values[2] - centre) + (values[3] - centre)) / (4.0 * h * h);
    near + (near - far) / 3.0
}

/// The first derivative from the values at h, -h, 2h, -2h from a centre.
pub(crate) fn first_along(values: &[f64], h: f64) -> f64 {
    GradientScheme::Central4.derivative(values, h)
}

/// Evaluates centre + offset for all offsets of as many centres as fit a call, and lets `assemble`
/// turn each centre's values into one column of `rows` numbers.
fn over_centres<E>(
    f: &mut Values<'_, E>,
    centres: &DMatrix<f64>,
    offsets: &DMatrix<f64>,
    rows: usize,
    assemble: impl Fn(&[f64], &mut [f64]),
) -> Result<DMatrix<f64>, E> {
    let (d, nodes) = offsets.shape();
    let mut out = DMatrix::zeros(rows, centres.ncols());
    if nodes == 0 {
        return Ok(out);
    }
    let per_call = (NODES_PER_CALL / nodes).max(1);
    for first in (0..centres.ncols()).step_by(per_call) {
        let count = per_call.min(centres.ncols() - first);
        let mut points = DMatrix::zeros(d, nodes * count);
        for (n, mut point) in points.column_iter_mut().enumerate() {
            point.copy_from(&offsets.column(n % nodes));
            point += centres.column(first + n / nodes);
        }
        let values = f(&points)?;
        for (n, values) in values.as_slice().chunks_exact(nodes).enumerate() {
            assemble(values, out.column_mut(first + n).as_mut_slice());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::algebra::svec::smat;

    /// A quartic in three variables, so that truncation errors show, with its exact derivatives.
    fn f(x: &DVector<f64>) -> f64 {
        x[0].powi(4) + 2.0 * x[0] * x[1] * x[2] + x[1] * x[1] * x[2] - x[2].powi(3)
    }

    fn hessian(x: &DVector<f64>) -> DMatrix<f64> {
        let (a, b, c) = (x[0], x[1], x[2]);
        DMatrix::from_row_slice(
            3,
            3,
            &[
                12.0 * a * a,
                2.0 * c,
                2.0 * b,
                2.0 * c,
                2.0 * c,
                2.0 * a + 2.0 * b,
                2.0 * b,
                2.0 * a + 2.0 * b,
                -6.0 * c,
            ],
        )
    }

    fn gradient(x: &DVector<f64>) -> DVector<f64> {
        let (a, b, c) = (x[0], x[1], x[2]);
        DVector::from_vec(vec![
            4.0 * a.powi(3) + 2.0 * b * c,
            2.0 * a * c + 2.0 * b * c,
            2.0 * a * b + b * b - 3.0 * c * c,
        ])
    }

    fn values(x: &DMatrix<f64>) -> Result<DVector<f64>, Infallible> {
        Ok(DVector::from_iterator(x.ncols(), x.column_iter().map(|x| f(&x.into_owned()))))
    }

    fn setting() -> (DMatrix<f64>, DMatrix<f64>) {
        let centres = DMatrix::from_column_slice(3, 2, &[0.3, -0.7, 0.5, 1.1, 0.2, -0.4]);
        // Two skew directions of R^3: neither axes, nor orthogonal, nor of length one.
        let directions = DMatrix::from_column_slice(3, 2, &[1.0, 0.5, -0.3, 0.2, -1.0, 0.8]);
        (centres, directions)
    }

    #[test]
    fn mixed_derivatives_are_those_of_the_hessian() {
        let x = DMatrix::from_column_slice(3, 1, &[0.7, -0.4, 1.1]);
        let hessian = hessian(&x.column(0).into_owned());
        let directions =
            DMatrix::from_row_slice(3, 3, &[1.0, 0.2, 0.0, 0.0, 1.0, 0.5, 0.3, 0.0, 2.0]);
        let pairs = [[0, 1], [2, 0]];
        let mut values = |x: &DMatrix<f64>| {
            let values = x.column_iter().map(|x| f(&x.into_owned()));
            Ok::<_, Infallible>(DVector::from_iterator(x.ncols(), values))
        };
        let found = mixed(&mut values, &x, &directions, &pairs, 0.1).unwrap();
        let lines = lines(&mut values, &x, &directions, 0.01).unwrap();
        assert_eq!(found.values, lines.values);
        assert!((found.first - lines.first).amax() < 1e-8);
        for (&[i, j], second) in pairs.iter().zip(found.second.iter()) {
            let exact = (directions.column(i).transpose() * &hessian * directions.column(j))[0];
            assert!((second - exact).abs() < 1e-9, "{second} {exact}");
        }
    }

    #[test]
    fn mixed_third_derivatives_are_exact_on_a_quartic() {
        let x = DMatrix::from_column_slice(3, 2, &[0.7, -0.4, 1.1, 0.2, 0.9, -0.6]);
        let directions = DMatrix::from_row_slice(
            3,
            4,
            &[1.0, 0.2, 0.0, 0.5, 0.0, 1.0, 0.5, -0.3, 0.3, 0.0, 2.0, 0.8],
        );
        let triples = [[0, 1, 2], [1, 2, 3]];
        let found = mixed_third(&mut values, &x, &directions, &triples, 0.1).unwrap();
        // Differences of the exact Hessian along the third one.
        for (n, &[i, j, k]) in triples.iter().enumerate() {
            for point in 0..2 {
                let along = |t: f64| {
                    let there = x.column(point) + directions.column(k) * t;
                    (directions.column(i).transpose() * hessian(&there) * directions.column(j))[0]
                };
                let exact = (along(0.5) - along(-0.5)) / 1.0;
                // A cubic term would be left by a difference of order 2: the Hessian of a quartic is quadratic.
                assert!((found[(n, point)] - exact).abs() < 1e-9, "{} {exact}", found[(n, point)]);
            }
        }
    }

    #[test]
    fn hessians_along_skew_directions_have_the_promised_order() {
        let (centres, v) = setting();
        for (scheme, order) in [
            (HessianScheme::Forward, 1),
            (HessianScheme::Central, 2),
            (HessianScheme::Polarised, 2),
        ] {
            let error = |h: f64| {
                let stack = hessians(&mut values, &centres, &v, scheme, h).unwrap();
                let truth =
                    |n: usize| v.transpose() * hessian(&centres.column(n).into_owned()) * &v;
                (0..2).map(|n| (smat(stack.column(n).as_slice()) - truth(n)).norm()).sum::<f64>()
            };
            let ratio = error(0.02) / error(0.01);
            let expected = 2f64.powi(order);
            assert!((ratio / expected - 1.0).abs() < 0.1, "{scheme:?}: {ratio}");
        }
    }

    #[test]
    fn richardson_is_exact_on_a_quartic() {
        let (centres, v) = setting();
        let stack = hessians(&mut values, &centres, &v, HessianScheme::Richardson, 0.1).unwrap();
        for n in 0..2 {
            let truth = v.transpose() * hessian(&centres.column(n).into_owned()) * &v;
            assert!((smat(stack.column(n).as_slice()) - truth).norm() < 1e-11);
        }
    }

    #[test]
    fn derivatives_along_lines_are_those_of_gradients_and_hessians() {
        let (centres, v) = setting();
        let lines = lines(&mut values, &centres, &v, 0.1).unwrap();
        for n in 0..2 {
            let x = centres.column(n).into_owned();
            assert_eq!(lines.values[n], f(&x));
            let hessian = v.transpose() * hessian(&x) * &v;
            assert!((lines.first.column(n) - v.transpose() * gradient(&x)).norm() < 1e-12);
            assert!((lines.second.column(n) - hessian.diagonal()).norm() < 1e-11);
        }
    }

    #[test]
    fn gradients_have_the_promised_order() {
        let (centres, v) = setting();
        let error = |scheme, h| {
            let g = gradients(&mut values, &centres, &v, scheme, h).unwrap();
            (0..2)
                .map(|n| {
                    let truth = v.transpose() * gradient(&centres.column(n).into_owned());
                    (g.column(n) - truth).norm()
                })
                .sum::<f64>()
        };
        let ratio = error(GradientScheme::Central2, 0.02) / error(GradientScheme::Central2, 0.01);
        assert!((ratio / 4.0 - 1.0).abs() < 0.1, "{ratio}");
        assert!(error(GradientScheme::Central4, 0.1) < 1e-12);
    }

    #[test]
    fn every_scheme_asks_as_many_queries_as_it_says() {
        let (centres, v) = setting();
        let mut asked = 0;
        let mut counting = |x: &DMatrix<f64>| {
            asked += x.ncols() as u64;
            values(x)
        };
        let mut expected = 0;
        for scheme in [GradientScheme::Central2, GradientScheme::Central4] {
            gradients(&mut counting, &centres, &v, scheme, 0.1).unwrap();
            expected += 2 * scheme.queries(2);
        }
        for scheme in [
            HessianScheme::Forward,
            HessianScheme::Central,
            HessianScheme::Polarised,
            HessianScheme::Richardson,
        ] {
            hessians(&mut counting, &centres, &v, scheme, 0.1).unwrap();
            expected += 2 * scheme.queries(2);
        }
        lines(&mut counting, &centres, &v, 0.1).unwrap();
        expected += 2 * 9;
        assert_eq!(asked, expected);
    }
}
