//! What may help, in the names of keyword arguments.

use disentangle::identify::Remedy;

/// The sentence for a remedy.
pub fn in_keywords(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::OtherPipeline => "choose another pipeline or other settings",
        Remedy::MoreQueries => "allow more queries: max_queries",
        Remedy::MoreTime => "allow more time (time_limit), or go on from a checkpoint: checkpoint",
        Remedy::LargerDomain => "allow a larger domain: domain_radius",
        Remedy::OtherRegion => "ask in a larger domain (domain_radius) or about another center",
        Remedy::NearAPoint => {
            "where inputs are clipped or f is another function far out, stay near a point: pipeline=\"entangled\" with \
             domain_radius; otherwise ask for more accurate values"
        }
        Remedy::SecondLayer => {
            "allow more attempts from another seed, or ask an f of more accurate values; if neither helps, the second \
             layer is too wide for the first, or there are not two of them"
        }
        Remedy::OtherCentre => {
            "take another center or a larger domain_radius; where f may be asked anywhere, the wide pipeline needs no \
             such luck"
        }
        Remedy::ToldWidth => {
            "give the width if it is known (widths), another seed or a larger radius"
        }
        Remedy::MoreAttempts => {
            "allow more attempts from another seed; if the residual stays, f is no network with these activations and \
             this number of hidden layers"
        }
        Remedy::WithinTheBox => {
            "within the box the network is identified: pipeline=\"entangled\" with domain_radius says so of the domain \
             alone"
        }
        Remedy::OtherLink => "name another link, or another link_range",
        Remedy::LargerTolerance => {
            "accept a larger error (tolerance), or ask an f of more accurate values"
        }
        // The others name no setting.
        remedy => remedy.text(),
    }
}
