//! What a user can change when a run did not identify: one sentence for each way to end.

use super::certify::Certificate;

/// After a stage that failed.
pub(crate) fn of_stage(stage: &str) -> &'static str {
    match stage {
        "start" => "choose another --pipeline or other settings",
        "budget" => "allow more queries: --max-queries",
        "probe" => {
            "rescale the inputs so that the black box changes over lengths of 1e-3 to 1e3, or ask a black box of \
             more accurate values"
        }
        "reduce" => "ask in a larger domain (--domain-radius) or about another centre (--center)",
        "stack" => {
            "ask a black box of more accurate values: f64 instead of f32, more digits, less noise"
        }
        "units" | "hyperplanes" => {
            "where inputs are clipped or the black box is another one far out, stay near a point: --pipeline \
             entangled with --domain-radius; otherwise ask for more accurate values"
        }
        "peel" | "whole" | "second_layer" | "saturated" | "scales" => {
            "allow more attempts (--attempts) from another --seed, or ask a black box of more accurate values; if \
             neither helps, the second layer is too wide for the first, or there are not two of them"
        }
        "directions" | "ascent" | "attribution" => {
            "take another --center or a larger --domain-radius; where the black box may be asked anywhere, the wide \
             pipeline needs no such luck"
        }
        "profiles" => "give the width if it is known, another --seed or a larger --radius",
        // A fit that stops, and what has no name here yet.
        _ => {
            "allow more attempts (--attempts) from another --seed; if the residual stays, the black box is no network \
             with these activations and two hidden layers"
        }
    }
}

/// After the limit on time.
pub const TIME: &str =
    "allow more time (--time-limit), or continue from a checkpoint: --checkpoint, then --resume";
/// After a query outside the domain.
pub(crate) const DOMAIN: &str = "allow a larger domain: --domain-radius";
/// Inputs are clipped beyond the domain.
pub(crate) const CLIPPED: &str = "within the box the network is identified: --pipeline entangled --domain-radius says so of the domain alone";
/// Other widths than those given.
pub(crate) const WIDTHS: &str = "leave the widths out, or correct them";
/// The values leave parameters open.
pub(crate) const OPEN: &str = "ask a black box of more accurate values";
/// The values leave less open than the parameters, but more than the tolerance.
pub(crate) const TOLERANCE: &str =
    "accept a larger error (--tolerance), or ask a black box of more accurate values";

/// Where the black box differs from the network.
pub(crate) fn of_difference(certificate: &Certificate) -> &'static str {
    if certificate.fits() && certificate.all_but_a_few() {
        "see whether the black box errs there: where it does, the network found may still be its own"
    } else {
        of_stage("refine")
    }
}
