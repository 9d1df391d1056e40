//! Runs on several ranks, which are threads here: the same bytes as on one, whatever their number.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use disentangle::identify::{FirstLayer, FitBy, Pipeline, Settings, Solution, Status, identify};
use disentangle::network::{Activation, Class, Network};
use disentangle::oracle::{
    Backend, Checkpoint, CpuOracle, Deadline, FnOracle, NetworkOracle, Oracle, OracleError,
    Precision, Recorded, Shared, Silent, Stencils,
};
use disentangle::ranks::Team;
use disentangle::ranks::threads::together;
use serde_json::Map;

fn network(dims: &[usize], seed: u64) -> Network {
    Network::random(dims, 1, Class::General, Activation::Tanh, seed).unwrap()
}

/// All that a run says but for its times.
fn said(solution: &Solution) -> String {
    let Solution { status, reason, network, queries, parameter_error_bound, residual, .. } =
        solution;
    let weights = network.as_ref().map(|network| format!("{network:?}"));
    format!(
        "{status:?} {reason} {weights:?} {queries} {parameter_error_bound:?} {residual:?} {}",
        solution.evidence.as_json()
    )
}

fn ran(f: &mut dyn Oracle, settings: &Settings) -> String {
    let solution = identify(f, settings, &mut Silent).unwrap();
    assert_eq!(solution.status, Status::Identified, "{}", solution.reason);
    said(&solution)
}

#[test]
fn every_route_comes_to_the_same_on_any_number_of_ranks() {
    let default = Settings::default();
    let stack = FirstLayer::Stack;
    for (dims, settings) in [
        (
            &[8, 8, 3][..],
            Settings { first_layer: FirstLayer::Lines, fit: FitBy::Blocks, ..default.clone() },
        ),
        (&[6, 6, 2], Settings { first_layer: stack, fit: FitBy::Dense, ..default.clone() }),
        (&[6, 5], Settings { depth: Some(1), ..default.clone() }),
        (&[6, 5, 2], Settings { pipeline: Pipeline::Entangled, widths: Some((5, 2)), ..default }),
    ] {
        let truth = network(dims, 1);
        let black_box = || -> Box<dyn Oracle> {
            match dims.len() {
                3 => Box::new(CpuOracle::new(truth.clone(), Backend::Cpu, Precision::F64).unwrap()),
                _ => Box::new(NetworkOracle::new(truth.clone())),
            }
        };
        let alone = ran(&mut black_box(), &settings);
        for ranks in [1, 2, 4] {
            let shared = |team: Team| ran(&mut Shared::new(&mut black_box(), team), &settings);
            assert!(
                together(ranks, shared).iter().all(|said| *said == alone),
                "{dims:?}, {ranks} ranks"
            );
        }
    }
}

fn checkpoint(folder: &Path, team: &Team) -> Option<Checkpoint> {
    team.is_first().then(|| Checkpoint::open(folder, &Map::new(), false).unwrap())
}

#[test]
fn a_rank_that_fails_ends_all_and_others_go_on_from_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (truth, settings) = (network(&[6, 6, 2], 2), Settings::default());
    let alone = ran(&mut NetworkOracle::new(truth.clone()), &settings);
    // Rank 1 of two has this many answers in it; afterwards nobody fails.
    let lives = AtomicUsize::new(2_000);
    let asked = AtomicUsize::new(0);
    let run = |team: Team| {
        let rank = team.rank();
        let mut inner = FnOracle::fallible(6, 1, |x| {
            asked.fetch_add(x.ncols(), Ordering::Relaxed);
            if rank == 1 && lives.fetch_sub(x.ncols(), Ordering::Relaxed) < x.ncols() {
                return Err(OracleError::Count { asked: x.ncols(), found: 0 });
            }
            Ok(truth.outputs(x))
        });
        let log = checkpoint(folder.path(), &team);
        let mut shared = Shared::new(&mut inner, team);
        let mut f = Recorded::new(&mut shared, log, Stencils::Values);
        identify(&mut f, &settings, &mut Silent)
            .map_or_else(|error| error.to_string(), |solution| said(&solution))
    };
    let cut = together(2, run);
    assert!(cut.iter().all(|said| said.starts_with("rank 1: ")), "{cut:?}");
    let before = asked.swap(0, Ordering::Relaxed);
    lives.store(usize::MAX / 2, Ordering::Relaxed);
    for ranks in [3, 1] {
        assert!(together(ranks, run).iter().all(|said| *said == alone));
    }
    // Only what was answered in the last slice is asked again, and nothing by the last run.
    let queries =
        identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap().queries;
    let after = asked.load(Ordering::Relaxed) as u64;
    assert!(
        after < queries && before as u64 + after >= queries,
        "{before} and {after} of {queries}"
    );
}

#[test]
fn the_end_of_the_time_comes_for_all() {
    let truth = network(&[6, 6, 2], 2);
    let ended = together(3, |team| {
        // Only the first rank has a clock that runs.
        let limit = if team.is_first() { Duration::ZERO } else { Duration::from_secs(3600) };
        let settings = Settings { deadline: Some(Deadline::after(limit)), ..Settings::default() };
        let mut inner = NetworkOracle::new(truth.clone());
        identify(&mut Shared::new(&mut inner, team), &settings, &mut Silent).unwrap().status
    });
    assert_eq!(ended, [Status::NotIdentified; 3]);
}
