//! Networks that people trained and use. They are others' work and no part of this project: they are read where a folder
//! beside it holds them.

use std::path::{Path, PathBuf};

use disentangle::identify::{Settings, Status, identify};
use disentangle::network::Network;
use disentangle::oracle::{NetworkOracle, Silent};

use crate::common::say_skipped;

/// Where they are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/networks/real")
}

/// With nothing told but the seed.
fn assert_identified(name: &str) {
    let path = folder().join(name).with_extension("safetensors");
    if !path.exists() {
        return say_skipped(&format!("{} is not there", path.display()));
    }
    let truth = Network::load(&path, None).expect("a network file");
    let mut oracle = NetworkOracle::new(truth.clone());
    let settings = Settings { seed: 1, ..Settings::default() };
    let solution = identify(&mut oracle, &settings, &mut Silent).expect("a sound black box");
    assert_eq!(solution.status, Status::Identified, "{name}: {}", solution.reason);
    let found = solution.network.expect("an identified network");
    let matching = truth.matching(&found);
    let error = matching.parameter_error.expect("a network of the same shape");
    let bound = solution.parameter_error_bound.expect("an identified network has a bound");
    assert!(error <= 1e-8 && error <= bound, "{name}: error {error:e}, bound {bound:e}");
}

#[test]
fn one_hidden_layer_of_any_width_on_inputs_of_any_scale() {
    for name in ["n2p2_lj", "snap_s2_lai_v3", "tmva_ilc_lepton", "bat_molfrac"] {
        assert_identified(name);
    }
}

#[test]
fn several_outputs_behind_a_link() {
    // Of the last one some answers are 1 to the last digit, and say nothing of their outputs.
    for name in ["opus_mlp", "rosetta3", "gnubg_p_crashed"] {
        assert_identified(name);
    }
}

#[test]
fn second_layers_that_are_wide_or_steep() {
    for name in ["pipnn_h4o", "n2p2_water_H"] {
        assert_identified(name);
    }
}
