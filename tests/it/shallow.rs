//! One hidden layer through the program: made, identified, compared; and the domain, which no query
//! leaves, whoever asks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use disentangle::draws;
use disentangle::identify::shallow;
use disentangle::identify::{LocalSampling, Settings, Status};
use disentangle::network::{Activation, Class, Network, TwoLayer};
use disentangle::oracle::{FnOracle, Silent};
use nalgebra::DVector;
use serde_json::Value;
use tempfile::TempDir;

/// No run here may take longer, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder for networks and results.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Assert {
        let mut program = Command::cargo_bin("disentangle").unwrap();
        program.timeout(PATIENCE).args(arguments).assert()
    }

    fn generate(&self, dims: &str, options: &[&str]) -> String {
        let path = self.path("truth.safetensors");
        let arguments = ["generate", "--depth", "1", "--seed", "3", "--dims", dims, "--out", &path];
        self.run(&[&arguments, options].concat()).code(0);
        path
    }

    /// Runs `identify --depth 1` and returns its report.
    fn identify(&self, options: &[&str], code: i32) -> Value {
        let (out, report) = (self.path("found.safetensors"), self.path("report.json"));
        let fixed = ["identify", "--quiet", "--depth", "1", "--out", &out, "--report", &report];
        self.run(&[&fixed, options].concat()).code(code);
        serde_json::from_slice(&fs::read(report).unwrap()).unwrap()
    }

    /// The parameter error of what was found.
    fn error(&self, truth: &str) -> f64 {
        let found = self.path("found.safetensors");
        let verify = self.run(&["verify", "--json", truth, &found]).code(0);
        let json: Value = serde_json::from_slice(&verify.get_output().stdout).unwrap();
        assert_eq!(json["within_tolerance"], true);
        json["parameter_error"].as_f64().unwrap()
    }
}

#[test]
fn random_networks_are_identified() {
    for phi in Activation::SATURATING {
        for (class, dims, width) in
            [("paper", "6,6", 6), ("general", "8,3", 3), ("general", "7,12", 12)]
        {
            let desk = Desk::new();
            let truth = desk.generate(dims, &["--class", class, "--activation", phi.name()]);
            let report = desk.identify(&["--network", &truth], 0);
            assert_eq!(report["status"], "identified");
            assert_eq!((&report["depth"], &report["widths"]), (&1.into(), &vec![width].into()));
            assert_eq!(report["activation"], phi.name());
            let (error, bound) =
                (desk.error(&truth), report["parameter_error_bound"].as_f64().unwrap());
            assert!(error <= bound, "{phi} {dims}: error {error:e}, bound {bound:e}");
        }
    }
}

/// Far more units than inputs, and inputs of raw scales whose centre is far from the origin.
#[test]
fn any_width_and_any_scale_of_the_inputs_is_identified() {
    let desk = Desk::new();
    let truth = desk.generate("4,60", &["--class", "general"]);
    let report = desk.identify(&["--network", &truth], 0);
    assert_eq!(report["widths"], Value::from(vec![60]));
    assert!(report["queries"]["total"].as_u64().unwrap() < 15_000, "{}", report["queries"]);
    assert!(desk.error(&truth) < 1e-9);

    let mut raw =
        disentangle::network::OneLayer::random((6, 9), Class::General, Activation::Sigmoid, 2)
            .unwrap();
    for (input, scale) in [1e-3, 1.0, 300.0, 2.0, 1e4, 0.1].into_iter().enumerate() {
        raw.a.row_mut(input).scale_mut(1.0 / scale);
        let shift = &raw.theta + raw.a.row(input).transpose() * (5.0 * scale);
        raw.theta = shift;
    }
    let path = desk.path("raw.safetensors");
    Network::from(raw).save(&path).unwrap();
    desk.identify(&["--network", &path, "--seed", "1"], 0);
    assert!(desk.error(&path) < 1e-8);
}

/// Networks that people use, where they are at hand: their licences are their own, and they are no part of the project.
#[test]
fn networks_that_people_use_are_identified() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/networks/real");
    for (name, width) in
        [("n2p2_lj", 3), ("snap_s2_lai_v3", 5), ("tmva_ilc_lepton", 14), ("bat_molfrac", 24)]
    {
        let path = folder.join(name).with_extension("safetensors");
        if !path.exists() {
            eprintln!("skipped: there is no {}", path.display());
            continue;
        }
        let truth = path.display().to_string();
        for seed in ["1", "2", "3"] {
            let desk = Desk::new();
            let report = desk.identify(&["--network", &truth, "--seed", seed], 0);
            assert_eq!(report["widths"], Value::from(vec![width]), "{name}");
            assert!(
                report["queries"]["total"].as_u64().unwrap() < 20_000,
                "{name}: {}",
                report["queries"]
            );
            assert!(desk.error(&truth) < 1e-8, "{name}");
        }
    }
}

#[test]
fn a_process_gives_the_same_answer_and_a_given_width_is_respected() {
    let desk = Desk::new();
    let truth = desk.generate("5,5", &["--class", "general"]);
    let program = assert_cmd::cargo::cargo_bin("disentangle");
    let command = format!("'{}' serve --network '{truth}'", program.display());
    let options = ["--process", &command, "--input-dim", "5", "--widths", "5"];
    let report = desk.identify(&options, 0);
    assert_eq!(report["tolerances"]["widths"], Value::from(vec![5]));
    let by_process = fs::read(desk.path("found.safetensors")).unwrap();
    desk.identify(&["--network", &truth, "--widths", "5", "--activation", "tanh"], 0);
    assert!(desk.error(&truth) < 1e-9);
    let by_process = Network::from_bytes(&by_process, None).unwrap();
    let found = Network::load(desk.path("found.safetensors"), None).unwrap();
    assert!(found.matching(&by_process).within(1e-9));
    // Another width is not this network.
    let report = desk.identify(&["--network", &truth, "--widths", "4"], 1);
    assert_ne!(report["status"], "identified");
}

/// Answers for 1 + 2 tanh(x . a - 0.2) - tanh(x . b + 0.4), a = (1, .5, 0), b = (-.3, .2, 1.1), and keeps the
/// largest distance from (1, 0, -1) that it was asked at.
const WITNESS: &str = r"
import math, sys
farthest = 0.0
for line in sys.stdin:
    x = [float(word) for word in line.split()]
    farthest = max(farthest, math.dist(x, [1.0, 0.0, -1.0]))
    with open('farthest', 'w') as file:
        file.write(repr(farthest))
    u = x[0] + 0.5 * x[1] - 0.2
    v = -0.3 * x[0] + 0.2 * x[1] + 1.1 * x[2] + 0.4
    print(1.0 + 2.0 * math.tanh(u) - math.tanh(v), flush=True)
";

#[test]
fn no_query_leaves_the_domain() {
    if !crate::common::python_can("import math") {
        return;
    }
    let desk = Desk::new();
    fs::write(desk.path("witness.py"), WITNESS).unwrap();
    let command = format!("cd '{}' && exec python3 witness.py", desk.0.path().display());
    let region = ["--center", "1,0,-1", "--domain-radius", "1.5"];
    let process = ["--process", &command, "--input-dim", "3", "--activation", "tanh"];
    let report = desk.identify(&[&process[..], &region].concat(), 0);
    let farthest = || -> f64 {
        fs::read_to_string(PathBuf::from(desk.path("farthest"))).unwrap().parse().unwrap()
    };
    assert!((0.5..=1.5 + 1e-12).contains(&farthest()), "{}", farthest());
    assert_eq!(report["widths"], Value::from(vec![2]));
    let seen = report["evidence"]["domain"][0]["farthest_query"].as_f64().unwrap();
    assert!(seen >= farthest() - 1e-12);

    // The wide pipeline must leave it, and is stopped instead.
    let wide = ["identify", "--quiet", "--domain-radius", "1.5", "--center", "1,0,-1"];
    let stopped = desk.run(&[&wide[..], &process].concat()).code(1);
    assert!(String::from_utf8_lossy(&stopped.get_output().stdout).contains("was refused"));
    assert!(farthest() <= 1.5 + 1e-12);
}

#[test]
fn every_design_and_radius_finds_the_network() {
    let desk = Desk::new();
    let truth = desk.generate("5,4", &[]);
    for design in ["sphere", "ball", "gaussian"] {
        let options = ["--network", &truth, "--design", design, "--radius", "1.2"];
        desk.identify(&options, 0);
        assert!(desk.error(&truth) < 1e-9, "{design}");
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let desk = Desk::new();
    let truth = desk.generate("5,4", &[]);
    for options in [
        &["--depth", "1", "--center", "1,2"][..],
        &["--depth", "1", "--widths", "4,2"],
        &["--depth", "1", "--backend", "gpu"],
        &["--depth", "1", "--hessians", "50"],
        &["--depth", "1", "--descent", "gradient"],
        &["--depth", "2", "--widths", "4"],
        &["--depth", "2", "--radius", "1"],
        &["--depth", "2", "--center", "0,0,0,0,0"],
        &["--depth", "3"],
        &["--domain-radius", "0"],
        &["--radius", "nan", "--depth", "1"],
    ] {
        let run = desk.run(&[&["identify", "--network", &truth], options].concat()).code(2);
        assert!(!run.get_output().stderr.is_empty(), "{options:?}");
    }
    let deep = desk.path("deep.safetensors");
    let drawn = Network::random(&[5, 4, 2], 1, Class::Paper, Activation::Tanh, 1).unwrap();
    drawn.save(&deep).unwrap();
    for options in [
        ["--pipeline", "entangled", "--radius", "1"],
        ["--pipeline", "entangled", "--design", "ball"],
        ["--pipeline", "entangled", "--hessians", "50"],
        ["--pipeline", "entangled", "--ascent", "spectral"],
        ["--pipeline", "published", "--hessians", "100001"],
        ["--pipeline", "wide", "--descent", "gradient"],
    ] {
        let run = desk.run(&[&["identify", "--network", &deep], &options[..]].concat()).code(2);
        assert!(!run.get_output().stderr.is_empty(), "{options:?}");
    }
    // Networks of different depths can be compared: they differ.
    desk.run(&["verify", &truth, &deep]).code(1);
}

#[test]
fn the_published_experiment_has_all_its_cells() {
    let desk = Desk::new();
    let run = desk.run(&["shallow-baseline", "--runs", "1", "--json"]).success();
    let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 42);
    for cell in cells {
        assert_eq!(cell["pencil"], 1.0, "{cell}");
    }
}

/// Everywhere, and in a ball away from the origin: no network, or one that does not agree, for reasons that begin
/// so.
fn assert_refused(what: &str, reasons: [&str; 2], f: impl FnMut(&[f64]) -> f64 + Send) {
    let mut f = FnOracle::new(4, f);
    for (domain_radius, reason) in [None, Some(2.0)].into_iter().zip(reasons) {
        let centre = domain_radius.map(|_| DVector::from_vec(vec![0.3, 0.0, -0.5, 0.2]));
        let local = LocalSampling { centre, ..LocalSampling::default() };
        let settings =
            Settings { max_queries: 300_000, domain_radius, local, ..Settings::default() };
        let solution = shallow::identify(&mut f, &settings, &mut Silent).unwrap();
        let said = format!("{what}, {domain_radius:?}: {}", solution.reason);
        let approximate = reason.starts_with("the fit leaves");
        let status = if approximate { Status::Approximate } else { Status::NotIdentified };
        assert_eq!((solution.status, solution.network.is_some()), (status, approximate), "{said}");
        assert!(solution.reason.starts_with(reason), "{said}");
    }
}

#[test]
fn activations_that_grow_are_identified_without_being_told() {
    for (phi, dims, outputs) in [
        ("relu", "8,6", "1"),
        ("leaky_relu", "5,5", "2"),
        ("softplus", "6,9", "3"),
        ("silu", "8,6", "1"),
        ("gelu", "4,12", "4"),
        ("gelu_tanh", "5,4", "1"),
    ] {
        let desk = Desk::new();
        let truth =
            desk.generate(dims, &["--class", "general", "--activation", phi, "--outputs", outputs]);
        let report = desk.identify(&["--network", &truth, "--activation", "auto"], 0);
        assert_eq!((&report["status"], &report["activation"]), (&"identified".into(), &phi.into()));
        assert!(desk.error(&truth) < 1e-10, "{phi}");
        let queries = report["queries"]["total"].as_u64().unwrap();
        assert!(queries < 20_000, "{phi}: {queries}");
    }
}

#[test]
fn two_layers_of_what_grows_are_not_taken_for_one() {
    for phi in [Activation::Relu, Activation::Silu] {
        let deep = TwoLayer::random((4, 3, 2), Class::General, phi, 5).unwrap();
        let mut f = FnOracle::new(4, |x| deep.value(x));
        let solution = shallow::identify(&mut f, &Settings::default(), &mut Silent).unwrap();
        assert_eq!(solution.status, Status::NotIdentified, "{phi}: {}", solution.reason);
        assert!(solution.reason.starts_with("lines: "), "{phi}: {}", solution.reason);
    }
}

#[test]
fn what_is_no_one_hidden_layer_is_not_identified() {
    let a = draws::gaussian(&mut draws::stream(4, "outside", 0), 4, 3);
    let ridges = |x: &[f64], of: fn(f64) -> f64| -> f64 {
        a.tr_mul(&DVector::from_column_slice(x)).iter().map(|&z| of(z)).sum()
    };
    let deep = TwoLayer::random((4, 4, 2), Class::General, Activation::Tanh, 5).unwrap();
    const CONSTANT: &str = "probe: the black box is constant at every scale";
    const GROWING: &str = "probe: the values keep growing";
    const LINEAR: &str = "probe: the black box is linear";
    const NO_GAP: &str = "stack: the singular values of the Hessians do not fall anywhere";
    const NONE: &str = "directions: 0 rank-one matrices in a subspace of dimension 1";
    const TOO_MANY: &str = "directions: ";
    const NO_STEPS: &str = "lines: ";
    const RESIDUAL: &str = "refine: the fit stops at a residual";
    const MISFIT: &str = "the fit leaves";
    const NOISE: &str = "probe: the values are mostly noise";
    assert_refused("two hidden layers", [NO_STEPS, TOO_MANY], |x| deep.value(x));
    assert_refused("a constant", [CONSTANT, CONSTANT], |_| 3.25);
    assert_refused("a linear function", [LINEAR, NO_GAP], |x| x[0] - 2.0 * x[2]);
    assert_refused("a quadratic", [GROWING, NONE], |x| x[0] * x[0] - x[1] * x[2]);
    assert_refused("sines", [NO_STEPS, RESIDUAL], |x| ridges(x, f64::sin));
    assert_refused("tanh and a linear part", [NO_STEPS, MISFIT], |x| {
        ridges(x, f64::tanh) + 0.1 * x[3]
    });
    assert_refused("relu and a linear part", [NO_STEPS, NONE], |x| {
        ridges(x, |z| (z - 0.3).max(0.0)) + 0.1 * x[3]
    });
    assert_refused("the norm", [NO_STEPS, NO_GAP], |x| x.iter().map(|x| x * x).sum::<f64>().sqrt());
    assert_refused("tanh and a product", [MISFIT, MISFIT], |x| {
        ridges(x, f64::tanh) + 1e-4 * (x[0] * x[1]).sin()
    });
    let mut rng = draws::stream(7, "noise", 0);
    assert_refused("noise", [NOISE, NOISE], move |_| draws::unit_vector(&mut rng, 2)[0]);
}
