//! Which of the rank-one directions belong to the first layer, and which are entangled ones?
//!
//! At any point, grad f = A G p = sum_l c_l h'(u_l) v_l: the gradient is a combination of the m1
//! entangled vectors alone, while among m0 + m1 vectors of R^m0 a generic combination takes m0 of them.
//! So the entangled ones are those of the sparsest representation of the gradient, and nothing but the
//! point itself had to be asked. Representations are c + N t with the null space N (m1 columns); any
//! m1 first-layer rows of it fix t, and the right t makes all m0 coefficients of the first layer vanish.
//!
//! Where far queries are allowed the saturation rule of the paper is a second opinion: far out along a
//! direction orthogonal to a_i unit i stays active while the others saturate, and the gradient there is
//! parallel to a_i; no unit stays active along the orthogonal complement of an entangled vector. A third one is
//! survival: the Hessians far out span the a_i a_i^T alone.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand::seq::index::sample;

use super::tolerances::{
    ATTRIBUTION_TRIALS, DIRECTIONS_DEPENDENT, FAR_POINTS, FAR_SHARES, GRADIENT_SEEN,
    MOST_PARTITIONS, PARALLEL, PARTITION_MARGIN,
};
use crate::algebra::linalg::{complement, thin_svd};
use crate::algebra::svec::svec_outer;
use crate::draws;
use crate::identify::failure::Halt;
use crate::oracle::Oracle;
use crate::stencil::GradientScheme;

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
        self.margin > PARTITION_MARGIN
    }
}

/// Attributes the unit `directions` (d x (d + m1)) by the gradient (length d) at the point where they
/// were found: at most [`MOST_PARTITIONS`] partitions, the likeliest first, at least one. `None` if the directions do
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
    if svd.s[d - 1] < DIRECTIONS_DEPENDENT * svd.s[0] {
        return None;
    }
    let inner = svd.u.transpose() * gradient;
    let scaled = DVector::from_fn(d, |k, _| inner[k] / svd.s[k]);
    let particular = &svd.v * scaled;
    let null = complement(&svd.v);
    let mut found: Vec<(f64, Attribution)> = Vec::new();
    for _ in 0..ATTRIBUTION_TRIALS {
        let rows: Vec<usize> = sample(rng, r, m1).into_vec();
        let Some(t) = null.select_rows(&rows).lu().solve(&-particular.select_rows(&rows)) else {
            continue;
        };
        let sizes: Vec<f64> = (&particular + &null * t).iter().map(|c| c.abs()).collect();
        let mut sorted = sizes.clone();
        sorted.sort_by(f64::total_cmp);
        let share = sorted[..d].iter().sum::<f64>() / sorted.iter().sum::<f64>();
        if !share.is_finite()
            || (found.len() == MOST_PARTITIONS && share >= found[MOST_PARTITIONS - 1].0)
        {
            continue;
        }
        let one = partition(&sizes, m1);
        match found.iter_mut().find(|(_, other)| other.entangled == one.entangled) {
            Some(same) if share < same.0 => *same = (share, one),
            Some(_) => continue,
            None => found.push((share, one)),
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.truncate(MOST_PARTITIONS);
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

/// What the wide subspace says of directions.
#[derive(Clone, Debug)]
pub struct Survival {
    /// `Some(true)`: of the first layer, `Some(false)`: entangled; all `None` if undecided.
    pub layers: Vec<Option<bool>>,
    /// The least that an entangled one lacks of norm 1 over the most that one of the first layer lacks.
    pub margin: f64,
}

/// The layer of each of the unit `directions` (d x (d + m1)) by the norm of the projection of u u^T on the span of
/// the Hessians far out, of which `basis` (d(d+1)/2 x at least d) has orthonormal columns: the d with the largest
/// norms are of the first layer, if the others lack much more of 1.
pub fn by_survival(directions: &DMatrix<f64>, basis: &DMatrix<f64>) -> Survival {
    let mut outer = vec![0.0; basis.nrows()];
    let lacks: Vec<f64> = directions
        .column_iter()
        .map(|u| {
            svec_outer(u.into_owned().as_slice(), &mut outer);
            1.0 - basis.tr_mul(&DVector::from_column_slice(&outer)).norm()
        })
        .collect();
    let mut sorted = lacks.clone();
    sorted.sort_by(f64::total_cmp);
    let d = directions.nrows();
    let (Some(&most), Some(&least)) = (sorted.get(d - 1), sorted.get(d)) else {
        return Survival { layers: vec![None; lacks.len()], margin: 0.0 };
    };
    let margin = least / most.max(f64::EPSILON);
    let decided = margin > PARTITION_MARGIN;
    Survival { layers: lacks.iter().map(|lack| decided.then_some(*lack <= most)).collect(), margin }
}

/// Two opinions on layers: what either says, nothing where they differ.
pub fn together(a: &[Option<bool>], b: &[Option<bool>]) -> Vec<Option<bool>> {
    a.iter()
        .zip(b)
        .map(|(a, b)| if a.is_some() && b.is_some() && a != b { None } else { a.or(*b) })
        .collect()
}

/// What the saturation rule says of directions.
#[derive(Clone, Debug)]
pub struct Saturation {
    /// `Some(true)`: of the first layer, `Some(false)`: entangled, `None`: undecided.
    pub layers: Vec<Option<bool>>,
    /// The least share of points at which the gradient is parallel, of those called first-layer, less the
    /// largest share of those called entangled; `None` unless there are both.
    pub margin: Option<f64>,
}

/// The layer of each of the unit `directions` (d x r) by the saturation rule. Asks gradients (step `h`, noise
/// `noise`) at distance `far` from the origin in the directions' orthogonal complements. A gradient that
/// vanishes speaks for an entangled direction, but not if none at all stands above the noise.
pub fn by_saturation(
    f: &mut dyn Oracle,
    directions: &DMatrix<f64>,
    far: f64,
    h: f64,
    noise: f64,
    rng: &mut impl Rng,
) -> Result<Saturation, Halt> {
    let d = directions.nrows();
    let identity = DMatrix::identity(d, d);
    let mut shares = Vec::new();
    let mut loud = false;
    for u in directions.column_iter() {
        let mut points = DMatrix::zeros(d, FAR_POINTS);
        for mut x in points.column_iter_mut() {
            let y = draws::unit_vector(rng, d);
            let across = &y - u * u.dot(&y);
            x.copy_from(&(across.normalize() * far));
        }
        let gradients = f.gradients(&points, &identity, GradientScheme::Central4, h)?;
        let seen = || gradients.column_iter().filter(|g| g.norm() > GRADIENT_SEEN * noise);
        let parallel = seen().filter(|g| g.dot(&u).abs() > PARALLEL * g.norm()).count();
        loud |= seen().next().is_some();
        shares.push(parallel as f64 / FAR_POINTS as f64);
    }
    let layer = |&share: &f64| match share {
        _ if !loud => None,
        s if s >= FAR_SHARES.0 => Some(true),
        s if s <= FAR_SHARES.1 => Some(false),
        _ => None,
    };
    let layers: Vec<Option<bool>> = shares.iter().map(layer).collect();
    let called = |first: bool| {
        let of =
            move |(&share, &layer): (&f64, &Option<bool>)| (layer == Some(first)).then_some(share);
        shares.iter().zip(&layers).filter_map(of)
    };
    let margin = called(true).reduce(f64::min).zip(called(false).reduce(f64::max));
    Ok(Saturation { layers, margin: margin.map(|(first, entangled)| first - entangled) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Ensemble, TwoLayer};
    use crate::oracle::NetworkOracle;

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
    fn far_out_only_first_layer_directions_align() {
        let ensemble = Ensemble { shift_spread: 0.05, condition: None };
        let network = TwoLayer::of_ensemble((9, 9, 3), ensemble, Activation::Tanh, 4).unwrap();
        let entangled = &network.a * &network.b;
        let mut directions = network.a.clone().resize_horizontally(12, 0.0);
        for l in 0..3 {
            directions.column_mut(9 + l).copy_from(&entangled.column(l).normalize());
        }
        let mut f = NetworkOracle::new(network);
        let rng = &mut draws::stream(3, "saturation", 0);
        let Saturation { layers, margin } =
            by_saturation(&mut f, &directions, 300.0, 1e-3, 1e-12, rng).unwrap();
        assert!(margin >= Some(FAR_SHARES.0 - FAR_SHARES.1), "{margin:?}");
        assert!(layers[..9].iter().all(|&layer| layer != Some(false)), "{layers:?}");
        assert!(layers[..9].iter().filter(|&&layer| layer == Some(true)).count() >= 7);
        assert!(layers[9..].iter().all(|&layer| layer == Some(false)), "{layers:?}");
        // Where noise hides every gradient, that they do not show says nothing.
        let hidden = by_saturation(&mut f, &directions, 300.0, 1e-3, 1e3, rng).unwrap();
        assert!(hidden.layers.iter().all(Option::is_none) && hidden.margin.is_none(), "{hidden:?}");
    }

    #[test]
    fn only_first_layer_directions_survive_far_out() {
        let mut rng = draws::stream(5, "survival", 0);
        let mut directions = draws::gaussian(&mut rng, 8, 11);
        directions.column_iter_mut().for_each(|mut u| {
            u.normalize_mut();
        });
        let mut outer = DMatrix::zeros(36, 8);
        for (u, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
            svec_outer(u.into_owned().as_slice(), outer.as_mut_slice());
        }
        let basis = thin_svd(&outer).unwrap().u;
        let found = by_survival(&directions, &basis);
        assert!(found.layers[..8].iter().all(|&layer| layer == Some(true)), "{found:?}");
        assert!(found.layers[8..].iter().all(|&layer| layer == Some(false)), "{found:?}");
        assert!(found.margin > 1e6);
        // A subspace that has nothing to do with them decides nothing.
        let other = DMatrix::identity(36, 36).columns(0, 8).into_owned();
        let undecided = by_survival(&directions, &other);
        assert!(undecided.layers.iter().all(Option::is_none), "{undecided:?}");
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(together(&[yes, yes, None, None], &[yes, no, no, None]), [yes, None, no, None]);
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
