//! Symmetric matrices as vectors.
//!
//! `svec(H)` stacks the upper triangle column by column with the off-diagonal entries times sqrt(2),
//! so that <svec M, svec N> = <M, N>_F.

use nalgebra::DMatrix;

/// The size n of the symmetric matrix whose svec has `length` = n(n+1)/2 entries.
///
/// # Panics
/// If `length` is not a triangular number.
pub fn order(length: usize) -> usize {
    let n = (((8 * length + 1) as f64).sqrt() as usize - 1) / 2;
    assert_eq!(n * (n + 1) / 2, length, "{length} is not the length of an svec");
    n
}

/// svec of a symmetric matrix (its upper triangle is read).
pub fn svec(matrix: &DMatrix<f64>) -> Vec<f64> {
    let n = matrix.nrows();
    let mut out = Vec::with_capacity(n * (n + 1) / 2);
    for j in 0..n {
        out.extend((0..j).map(|i| std::f64::consts::SQRT_2 * matrix[(i, j)]));
        out.push(matrix[(j, j)]);
    }
    out
}

/// The symmetric matrix of an svec.
pub fn smat(svec: &[f64]) -> DMatrix<f64> {
    let n = order(svec.len());
    let mut matrix = DMatrix::zeros(n, n);
    let mut entries = svec.iter();
    for j in 0..n {
        for i in 0..j {
            let entry = entries.next().map_or(0.0, |e| e * std::f64::consts::FRAC_1_SQRT_2);
            matrix[(i, j)] = entry;
            matrix[(j, i)] = entry;
        }
        matrix[(j, j)] = entries.next().copied().unwrap_or(0.0);
    }
    matrix
}

/// svec(u u^T), written into `out`.
pub fn svec_outer(u: &[f64], out: &mut [f64]) {
    let mut at = 0;
    for (j, &uj) in u.iter().enumerate() {
        let scaled = std::f64::consts::SQRT_2 * uj;
        for (out, &ui) in out[at..at + j].iter_mut().zip(u) {
            *out = scaled * ui;
        }
        out[at + j] = uj * uj;
        at += j + 1;
    }
}

/// smat(svec) u, written into `out`, without the matrix.
pub fn svec_times(svec: &[f64], u: &[f64], out: &mut [f64]) {
    // Dispatched: besides matrix products this is what a search for rank-one matrices does, and without an instruction
    // set that has it every multiply-add is a call.
    pulp::Arch::new().dispatch(Times { svec, u, out });
}

/// Numbers of a column taken together: a register of the widest, two or four of others.
const LANES: usize = 8;

struct Times<'a> {
    svec: &'a [f64],
    u: &'a [f64],
    out: &'a mut [f64],
}

impl pulp::WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Times { svec, u, out } = self;
        out.fill(0.0);
        let mut rest = svec;
        for j in 0..u.len() {
            // Column j above the diagonal, which is row j too.
            let (column, after) = rest.split_at(j);
            let (entries, tail) = column.as_chunks::<LANES>();
            let (us, u_tail) = u[..j].as_chunks::<LANES>();
            let (outs, out_tail) = out[..j].as_chunks_mut::<LANES>();
            let mut sums = [0.0; LANES];
            for ((entries, us), outs) in entries.iter().zip(us).zip(outs) {
                for lane in 0..LANES {
                    outs[lane] = entries[lane].mul_add(u[j], outs[lane]);
                    sums[lane] = entries[lane].mul_add(us[lane], sums[lane]);
                }
            }
            let mut sum = sums.iter().sum::<f64>();
            for ((&entry, &ui), out) in tail.iter().zip(u_tail).zip(out_tail) {
                *out = entry.mul_add(u[j], *out);
                sum = entry.mul_add(ui, sum);
            }
            out[j] = sum;
            rest = &after[1..];
        }
        let mut at = 0;
        for (j, (out, &uj)) in out.iter_mut().zip(u).enumerate() {
            at += j;
            *out = out.mul_add(std::f64::consts::FRAC_1_SQRT_2, svec[at] * uj);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn svec_is_an_isometry_and_smat_its_inverse(
            entries in proptest::collection::vec(-10.0f64..10.0, 2 * 21)
        ) {
            let (p, q) = (smat(&entries[..21]), smat(&entries[21..]));
            let inner: f64 = entries[..21].iter().zip(&entries[21..]).map(|(a, b)| a * b).sum();
            prop_assert!((p.dot(&q) - inner).abs() <= 1e-10);
            for (a, b) in svec(&p).iter().zip(&entries) {
                prop_assert!((a - b).abs() <= 1e-13);
            }
        }
    }

    #[test]
    fn svec_times_is_the_product_with_the_matrix() {
        for n in [1, 7, 8, 9, 33] {
            let entries: Vec<f64> = (0..n * (n + 1) / 2).map(|k| (k as f64).sin()).collect();
            let u = DMatrix::from_fn(n, 1, |i, _| (3.0 * i as f64).cos());
            let mut out = vec![f64::NAN; n];
            svec_times(&entries, u.as_slice(), &mut out);
            for (a, b) in out.iter().zip((smat(&entries) * &u).iter()) {
                assert!((a - b).abs() < 1e-13, "{n}");
            }
        }
    }

    #[test]
    fn svec_outer_is_the_svec_of_the_outer_product() {
        let u = [0.3, -1.2, 2.5, 0.7];
        let v = DMatrix::from_column_slice(4, 1, &u);
        let mut out = vec![0.0; 10];
        svec_outer(&u, &mut out);
        for (a, b) in out.iter().zip(svec(&(&v * v.transpose()))) {
            assert!((a - b).abs() < 1e-15);
        }
    }
}
