//! What may help, in the names of the command line's options.

use crate::identify::Remedy;

/// The sentence for a remedy; the library has it in the names of its settings.
pub fn in_options(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::OtherPipeline => "choose another --pipeline or other settings",
        Remedy::MoreQueries => "allow more queries: --max-queries",
        Remedy::MoreTime => {
            "allow more time (--time-limit), or continue from a checkpoint: --checkpoint, then --resume"
        }
        Remedy::LargerDomain => "allow a larger domain: --domain-radius",
        Remedy::OtherRegion => {
            "ask in a larger domain (--domain-radius) or about another centre (--center)"
        }
        Remedy::NearAPoint => {
            "where inputs are clipped or the black box is another one far out, stay near a point: --pipeline \
             entangled with --domain-radius; otherwise ask for more accurate values"
        }
        Remedy::SecondLayer => {
            "allow more attempts (--attempts) from another --seed, or ask a black box of more accurate values; if \
             neither helps, the second layer is too wide for the first, or there are not two of them"
        }
        Remedy::OtherCentre => {
            "take another --center or a larger --domain-radius; where the black box may be asked anywhere, the wide \
             pipeline needs no such luck"
        }
        Remedy::ToldWidth => {
            "give the width if it is known (--widths), another --seed or a larger --radius"
        }
        Remedy::MoreAttempts => {
            "allow more attempts (--attempts) from another --seed; if the residual stays, the black box is no network \
             with these activations and this number of hidden layers"
        }
        Remedy::WithinTheBox => {
            "within the box the network is identified: --pipeline entangled --domain-radius says so of the domain \
             alone"
        }
        Remedy::OtherLink => "name another link (--link), or another range of it (--link-range)",
        Remedy::LargerTolerance => {
            "accept a larger error (--tolerance), or ask a black box of more accurate values"
        }
        // The others name no setting.
        remedy => remedy.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_remedy_names_a_setting_of_the_library() {
        for remedy in Remedy::ALL {
            let text = in_options(remedy);
            assert!(!text.contains('`') && !text.contains('_'), "{remedy:?}: {text}");
        }
    }
}
