//! The assignment problem: a one-to-one pairing of least total cost.

use nalgebra::DMatrix;

/// For every row of a square cost matrix its column, such that the costs sum to the least possible.
/// O(n^3), by shortest augmenting paths with dual potentials (Jonker and Volgenant, Computing 38,
/// 1987, without their initialisation). Costs must be finite.
pub(crate) fn assign(costs: &DMatrix<f64>) -> Vec<usize> {
    let n = costs.nrows();
    debug_assert!(costs.is_square() && costs.iter().all(|cost| cost.is_finite()));
    // Column n is a stand-in at which every search begins.
    let mut row_of: Vec<Option<usize>> = vec![None; n + 1];
    let mut row_price = vec![0.0; n];
    let mut column_price = vec![0.0; n + 1];
    for start in 0..n {
        row_of[n] = Some(start);
        let mut distance = vec![f64::INFINITY; n];
        let mut before = vec![n; n];
        let mut done = vec![false; n + 1];
        let mut column = n;
        // Grow a tree of shortest paths until it reaches a column that has no row yet.
        while let Some(row) = row_of[column] {
            done[column] = true;
            let mut nearest = (f64::INFINITY, n);
            for next in (0..n).filter(|&next| !done[next]) {
                let reduced = costs[(row, next)] - row_price[row] - column_price[next];
                if reduced < distance[next] {
                    distance[next] = reduced;
                    before[next] = column;
                }
                if distance[next] < nearest.0 {
                    nearest = (distance[next], next);
                }
            }
            let (step, next) = nearest;
            for k in 0..=n {
                match row_of[k] {
                    Some(row) if done[k] => {
                        row_price[row] += step;
                        column_price[k] -= step;
                    }
                    _ if k < n => distance[k] -= step,
                    _ => (),
                }
            }
            column = next;
        }
        // Shift every row of the path to the path's next column.
        while column != n {
            row_of[column] = row_of[before[column]];
            column = before[column];
        }
    }
    let mut columns = vec![0; n];
    for (column, row) in row_of[..n].iter().enumerate() {
        if let Some(row) = *row {
            columns[row] = column;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(costs: &DMatrix<f64>, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, &column)| costs[(row, column)]).sum()
    }

    /// The least total over all pairings of the rows from `row` on with the columns not in `used`.
    fn least(costs: &DMatrix<f64>, row: usize, used: usize) -> f64 {
        let n = costs.nrows();
        if row == n {
            return 0.0;
        }
        let free = (0..n).filter(|column| used & (1 << column) == 0);
        let rest =
            free.map(|column| costs[(row, column)] + least(costs, row + 1, used | 1 << column));
        rest.fold(f64::INFINITY, f64::min)
    }

    fn costs() -> impl Strategy<Value = DMatrix<f64>> {
        // Small integers make ties, which must do no harm.
        let entry = prop_oneof![(-2i8..=2).prop_map(f64::from), -1.0..1.0];
        (1usize..=6).prop_flat_map(move |n| {
            prop::collection::vec(entry.clone(), n * n)
                .prop_map(move |v| DMatrix::from_vec(n, n, v))
        })
    }

    proptest! {
        #[test]
        fn no_pairing_is_cheaper(costs in costs()) {
            let columns = assign(&costs);
            let mut sorted = columns.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..costs.nrows()));
            prop_assert!((total(&costs, &columns) - least(&costs, 0, 0)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_hidden_permutation_is_found() {
        let n = 200;
        let costs = DMatrix::from_fn(n, n, |i, j| {
            if j == (37 * i + 5) % n { 0.0 } else { 1.0 + ((i * j) % 7) as f64 }
        });
        assert!(assign(&costs).iter().enumerate().all(|(i, &j)| j == (37 * i + 5) % n));
    }
}
