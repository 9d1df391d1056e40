use super::*;
use crate::hessian::smat;
use crate::network::Class;
use crate::stencil;

const SCHEMES: [HessianScheme; 4] = [
    HessianScheme::Forward,
    HessianScheme::Central,
    HessianScheme::Polarised,
    HessianScheme::Richardson,
];

fn cycle(rows: usize, columns: usize, scale: f64) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |i, j| scale * ((1 + i * 7 + j * 13) as f64 * 0.61).sin())
}

/// The same stack by plain queries.
fn plain(
    network: &Network,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<f64> {
    stencil::hessians(&mut |x| Ok(network.values(x)), centres, directions, scheme, h).unwrap()
}

/// Largest difference of a fused stack from the plain one.
fn difference<T: Real + Into<f64>>(
    network: &Network,
    (n, k): (usize, usize),
    scheme: HessianScheme,
    h: f64,
) -> f64 {
    let (d, ..) = network.dims();
    let (centres, directions) = (cycle(d, n, 1.0), cycle(d, k, 0.5));
    let plain = plain(network, &centres, &directions, scheme, h);
    let fused = hessian_stack::<T>(network, &centres, &directions, scheme, h);
    assert_eq!(fused.shape(), plain.shape());
    fused.iter().zip(&plain).map(|(&a, b)| (a.into() - b).abs()).fold(0.0, f64::max)
}

/// Sum of |c_l| |b_il| + |c_l| + |c0|: a bound for what rounding errors scale with.
fn magnitude(network: &Network) -> f64 {
    1.0 + network.c0.abs()
        + network.c.iter().enumerate().fold(0.0, |sum, (l, c)| {
            sum + c.abs() * (1.0 + network.b.column(l).iter().map(|b| b.abs()).sum::<f64>())
        })
}

#[test]
fn equals_the_plain_stencil_for_all_schemes_activations_and_shapes() {
    let shapes = [
        ((3, 5, 2), (1, 3)),
        ((7, 67, 7), (19, 5)),
        ((4, 1, 1), (16, 1)),
        ((5, 9, 13), (8, 4)),
        ((6, 17, 3), (33, 6)),
    ];
    let h = 0.05;
    for ((dims, size), g) in shapes.into_iter().zip(Activation::ALL.into_iter().cycle()) {
        for output in Activation::ALL {
            let mut network = Network::random(dims, Class::General, g, 7).unwrap();
            network.h = output;
            for scheme in SCHEMES {
                // Both round values of f to a few units in the last place, and divide by h^2.
                let bar = 8.0 * magnitude(&network) / (h * h);
                let error = difference::<f64>(&network, size, scheme, h);
                assert!(error < bar * f64::EPSILON, "{dims:?} {g} {output} {scheme:?}: {error:e}");
                let error = difference::<f32>(&network, size, scheme, h);
                let bar = bar * f64::from(f32::EPSILON);
                assert!(error < bar, "{dims:?} {g} {output} {scheme:?}: {error:e} {bar:e}");
            }
        }
    }
}

#[test]
fn stacks_without_centres_or_directions_are_empty() {
    let network = Network::random((3, 4, 2), Class::General, Activation::Tanh, 1).unwrap();
    for (n, k) in [(0, 3), (2, 0)] {
        let (centres, directions) = (cycle(3, n, 1.0), cycle(3, k, 1.0));
        let stack =
            hessian_stack::<f32>(&network, &centres, &directions, HessianScheme::Central, 0.1);
        assert_eq!(stack.shape(), (k * (k + 1) / 2, n));
    }
}

#[test]
fn saturated_units_and_wild_steps_stay_finite() {
    for activation in Activation::ALL {
        let mut network = Network::random((4, 6, 3), Class::General, activation, 3).unwrap();
        network.a *= 50.0;
        network.b *= 50.0;
        let (centres, directions) = (cycle(4, 20, 30.0), cycle(4, 4, 1.0));
        for scheme in SCHEMES {
            for h in [1e-3, 0.5, 40.0] {
                let stack = hessian_stack::<f32>(&network, &centres, &directions, scheme, h);
                assert!(stack.iter().all(|x| x.is_finite()), "{activation} {scheme:?} {h}");
            }
        }
    }
}

/// Relative Frobenius error against the analytic Hessians, worst over the centres.
fn error_of_f32(activation: Activation, scheme: HessianScheme, h: f64) -> f64 {
    let d = 30;
    let network = Network::random((d, d, 5), Class::Paper, activation, 11).unwrap();
    let (centres, identity) = (cycle(d, 20, 1.0), DMatrix::identity(d, d));
    let stack = hessian_stack::<f32>(&network, &centres, &identity, scheme, h).cast::<f64>();
    (0..20)
        .map(|n| {
            let truth = network.hessian(&centres.column(n).into_owned());
            (smat(stack.column(n).as_slice()) - &truth).norm() / truth.norm()
        })
        .fold(0.0, f64::max)
}

#[test]
fn f32_is_more_accurate_than_plain_f32_queries_can_be() {
    // Plain f32 reaches 2.6e-2, 8e-4, 1.3e-3 and 1.1e-4 at its best steps: half of that at most.
    for (scheme, h, bar) in [
        (HessianScheme::Forward, 2e-3, 1.3e-2),
        (HessianScheme::Central, 1e-2, 4e-4),
        (HessianScheme::Polarised, 1e-2, 6.5e-4),
        (HessianScheme::Richardson, 5e-2, 5.5e-5),
    ] {
        let error = error_of_f32(Activation::Tanh, scheme, h);
        assert!(error < bar, "{scheme:?}: {error:e}");
    }
}

/// The table of docs/performance.md: `cargo test --release errors -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn errors_by_step() {
    for activation in Activation::ALL {
        for scheme in SCHEMES {
            let steps = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5];
            let errors = steps.map(|h| format!("{h}: {:.1e}", error_of_f32(activation, scheme, h)));
            println!("{activation} {scheme:?} {}", errors.join("  "));
        }
    }
}
