//! Why a black box may be no network far out: it clips its inputs to a box.
//!
//! Along an axis a saturated network stops changing where its last unit has saturated, which depends on the
//! other inputs. A clipped one stops at the edge of the box, wherever the line runs.

use nalgebra::DMatrix;

use super::tolerances::{
    CLIPPING_AXES, CLIPPING_EXPONENTS, CLIPPING_LINES, CLIPPING_OFFSET, EDGE_AGREEMENT,
    EDGE_HALVINGS, EDGE_INSIDE, EDGE_KINK,
};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::Clipped;
use crate::identify::failure::Halt;

/// The nearest edge of a box to which the inputs are clipped, (axis, coordinate), if there is one. Values with
/// random errors never stop changing, and show none.
pub fn edge(cx: &mut Context<'_>) -> Result<Option<(usize, f64)>, Halt> {
    let (d, land) = (cx.f.input_dim(), cx.land);
    let rng = &mut draws::stream(cx.seed, "clipping", 0);
    let mut nearest: Option<(usize, f64)> = None;
    for axis in 0..d.min(CLIPPING_AXES) {
        let lines = draws::gaussian(rng, d, CLIPPING_LINES) * (CLIPPING_OFFSET * land.scale);
        let mut ends = Vec::new();
        for base in lines.column_iter() {
            let mut along = |ts: &[f64]| {
                let points =
                    DMatrix::from_fn(d, ts.len(), |i, k| if i == axis { ts[k] } else { base[i] });
                cx.f.values(&points)
            };
            let ts: Vec<f64> = CLIPPING_EXPONENTS.map(|k| 2f64.powi(k) * land.scale).collect();
            let values = along(&ts)?;
            let last = values[ts.len() - 1];
            let Some(inside) = values.iter().rposition(|&v| v != last) else { break };
            if inside + 2 >= ts.len() {
                break;
            }
            let (mut low, mut high) = (ts[inside], ts[inside + 1]);
            for _ in 0..EDGE_HALVINGS {
                let middle = 0.5 * (low + high);
                if along(&[middle])?[0] == last { high = middle } else { low = middle }
            }
            ends.push((high, (along(&[EDGE_INSIDE * high])?[0] - last).abs()));
        }
        let Some(&(first, _)) = ends.first().filter(|_| ends.len() == CLIPPING_LINES) else {
            continue;
        };
        let agree = ends.iter().all(|end| (end.0 - first).abs() <= EDGE_AGREEMENT * first);
        let kink = ends.iter().any(|end| end.1 > EDGE_KINK * land.spread);
        if agree && kink && nearest.is_none_or(|(_, edge)| first < edge) {
            nearest = Some((axis, first));
        }
    }
    if let Some((axis, edge)) = nearest {
        cx.evidence.clipping.push(Clipped { input: axis, edge });
    }
    Ok(nearest)
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::{Oracle, OracleError};

    struct Clipped(TwoLayer, f64);

    impl Oracle for Clipped {
        fn input_dim(&self) -> usize {
            self.0.a.nrows()
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            Ok(self.0.values(&points.map(|x| x.clamp(-self.1, self.1))))
        }
    }

    #[test]
    fn a_box_is_seen_and_saturation_is_not_taken_for_one() {
        let land = Landscape::unit(1e-16, 0.0);
        for seed in 0..3 {
            let network =
                TwoLayer::random((5, 5, 2), Class::Paper, Activation::Tanh, seed).unwrap();
            let look = |size: f64| {
                let mut f = Clipped(network.clone(), size);
                in_context(&mut f, &land, (seed, 0), edge).0.unwrap()
            };
            let (_, at) = look(2.5).expect("an edge");
            assert!((at - 2.5).abs() < 1e-9, "{at}");
            assert_eq!(look(f64::INFINITY), None);
        }
    }
}
