//! How far out f is constant between the hyperplanes of first-layer units.
//!
//! The natural scale is that of the steepest units. Where others are much less steep, it says nothing of
//! how far one must go until these are saturated as well.

use nalgebra::DMatrix;

use super::tolerances::{FAR_OCTAVES, FAR_RAYS, SURE_CHANGE};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::failure::Halt;

/// The distance from the origin beyond which f no longer changes on half of the rays; no more than
/// 2^19 natural scales. 640 queries.
pub fn far(cx: &mut Context<'_>) -> Result<f64, Halt> {
    let (d, land) = (cx.f.input_dim(), cx.land);
    let rng = &mut draws::stream(cx.seed, "far", 0);
    let mut points = DMatrix::zeros(d, FAR_RAYS * FAR_OCTAVES);
    for ray in 0..FAR_RAYS {
        let direction = draws::unit_vector(rng, d);
        for octave in 0..FAR_OCTAVES {
            let place = &direction * (land.scale * 2f64.powi(octave as i32));
            points.set_column(ray * FAR_OCTAVES + octave, &place);
        }
    }
    let values = cx.f.values(&points)?;
    let mut last: Vec<f64> = values
        .as_slice()
        .chunks_exact(FAR_OCTAVES)
        .map(|ray| {
            let distance = |octave: usize| land.scale * 2f64.powi(octave as i32);
            let changes = |&octave: &usize| {
                let noise = land.noise_at(distance(octave));
                (ray[octave] - ray[octave - 1]).abs() > SURE_CHANGE * noise
            };
            (1..FAR_OCTAVES).rev().find(changes).map_or(distance(0), distance)
        })
        .collect();
    last.sort_by(f64::total_cmp);
    Ok(last[FAR_RAYS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn one_flat_unit_moves_the_end_out() {
        let mut network = TwoLayer::random((6, 6, 2), Class::Paper, Activation::Tanh, 1).unwrap();
        let land = Landscape::unit(1e-16, 1e-16);
        let end = |network: &TwoLayer| {
            in_context(&mut NetworkOracle::new(network.clone()), &land, (1, 0), far).0.unwrap()
        };
        let before = end(&network);
        assert!((16.0..512.0).contains(&before), "{before}");
        network.a.column_mut(0).scale_mut(1e-3);
        let ratio = end(&network) / before;
        assert!((64.0..4096.0).contains(&ratio), "{ratio}");
    }
}
