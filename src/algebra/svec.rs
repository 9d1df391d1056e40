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
