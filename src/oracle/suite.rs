//! What every oracle must do, asked of every oracle that there is: the tests of each say what is special
//! about it, these what is not.

use std::time::Duration;

use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use serde_json::Map;
use tempfile::TempDir;

use super::backend::{Backend, Precision};
use super::black_box::Oracle;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::cpu::CpuOracle;
use super::error::OracleError;
use super::function::FnOracle;
use super::hessian_stack::{HessianStack, HostStack};
use super::meter::{Meter, Observer, Progress, Silent};
use super::network::NetworkOracle;
use super::question::{Question, Wanted};
use super::recorded::{Recorded, Stencils};
use super::views::averaged::Averaged;
use super::views::centred::Centred;
use super::views::domain::Domain;
use super::views::linked::Linked;
use super::views::restricted::Restricted;
use crate::algebra::linalg::thin_svd;
use crate::algebra::svec::smat;
use crate::draws;
#[cfg(feature = "gpu")]
use crate::gpu::oracle::{ChosenOracle, GpuOracle};
use crate::network::OneLayer;
use crate::network::{Activation, Class, Link, Network, TwoLayer};
use crate::stencil::{self, GradientScheme, HessianScheme};

const GRADIENTS: [GradientScheme; 2] = [GradientScheme::Central2, GradientScheme::Central4];
const HESSIANS: [HessianScheme; 4] = [
    HessianScheme::Forward,
    HessianScheme::Central,
    HessianScheme::Polarised,
    HessianScheme::Richardson,
];
/// Step of the stencils: wide enough for differences of values in f64 to be exact to [`EXACT`].
const STEP: f64 = 0.1;
/// Errors of derivatives by differences of values in f64, as a share of the largest in the batch.
const EXACT: f64 = 1e-10;
/// Errors of single Hessians in the noise that an oracle states, which is that of a typical one.
const WORST: f64 = 100.0;

fn network() -> TwoLayer {
    TwoLayer::random((4, 4, 2), Class::General, Activation::Tanh, 1).unwrap()
}

/// The same layers with three outputs.
fn several() -> Network {
    Network::random(&[4, 4, 2], 3, Class::General, Activation::Tanh, 1).unwrap()
}

/// `count` points of d coordinates, the same ones every time.
fn points(d: usize, count: usize) -> DMatrix<f64> {
    draws::gaussian(&mut draws::stream(1, "suite", count as u64), d, count)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn log(folder: &TempDir) -> Checkpoint {
    Checkpoint::open(folder.path(), &Map::new(), false).unwrap()
}

/// A subspace of R^4: orthonormal columns, 4 x 3.
fn subspace() -> DMatrix<f64> {
    points(4, 3).qr().q()
}

/// The GPU's oracle in f32, or a loud skip; continuous integration must have an adapter.
#[cfg(feature = "gpu")]
fn gpu() -> Option<GpuOracle> {
    match GpuOracle::new(network(), None, Precision::F32) {
        Ok(oracle) => Some(oracle),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            use std::io::Write;
            // Past the test harness, which keeps `eprintln!` of a passing test to itself.
            let text = "*** SKIPPED: the oracle suite has not seen a GPU";
            let _ = writeln!(std::io::stderr(), "\n{text}: {error} ***\n");
            None
        }
    }
}

/// What a test does with an oracle of some name.
type Visit<'v> = dyn FnMut(&str, &mut dyn Oracle) + 'v;

/// Every view over an oracle of four inputs, alone and one over the other.
fn each_view(name: &str, inner: &mut dyn Oracle, visit: &mut Visit<'_>) {
    let (q, centre) = (subspace(), DVector::from_vec(vec![0.1, -0.2, 0.3, 0.0]));
    let mut visit = |view: &str, oracle: &mut dyn Oracle| visit(&format!("{view} {name}"), oracle);
    visit("restricted", &mut Restricted::new(inner, &q));
    visit("by values", &mut Restricted::by_values(inner, &q));
    visit("centred", &mut Centred::new(inner, &centre));
    visit("domain", &mut Domain::new(inner, centre.clone(), 100.0));
    visit("linked", &mut Linked::new(inner, Link::None));
    visit("meter", &mut Meter::new(inner, &mut Silent, u64::MAX));
    for repeats in [1, 3] {
        // Apart by nothing, so that a mean is the value.
        let rng = draws::stream(1, "averaged", 0);
        visit("averaged", &mut Averaged::new(inner, repeats, 0.0, rng));
    }
    for stencils in [Stencils::Inner, Stencils::Values] {
        let folder = folder();
        visit("recorded", &mut Recorded::new(inner, log(&folder), stencils));
        // Once more, from the log.
        visit("resumed", &mut Recorded::new(inner, log(&folder), stencils));
    }
    let folder = folder();
    let mut recorded = Recorded::new(inner, log(&folder), Stencils::Inner);
    let mut domain = Domain::new(&mut recorded, centre.clone(), 100.0);
    let mut silent = Silent;
    let mut meter = Meter::new(&mut domain, &mut silent, u64::MAX);
    let mut centred = Centred::new(&mut meter, &centre);
    visit("all views over", &mut Restricted::new(&mut centred, &q));
    let mut boxed: Box<dyn Oracle + '_> = Box::new(centred);
    visit("boxed", &mut boxed);
    visit("borrowed", &mut boxed.as_mut());
}

/// Everyone who answers, and every view over those with ways of their own.
fn each_oracle(visit: &mut Visit<'_>) {
    let n = network();
    let shallow = OneLayer::random((4, 3), Class::General, Activation::Tanh, 2).unwrap();
    let cpu = |precision| CpuOracle::new(network(), Backend::Cpu, precision).unwrap();
    visit("shallow", &mut NetworkOracle::new(shallow));
    visit("function", &mut FnOracle::new(4, |x| n.value(x)));
    visit("batches", &mut FnOracle::batch(4, |x| n.values(x)));
    visit("cpu f64", &mut cpu(Precision::F64));
    let mut plain = NetworkOracle::new(network());
    visit("network", &mut plain);
    each_view("network", &mut plain, visit);
    let mut single = cpu(Precision::F32);
    visit("cpu f32", &mut single);
    each_view("cpu f32", &mut single, visit);
    each_view("spy", &mut Spy::new(true), visit);
    let mut plain = NetworkOracle::new(several());
    visit("outputs", &mut plain);
    each_view("outputs", &mut plain, visit);
    let linked = Network { link: Link::Softmax, ..several() };
    visit("softmax", &mut NetworkOracle::new(linked.clone()));
    let mut linked = NetworkOracle::new(linked);
    visit("without softmax", &mut Linked::new(&mut linked, Link::Softmax));
    let n = several();
    visit("function of outputs", &mut FnOracle::outputs(4, 3, |x| n.outputs(x)));
    let mut single = CpuOracle::new(several(), Backend::Cpu, Precision::F32).unwrap();
    each_view("outputs cpu f32", &mut single, visit);
    #[cfg(feature = "gpu")]
    each_back_end(visit);
}

/// What a network may be on where there is a choice.
#[cfg(feature = "gpu")]
fn each_back_end(visit: &mut Visit<'_>) {
    let chosen = ChosenOracle::new(network(), Backend::Cpu, None, Precision::F32);
    visit("chosen cpu", &mut chosen.unwrap());
    if let Some(mut gpu) = gpu() {
        visit("gpu", &mut gpu);
        let mut outputs = GpuOracle::on(gpu.gpu(), several(), Precision::F32).unwrap();
        each_view("outputs gpu", &mut outputs, visit);
        each_view("gpu", &mut gpu, visit);
        visit("chosen gpu", &mut ChosenOracle::Gpu(Box::new(gpu)));
    }
}

/// A network that counts how it was asked, may say that it keeps stacks, and may fail.
struct Spy {
    network: TwoLayer,
    keeps: bool,
    fails: bool,
    /// Points at which values were asked for.
    values: u64,
    gradients: usize,
    hessians: usize,
    stacks: usize,
}

impl Spy {
    fn new(keeps: bool) -> Self {
        let network = network();
        Spy { network, keeps, fails: false, values: 0, gradients: 0, hessians: 0, stacks: 0 }
    }
}

/// An error that is nobody else's.
const PATIENCE: Duration = Duration::from_secs(7);

impl Oracle for Spy {
    fn input_dim(&self) -> usize {
        4
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        self.values += points.ncols() as u64;
        if self.fails {
            return Err(OracleError::TimeLimit(PATIENCE));
        }
        Ok(self.network.values(points))
    }

    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        self.gradients += 1;
        stencil::gradients(&mut |x| self.values(x), centres, directions, scheme, h)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        self.hessians += 1;
        stencil::hessians(&mut |x| self.values(x), centres, directions, scheme, h)
    }

    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        self.stacks += 1;
        let values = &mut |x: &DMatrix<f64>| self.values(x);
        let hessians = stencil::hessians(values, centres, directions, scheme, h)?;
        Ok(Box::new(HostStack::new(hessians)))
    }

    fn keeps_stacks(&self) -> bool {
        self.keeps
    }
}

/// One question of each kind at the columns of `centres`.
fn questions<'q>(
    centres: &'q DMatrix<f64>,
    directions: &'q DMatrix<f64>,
    h: f64,
) -> Vec<Question<'q>> {
    let mut wanted = vec![Wanted::Values, Wanted::Outputs(1), Wanted::Parts(1)];
    wanted.extend(GRADIENTS.map(|scheme| Wanted::Gradients(directions, scheme, h)));
    wanted.extend(HESSIANS.map(|scheme| Wanted::Hessians(directions, scheme, h)));
    wanted.extend(HESSIANS.map(|scheme| Wanted::Stack(directions, scheme, h)));
    wanted.into_iter().map(|wanted| Question { points: centres, wanted }).collect()
}

/// The share of the largest Hessian by which an oracle's may be off.
fn tolerance(oracle: &dyn Oracle) -> f64 {
    WORST * oracle.hessian_noise(STEP).unwrap_or(0.0) + EXACT
}

/// The largest Frobenius norm of a column.
fn largest(matrix: &DMatrix<f64>) -> f64 {
    matrix.column_iter().map(|column| column.norm()).fold(0.0, f64::max)
}

#[test]
fn derivatives_agree_with_differences_of_values() {
    each_oracle(&mut |name, oracle| {
        let d = oracle.input_dim();
        let (centres, directions) = (points(d, 7), points(d, 2));
        for scheme in GRADIENTS {
            let found = oracle.gradients(&centres, &directions, scheme, STEP).unwrap();
            let values = &mut |x: &DMatrix<f64>| oracle.values(x);
            let plain = stencil::gradients(values, &centres, &directions, scheme, STEP).unwrap();
            let error = largest(&(found - &plain));
            assert!(error <= EXACT * largest(&plain), "{name} {scheme:?}: {error:e}");
        }
        for scheme in HESSIANS {
            let found = oracle.hessians(&centres, &directions, scheme, STEP).unwrap();
            let tolerance = tolerance(oracle);
            let values = &mut |x: &DMatrix<f64>| oracle.values(x);
            let plain = stencil::hessians(values, &centres, &directions, scheme, STEP).unwrap();
            let error = largest(&(found - &plain));
            assert!(error <= tolerance * largest(&plain), "{name} {scheme:?}: {error:e}");
        }
    });
}

#[test]
fn values_and_derivatives_are_of_the_mixture_asked_for() {
    each_oracle(&mut |name, oracle| {
        let (d, k) = (oracle.input_dim(), oracle.output_dim());
        let (centres, directions) = (points(d, 6), points(d, 2));
        let outputs = oracle.outputs(&centres).unwrap();
        assert_eq!(outputs.shape(), (k, 6), "{name}");
        assert_eq!(oracle.outputs(&points(d, 0)).unwrap().shape(), (k, 0), "{name}");
        let first = DVector::from_fn(k, |i, _| if i == 0 { 1.0 } else { 0.0 });
        let weights = DVector::from_fn(k, |i, _| 1.0 - 1.7 * i as f64);
        for weights in [&weights, &first] {
            oracle.mix(weights);
            let off = oracle.values(&centres).unwrap() - outputs.tr_mul(weights);
            assert!(off.amax() <= 1e-12 * outputs.amax(), "{name}: {:e}", off.amax());
            let scheme = HessianScheme::Polarised;
            let found = oracle.hessians(&centres, &directions, scheme, STEP).unwrap();
            let tolerance = tolerance(oracle);
            let values = &mut |x: &DMatrix<f64>| oracle.values(x);
            let plain = stencil::hessians(values, &centres, &directions, scheme, STEP).unwrap();
            let error = largest(&(found - &plain));
            assert!(error <= tolerance * largest(&plain), "{name}: {error:e}");
        }
    });
}

#[test]
fn a_log_of_one_mixture_is_none_of_another() {
    let centres = points(4, 5);
    let record = folder();
    let ask = |weights: &[f64]| {
        let mut oracle = NetworkOracle::new(several());
        let mut recorded = Recorded::new(&mut oracle, log(&record), Stencils::Values);
        recorded.mix(&DVector::from_column_slice(weights));
        recorded.values(&centres)
    };
    let values = ask(&[1.0, 2.0, 3.0]).unwrap();
    assert_eq!(ask(&[1.0, 2.0, 3.0]).unwrap(), values);
    assert!(matches!(ask(&[1.0, 2.0, 4.0]), Err(OracleError::Checkpoint(_))));
}

#[test]
fn a_stack_is_made_of_the_hessians() {
    each_oracle(&mut |name, oracle| {
        let d = oracle.input_dim();
        let (centres, directions) = (points(d, 9), points(d, 2));
        let kept = [0, 2, 3, 6, 8];
        for scheme in HESSIANS {
            let hessians = oracle.hessians(&centres, &directions, scheme, STEP).unwrap();
            let mut stack = oracle.hessian_stack(&centres, &directions, scheme, STEP).unwrap();
            let tolerance = tolerance(oracle);
            let norms: Vec<f64> = hessians.column_iter().map(|h| h.norm()).collect();
            for (found, norm) in stack.norms().iter().zip(&norms) {
                let error = (found - norm).abs();
                assert!(error <= tolerance * largest(&hessians), "{name} {scheme:?}: {error:e}");
            }
            assert_eq!(stack.norms().len(), 9, "{name}");
            stack.keep(&kept).unwrap();
            let mut unit = hessians.select_columns(&kept);
            unit.column_iter_mut().for_each(|mut h| {
                h.normalize_mut();
            });
            // A unit vector carries the error of the largest Hessian, and more the smaller it was.
            let least = kept.iter().map(|&n| norms[n]).fold(f64::INFINITY, f64::min);
            let tolerance = tolerance * largest(&hessians) / least;
            let others = points(2, 4);
            let expected = DMatrix::from_fn(unit.ncols(), 4, |n, k| {
                let u = others.column(k);
                u.dot(&(smat(unit.column(n).as_slice()) * u))
            });
            let error = (stack.along(&others).unwrap() - expected).amax();
            let allowed = 4.0 * tolerance * largest(&others).powi(2);
            assert!(error <= allowed, "{name} {scheme:?}: {error:e}");
            let singular = stack.singular_values().unwrap().expect("singular values");
            let expected = thin_svd(&unit).unwrap().s;
            let least = (stack.resolution() + 4.0 * tolerance) * expected[0];
            for (found, expected) in singular.iter().zip(&expected) {
                let error = (found - expected).abs();
                assert!(error <= least, "{name} {scheme:?}: {error:e} {least:e}");
            }
            let basis = stack.basis(2).unwrap().expect("a small one");
            let off = (basis.tr_mul(&basis) - DMatrix::identity(2, 2)).amax();
            assert!(basis.shape() == (3, 2) && off < 1e-12, "{name} {scheme:?}: {off:e}");
        }
    });
}

#[test]
fn where_nothing_is_asked_nothing_is_answered() {
    each_oracle(&mut |name, oracle| {
        let d = oracle.input_dim();
        for (n, k) in [(0, 2), (3, 0), (0, 0)] {
            let (centres, directions) = (points(d, n), DMatrix::zeros(d, k));
            assert_eq!(oracle.values(&points(d, 0)).unwrap().len(), 0, "{name}");
            for scheme in GRADIENTS {
                let found = oracle.gradients(&centres, &directions, scheme, STEP).unwrap();
                assert_eq!(found.shape(), (k, n), "{name} {scheme:?}");
            }
            for scheme in HESSIANS {
                let found = oracle.hessians(&centres, &directions, scheme, STEP).unwrap();
                assert_eq!(found.shape(), (k * (k + 1) / 2, n), "{name} {scheme:?}");
                let stack = oracle.hessian_stack(&centres, &directions, scheme, STEP).unwrap();
                assert_eq!(stack.norms().len(), n, "{name} {scheme:?}");
            }
        }
    });
}

#[test]
fn errors_come_through_unchanged() {
    let mut spy = Spy { fails: true, ..Spy::new(true) };
    each_view("spy", &mut spy, &mut |name, oracle| {
        let d = oracle.input_dim();
        let (centres, directions) = (points(d, 3), points(d, 2));
        for question in questions(&centres, &directions, STEP) {
            match question.ask(oracle) {
                Err(OracleError::TimeLimit(PATIENCE)) => {}
                Err(other) => panic!("{name}: {other}"),
                Ok(_) => panic!("{name}: an answer"),
            }
        }
    });
}

/// Asks for a stack through a view of the spy, and returns whether the view said that it is kept.
fn stacked(oracle: &mut dyn Oracle) -> bool {
    let d = oracle.input_dim();
    let stack = oracle.hessian_stack(&points(d, 5), &points(d, 2), HessianScheme::Polarised, STEP);
    assert_eq!(stack.unwrap().norms().len(), 5);
    oracle.keeps_stacks()
}

#[test]
fn a_stack_is_left_to_whoever_keeps_it() {
    let (q, centre) = (subspace(), DVector::zeros(4));
    type Ask<'a> = &'a dyn Fn(&mut dyn Oracle) -> bool;
    let recorded = |inner: &mut dyn Oracle, stencils, ask: Ask<'_>| {
        let folder = folder();
        ask(&mut Recorded::new(inner, log(&folder), stencils))
    };
    let whole: [(&str, Ask<'_>); 6] = [
        ("restricted", &|f| stacked(&mut Restricted::new(f, &q))),
        ("centred", &|f| stacked(&mut Centred::new(f, &centre))),
        ("domain", &|f| stacked(&mut Domain::new(f, centre.clone(), 100.0))),
        ("meter", &|f| stacked(&mut Meter::new(f, &mut Silent, u64::MAX))),
        ("recorded", &|f| recorded(f, Stencils::Inner, &|f| stacked(f))),
        ("all", &|f| {
            recorded(f, Stencils::Inner, &|f| {
                let mut domain = Domain::new(f, centre.clone(), 100.0);
                let mut silent = Silent;
                let mut meter = Meter::new(&mut domain, &mut silent, u64::MAX);
                let mut centred = Centred::new(&mut meter, &centre);
                stacked(&mut Restricted::new(&mut centred, &q))
            })
        }),
    ];
    for (name, ask) in whole {
        let mut spy = Spy::new(true);
        assert!(ask(&mut spy), "{name}");
        assert_eq!((spy.stacks, spy.hessians), (1, 0), "{name}");
        let mut spy = Spy::new(false);
        assert!(!ask(&mut spy), "{name}");
        // Where a stack is in memory anyway, its Hessians are recorded: they need not be made again.
        let in_record = ["recorded", "all"].contains(&name);
        assert_eq!(spy.stacks, usize::from(!in_record), "{name}");
        assert_eq!(spy.hessians > 0, in_record, "{name}");
    }
    let apart: [(&str, Ask<'_>); 3] = [
        ("by values", &|f| stacked(&mut Restricted::by_values(f, &q))),
        ("averaged", &|f| stacked(&mut Averaged::new(f, 2, 0.0, draws::stream(1, "averaged", 0)))),
        ("recorded values", &|f| recorded(f, Stencils::Values, &|f| stacked(f))),
    ];
    for (name, ask) in apart {
        let mut spy = Spy::new(true);
        assert!(!ask(&mut spy), "{name}");
        assert_eq!((spy.stacks, spy.hessians), (0, 0), "{name}");
    }
}

#[test]
fn a_stack_kept_elsewhere_is_checked_when_a_run_is_resumed() {
    let (centres, directions) = (points(4, 5), points(4, 2));
    let ask = |oracle: &mut dyn Oracle, folder: &TempDir, h: f64| {
        let mut recorded = Recorded::new(oracle, log(folder), Stencils::Inner);
        recorded.values(&centres)?;
        let scheme = HessianScheme::Central;
        let stack = recorded.hessian_stack(&centres, &directions, scheme, h)?;
        Ok::<_, OracleError>(stack.norms().to_vec())
    };
    let diverged = |found: Result<Vec<f64>, OracleError>| match found {
        Err(OracleError::Checkpoint(CheckpointError::Diverged { .. })) => {}
        other => panic!("{other:?}"),
    };
    let record = folder();
    let norms = ask(&mut Spy::new(true), &record, STEP).unwrap();
    let mut spy = Spy::new(true);
    assert_eq!(ask(&mut spy, &record, STEP).unwrap(), norms);
    // The Hessians again, from the stencils asked before; the values from the log.
    assert_eq!((spy.stacks, spy.values), (1, 5 * HessianScheme::Central.queries(2)));
    diverged(ask(&mut Spy::new(true), &record, STEP * 1.01));
    let mut other = Spy::new(true);
    other.network.a *= 1.0 + 1e-12;
    diverged(ask(&mut other, &record, STEP));
    // A log of Hessians is none of stacks, and the other way round.
    diverged(ask(&mut Spy::new(false), &record, STEP));
    let hessians = folder();
    assert_eq!(ask(&mut Spy::new(false), &hessians, STEP).unwrap(), norms);
    diverged(ask(&mut Spy::new(true), &hessians, STEP));
}

/// Remembers every report.
#[derive(Default)]
struct Reports(Vec<u64>);

impl Observer for Reports {
    fn stage(&mut self, _: Progress) {}
    fn queries(&mut self, progress: Progress) {
        self.0.push(progress.total_queries);
    }
    fn note(&mut self, _: &str) {}
}

#[test]
fn the_meter_counts_the_nodes_and_reports_every_kind() {
    for (n, k) in [(3, 2), (1, 1), (2, 0)] {
        let (centres, directions) = (points(4, n), points(4, k));
        for question in questions(&centres, &directions, STEP) {
            let (mut spy, mut reports) = (Spy::new(true), Reports::default());
            let mut meter = Meter::new(&mut spy, &mut reports, u64::MAX);
            question.ask(&mut meter).unwrap();
            let total = meter.total();
            assert_eq!(spy.values, total, "{question:?}");
            assert_eq!(reports.0, [total], "{question:?}");
        }
    }
}

proptest! {
    /// Whatever is asked of a domain, all of its nodes are inside, or none is asked.
    #[test]
    fn domain_lets_no_node_out(
        seed in 0u64..1 << 40,
        d in 1usize..5,
        k in 0usize..4,
        spread in -3.0..1.0f64,
        h in -4.0..1.0f64,
    ) {
        let (radius, h) = (2.0, 10f64.powf(h));
        let rng = &mut draws::stream(seed, "domain", 0);
        let centre = draws::gaussian(rng, d, 1).column(0).into_owned();
        let mut centres = draws::gaussian(rng, d, 3) * 10f64.powf(spread);
        centres.column_iter_mut().for_each(|mut x| x += &centre);
        let directions = draws::gaussian(rng, d, k);
        for question in questions(&centres, &directions, h) {
            let (mut farthest, mut asked) = (0.0f64, 0);
            let measure = |x: &[f64]| {
                farthest = farthest.max((DVector::from_column_slice(x) - &centre).norm());
                asked += 1;
                x.iter().map(|x| x.tanh()).sum()
            };
            let (refused, said) = {
                let mut f = FnOracle::new(d, measure);
                let mut domain = Domain::new(&mut f, centre.clone(), radius);
                let refused = match question.ask(&mut domain) {
                    Ok(_) => false,
                    Err(OracleError::OutsideDomain { norm, limit }) => {
                        prop_assert!(norm > limit && limit == radius);
                        true
                    }
                    Err(other) => panic!("{other}"),
                };
                (refused, domain.farthest())
            };
            prop_assert!(farthest <= radius * (1.0 + 1e-12), "{} {:?}", farthest, question.wanted);
            if refused {
                prop_assert_eq!(asked, 0);
            } else {
                prop_assert_eq!(asked, question.queries());
                prop_assert!(said >= farthest * (1.0 - 1e-12));
            }
        }
    }
}
