//! What a user can change when a run did not identify: one remedy for each way to end.
//!
//! The library names settings; the command line says which of its options they are.

use std::fmt;

use crate::stage::Stage;

/// What may help. Its text speaks of [`Settings`](crate::Settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// The pipeline does not fit the settings.
    OtherPipeline,
    /// The limit on queries was reached.
    MoreQueries,
    /// The limit on time was reached.
    MoreTime,
    /// A query outside the domain was refused.
    LargerDomain,
    /// The black box changes over no length that was tried, or too little of it shows.
    RescaledInputs,
    /// The gradients show no range in the domain.
    OtherRegion,
    /// No Hessian stands above the noise.
    MoreAccurateValues,
    /// Far out the black box is no network.
    NearAPoint,
    /// The second layer was not found.
    SecondLayer,
    /// The directions near a point were not found.
    OtherCentre,
    /// The units of one hidden layer were not found.
    ToldWidth,
    /// The fit stops, or the values differ from the network.
    MoreAttempts,
    /// A few values differ from the network.
    ErringBlackBox,
    /// Inputs are clipped beyond the domain.
    WithinTheBox,
    /// Other widths than those given.
    OtherWidths,
    /// Another link, or another range of it.
    OtherLink,
    /// The values leave parameters open.
    Undetermined,
    /// The values leave less open than the parameters, but more than the tolerance.
    LargerTolerance,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Remedy; 18] = [
        Remedy::OtherPipeline,
        Remedy::MoreQueries,
        Remedy::MoreTime,
        Remedy::LargerDomain,
        Remedy::RescaledInputs,
        Remedy::OtherRegion,
        Remedy::MoreAccurateValues,
        Remedy::NearAPoint,
        Remedy::SecondLayer,
        Remedy::OtherCentre,
        Remedy::ToldWidth,
        Remedy::MoreAttempts,
        Remedy::ErringBlackBox,
        Remedy::WithinTheBox,
        Remedy::OtherWidths,
        Remedy::OtherLink,
        Remedy::Undetermined,
        Remedy::LargerTolerance,
    ];

    /// Does it lift a limit of the run?
    pub(crate) fn is_of_limit(self) -> bool {
        matches!(self, Remedy::MoreQueries | Remedy::MoreTime | Remedy::LargerDomain)
    }

    /// After a stage that failed.
    pub fn of_stage(stage: Stage) -> Self {
        match stage {
            Stage::Start => Remedy::OtherPipeline,
            Stage::Probe => Remedy::RescaledInputs,
            Stage::Reduce => Remedy::OtherRegion,
            Stage::Stack => Remedy::MoreAccurateValues,
            Stage::Lines | Stage::Units | Stage::Polish | Stage::Hyperplanes => Remedy::NearAPoint,
            Stage::Peel | Stage::Grow | Stage::Saturated | Stage::Scales => Remedy::SecondLayer,
            Stage::Directions | Stage::Attribution => Remedy::OtherCentre,
            Stage::Profiles => Remedy::ToldWidth,
            Stage::Refine | Stage::Repair | Stage::Certify | Stage::Outputs | Stage::Clipping => {
                Remedy::MoreAttempts
            }
        }
    }

    /// The sentence, in the names of [`Settings`](crate::Settings).
    pub fn text(self) -> &'static str {
        match self {
            Remedy::OtherPipeline => "choose another `pipeline` or other settings",
            Remedy::MoreQueries => "allow more queries: `max_queries`",
            Remedy::MoreTime => {
                "allow more time (`deadline`), or continue from a checkpoint: `Recorded` over a `Checkpoint`"
            }
            Remedy::LargerDomain => "allow a larger domain: `domain_radius`",
            Remedy::RescaledInputs => {
                "rescale the inputs so that the black box changes over lengths of 1e-3 to 1e3, or ask a black box \
                 of more accurate values"
            }
            Remedy::OtherRegion => {
                "ask in a larger domain (`domain_radius`) or about another centre (`local.centre`)"
            }
            Remedy::MoreAccurateValues => {
                "ask a black box of more accurate values: f64 instead of f32, more digits, less noise"
            }
            Remedy::NearAPoint => {
                "where inputs are clipped or the black box is another one far out, stay near a point: `pipeline` \
                 `Entangled` with `domain_radius`; otherwise ask for more accurate values"
            }
            Remedy::SecondLayer => {
                "allow more `attempts` from another `seed`, or ask a black box of more accurate values; if neither \
                 helps, the second layer is too wide for the first, or there are not two of them"
            }
            Remedy::OtherCentre => {
                "take another `local.centre` or a larger `domain_radius`; where the black box may be asked \
                 anywhere, the wide pipeline needs no such luck"
            }
            Remedy::ToldWidth => {
                "give the `width` if it is known, another `seed` or a larger `local.radius`"
            }
            Remedy::MoreAttempts => {
                "allow more `attempts` from another `seed`; if the residual stays, the black box is no network with \
                 these activations and this number of hidden layers"
            }
            Remedy::ErringBlackBox => {
                "see whether the black box errs there: where it does, the network found may still be its own"
            }
            Remedy::WithinTheBox => {
                "within the box the network is identified: `pipeline` `Entangled` with `domain_radius` says so of \
                 the domain alone"
            }
            Remedy::OtherLink => "take another `link`, or another range of it",
            Remedy::OtherWidths => "leave the widths out, or correct them",
            Remedy::Undetermined => "ask a black box of more accurate values",
            Remedy::LargerTolerance => {
                "accept a larger error (`tolerance`), or ask a black box of more accurate values"
            }
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
