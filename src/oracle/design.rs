//! Where Hessians are taken near a point: the local sampling designs.

use std::str::FromStr;

use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::draws;

/// How points are spread around a centre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Design {
    /// Uniform on the sphere of the radius.
    #[default]
    Sphere,
    /// Uniform in the ball of the radius.
    Ball,
    /// Gaussian, its root mean square distance the radius; draws beyond the limit are drawn again.
    Gaussian,
}

impl Design {
    /// Every design known to the program.
    pub const ALL: [Design; 3] = [Design::Sphere, Design::Ball, Design::Gaussian];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Design::Sphere => "sphere",
            Design::Ball => "ball",
            Design::Gaussian => "gaussian",
        }
    }

    /// `count` points around `centre` (length d) as the columns of a d x count matrix, none farther
    /// from it than `limit`: a radius beyond that is cut to it.
    pub fn points(
        self,
        rng: &mut impl Rng,
        centre: &DVector<f64>,
        radius: f64,
        limit: f64,
        count: usize,
    ) -> DMatrix<f64> {
        let d = centre.len();
        let radius = radius.min(limit);
        let mut points = DMatrix::zeros(d, count);
        for mut point in points.column_iter_mut() {
            let offset = match self {
                Design::Sphere => draws::unit_vector(rng, d) * radius,
                Design::Ball => {
                    let share = rng.random::<f64>().powf(1.0 / d as f64);
                    draws::unit_vector(rng, d) * (radius * share)
                }
                // About half of all draws are within the root mean square distance.
                Design::Gaussian => loop {
                    let offset = draws::gaussian(rng, d, 1) * (radius / (d as f64).sqrt());
                    if offset.norm() <= limit {
                        break offset.column(0).into_owned();
                    }
                },
            };
            point.copy_from(&(centre + offset));
        }
        points
    }
}

/// A design name that is not known.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown design {0:?}; known are sphere, ball and gaussian")]
pub struct UnknownDesign(pub String);

impl FromStr for Design {
    type Err = UnknownDesign;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Design::ALL.into_iter().find(|design| design.name() == name);
        known.ok_or_else(|| UnknownDesign(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distances(design: Design, radius: f64, limit: f64) -> Vec<f64> {
        let centre = DVector::from_vec(vec![1.0, -2.0, 0.5, 0.0]);
        let mut rng = draws::stream(3, "design", 0);
        let points = design.points(&mut rng, &centre, radius, limit, 4000);
        points.column_iter().map(|x| (x - &centre).norm()).collect()
    }

    #[test]
    fn distances_follow_the_design() {
        assert!(distances(Design::Sphere, 2.0, 9.0).iter().all(|r| (r - 2.0).abs() < 1e-12));
        // In d dimensions a share 2^-d of the ball is within half the radius.
        let ball = distances(Design::Ball, 2.0, 9.0);
        let inner = ball.iter().filter(|&&r| r < 1.0).count() as f64 / 4000.0;
        assert!(ball.iter().all(|&r| r <= 2.0) && (inner - 1.0 / 16.0).abs() < 0.02);
        let gaussian = distances(Design::Gaussian, 2.0, f64::INFINITY);
        let mean_square = gaussian.iter().map(|r| r * r).sum::<f64>() / 4000.0;
        assert!((mean_square - 4.0).abs() < 0.2, "{mean_square}");
    }

    #[test]
    fn no_point_is_beyond_the_limit() {
        for design in Design::ALL {
            for radius in [0.5, 1.5, 4.0] {
                let all = distances(design, radius, 1.5);
                assert!(all.iter().all(|&r| r <= 1.5 * (1.0 + 1e-15)), "{design:?} {radius}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for design in Design::ALL {
            assert_eq!(design.name().parse(), Ok(design));
        }
        assert!("cube".parse::<Design>().is_err());
    }
}
