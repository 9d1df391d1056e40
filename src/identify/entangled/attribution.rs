//! Which of the rank-one directions belong to the first layer, and which are entangled ones?
//!
//! At any point, grad f = A G p = sum_l c_l h'(u_l) v_l: the gradient is a combination of the m1
//! entangled vectors alone, while among m0 + m1 vectors of R^m0 a generic combination takes m0 of them.
//! So the entangled ones are those of the sparsest representation of the gradient, and nothing but the
//! point itself had to be asked. Representations are c + N t with the null space N (m1 columns); any
//! m1 first-layer rows of it fix t, and the right t makes all m0 coefficients of the first layer vanish.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand::seq::index::sample;

use crate::linalg::{complement, thin_svd};

/// Trials: with 9 of 24 entangled one in a hundred succeeds.
const TRIALS: usize = 4000;

/// Partitions remembered.
pub const MOST: usize = 4;

/// A partition of directions, and how sure it is.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Indices of the first-layer directions.
    pub first: Vec<usize>,
    /// Indices of the entangled directions.
    pub entangled: Vec<usize>,
    /// The smallest coefficient of an entangled direction over the largest of a first-layer one.
    pub margin: f64,
}

impl Attribution {
    /// Is the partition better than a guess?
    pub fn decided(&self) -> bool {
        self.margin > 3.0
    }
}

/// Attributes the unit `directions` (d x (d + m1)) by the gradient (length d) at the point where they
/// were found: at most [`MOST`] partitions, the likeliest first, at least one. `None` if the directions do
/// not span R^d.
pub fn by_gradient(
    directions: &DMatrix<f64>,
    gradient: &DVector<f64>,
    m1: usize,
    rng: &mut impl Rng,
) -> Option<Vec<Attribution>> {
    let (d, r) = directions.shape();
    if m1 == 0 || r != d + m1 {
        return None;
    }
    let svd = thin_svd(directions)?;
    if svd.s[d - 1] < 1e-10 * svd.s[0] {
        return None;
    }
    let inner = svd.u.transpose() * gradient;
    let scaled = DVector::from_fn(d, |k, _| inner[k] / svd.s[k]);
    let particular = &svd.v * scaled;
    let null = complement(&svd.v);
    let mut found: Vec<(f64, Attribution)> = Vec::new();
    for _ in 0..TRIALS {
        let rows: Vec<usize> = sample(rng, r, m1).into_vec();
        let Some(t) = null.select_rows(&rows).lu().solve(&-particular.select_rows(&rows)) else {
            continue;
        };
        let sizes: Vec<f64> = (&particular + &null * t).iter().map(|c| c.abs()).collect();
        let mut sorted = sizes.clone();
        sorted.sort_by(f64::total_cmp);
        let share = sorted[..d].iter().sum::<f64>() / sorted.iter().sum::<f64>();
        if !share.is_finite() || (found.len() == MOST && share >= found[MOST - 1].0) {
            continue;
        }
        let one = partition(&sizes, m1);
        match found.iter_mut().find(|(_, other)| other.entangled == one.entangled) {
            Some(same) if share < same.0 => *same = (share, one),
            Some(_) => continue,
            None => found.push((share, one)),
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.truncate(MOST);
    }
    (!found.is_empty()).then(|| found.into_iter().map(|(_, one)| one).collect())
}

/// The m1 largest coefficients are the entangled directions'.
fn partition(sizes: &[f64], m1: usize) -> Attribution {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&i, &j| sizes[j].total_cmp(&sizes[i]));
    let (mut entangled, mut first) = (order[..m1].to_vec(), order[m1..].to_vec());
    let margin = sizes[order[m1 - 1]] / sizes[order[m1]].max(f64::MIN_POSITIVE);
    entangled.sort_unstable();
    first.sort_unstable();
    Attribution { first, entangled, margin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn the_vectors_that_make_the_gradient_are_entangled() {
        let mut rng = draws::stream(1, "attribution", 0);
        for (d, m1) in [(8, 2), (12, 5), (15, 9)] {
            let mut directions = draws::gaussian(&mut rng, d, d + m1);
            directions.column_iter_mut().for_each(|mut u| {
                u.normalize_mut();
            });
            let chosen: Vec<usize> = (0..m1).map(|l| 2 * l).collect();
            let gradient = directions.select_columns(&chosen) * DVector::from_element(m1, 0.7);
            let found = by_gradient(&directions, &gradient, m1, &mut rng).unwrap().remove(0);
            assert_eq!(found.entangled, chosen);
            assert!(found.margin > 1e6 && found.decided());
        }
    }

    #[test]
    fn a_generic_gradient_decides_nothing() {
        let mut rng = draws::stream(2, "attribution", 0);
        let mut undecided = 0;
        for _ in 0..20 {
            let directions = draws::gaussian(&mut rng, 10, 13);
            let gradient = draws::gaussian(&mut rng, 10, 1).column(0).into_owned();
            let found = by_gradient(&directions, &gradient, 3, &mut rng).unwrap().remove(0);
            undecided += usize::from(!found.decided());
        }
        assert!(undecided >= 15, "{undecided}");
    }
}
