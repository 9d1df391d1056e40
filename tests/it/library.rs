//! What a user of the library may get wrong comes to an error or to a run without a network, never to a panic.

use std::time::Duration;

use disentangle::identify::{
    IdentifyError, LocalSampling, Pipeline, Settings, Status, identify, shallow,
};
use disentangle::oracle::{Deadline, Oracle, OracleError, Silent};
use disentangle::{FnOracle, TwoLayer};
use nalgebra::{DMatrix, DVector};

/// As one hidden layer (`None`) or by a pipeline; the status, unless it is an error.
fn run(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    pipeline: Option<Pipeline>,
) -> Result<Status, IdentifyError> {
    let settings = Settings { pipeline: pipeline.unwrap_or_default(), ..settings.clone() };
    match pipeline {
        None => shallow::identify(oracle, &settings, &mut Silent).map(|found| found.status),
        Some(_) => identify(oracle, &settings, &mut Silent).map(|found| found.status),
    }
}

fn ways() -> impl Iterator<Item = Option<Pipeline>> {
    std::iter::once(None).chain(Pipeline::ALL.map(Some))
}

/// Enough to reach every stage of so small a network, and no more.
fn short() -> Settings {
    Settings { max_queries: 20_000, attempts: 1, ..Settings::default() }
}

fn two_layers(x: &[f64]) -> f64 {
    let (y, z) = ((x[0] - 0.3 * x[1] + 0.1).tanh(), (0.7 * x[1] + x[2] - 0.2).tanh());
    (0.8 * y - 0.4 * z - 0.2).tanh()
}

#[test]
fn odd_settings() {
    let local = |local| Settings { local, ..short() };
    let cases = [
        Settings { width: Some(0), ..short() },
        Settings { width: Some(1), ..short() },
        Settings { width: Some(1000), ..short() },
        Settings { widths: Some((0, 0)), ..short() },
        Settings { widths: Some((1, 0)), ..short() },
        Settings { widths: Some((0, 1)), ..short() },
        Settings { widths: Some((1000, 1)), ..short() },
        Settings { widths: Some((2, 1000)), ..short() },
        Settings { attempts: 0, ..short() },
        Settings { max_queries: 0, ..short() },
        Settings { max_queries: 1, ..short() },
        Settings { tolerance: f64::MIN_POSITIVE, ..short() },
        Settings { domain_radius: Some(1e-300), ..short() },
        Settings { domain_radius: Some(1e300), ..short() },
        Settings { deadline: Some(Deadline::after(Duration::ZERO)), ..short() },
        Settings { deadline: Some(Deadline::after(Duration::MAX)), ..short() },
        local(LocalSampling { hessians: Some(0), ..Default::default() }),
        local(LocalSampling { hessians: Some(1), ..Default::default() }),
        local(LocalSampling { radius: Some(1e-300), ..Default::default() }),
        local(LocalSampling { radius: Some(1e300), ..Default::default() }),
        local(LocalSampling { centre: Some(DVector::zeros(2)), ..Default::default() }),
        local(LocalSampling {
            centre: Some(DVector::from_element(3, 1e300)),
            ..Default::default()
        }),
    ];
    for settings in &cases {
        for way in ways() {
            let _ = run(&mut FnOracle::new(3, two_layers), settings, way);
        }
    }
}

#[test]
fn odd_black_boxes() {
    for inputs in [0, 1, 2, 3] {
        let boxes: [fn(&[f64]) -> f64; 8] = [
            |_| 0.0,
            |_| f64::NAN,
            |_| f64::MAX,
            |x| x.iter().sum(),
            |x| x.iter().map(|x| x * x).sum(),
            |x| x.iter().sum::<f64>().signum(),
            |x| 1e-300 * x.iter().sum::<f64>().tanh(),
            |x| x.iter().sum::<f64>().exp(),
        ];
        for f in boxes {
            for way in ways() {
                if let Ok(status) = run(&mut FnOracle::new(inputs, f), &short(), way) {
                    assert_ne!(status, Status::Identified, "{inputs} inputs, {way:?}");
                }
            }
        }
    }
}

/// Answers one value too many, or too few, to more points than it may be asked at once.
struct Miscounting {
    network: TwoLayer,
    most: usize,
    found: usize,
}

impl Oracle for Miscounting {
    fn input_dim(&self) -> usize {
        self.network.dims().0
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let values = self.network.values(points);
        let count = if points.ncols() > self.most { self.found } else { points.ncols() };
        Ok(values.resize_vertically(count, 0.0))
    }
}

#[test]
fn a_wrong_number_of_values_is_an_error_wherever_it_is_noticed() {
    let network =
        TwoLayer::random((3, 3, 1), disentangle::Class::Paper, disentangle::Activation::Tanh, 1);
    let network = network.unwrap();
    for way in ways() {
        for most in [0, 10, 100] {
            for found in [0, most + 1, 100_000] {
                let mut oracle = Miscounting { network: network.clone(), most, found };
                let result = run(&mut oracle, &Settings::default(), way);
                let counted =
                    matches!(result, Err(IdentifyError::Oracle(OracleError::Count { .. })));
                assert!(counted, "{way:?}, {most}, {found}: {result:?}");
            }
        }
    }
}
