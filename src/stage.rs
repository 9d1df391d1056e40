//! The stages of a run, by name: what queries are booked under, failures are named after, and progress is shown by.

use std::fmt;

use serde::{Serialize, Serializer};

/// A stage of a run. Its name stands in reports, in tables and at the beginning of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Before anything is asked.
    Start,
    /// Accuracy and natural scale of f.
    Probe,
    /// The range of the first layer.
    Reduce,
    /// Directions of the first layer by where f steps along lines far out.
    Lines,
    /// Hessians and the subspace that they span.
    Stack,
    /// Directions of the first layer, one by one.
    Units,
    /// These directions to rounding.
    Polish,
    /// Directions of the first layer by where f changes along lines.
    Hyperplanes,
    /// The second layer from derivatives.
    Peel,
    /// The last hidden layer one unit at a time, by what the others leave of f.
    Grow,
    /// The second layer from values where the first is saturated.
    Saturated,
    /// Directions of all layers at once.
    Directions,
    /// Which of these belong to which layer.
    Attribution,
    /// Norms and shifts of one hidden layer.
    Profiles,
    /// Shifts, scales and output weights.
    Scales,
    /// All parameters to rounding.
    Refine,
    /// Units exchanged where the fit stops.
    Repair,
    /// Fresh values and the bound.
    Certify,
    /// Several outputs: their mixture, and each of them.
    Outputs,
    /// Whether the inputs are clipped.
    Clipping,
}

impl Stage {
    /// The stages of the wide pipeline, in the order in which they run where nothing fails.
    pub const WIDE: &'static [Stage] = &[
        Stage::Probe,
        Stage::Reduce,
        Stage::Lines,
        Stage::Stack,
        Stage::Units,
        Stage::Polish,
        Stage::Peel,
        Stage::Scales,
        Stage::Refine,
        Stage::Certify,
    ];
    /// Those of the pipelines that stay near a point.
    pub const ENTANGLED: &'static [Stage] = &[
        Stage::Probe,
        Stage::Reduce,
        Stage::Directions,
        Stage::Attribution,
        Stage::Scales,
        Stage::Refine,
        Stage::Repair,
        Stage::Certify,
    ];
    /// Those of one hidden layer.
    pub const SHALLOW: &'static [Stage] = &[
        Stage::Probe,
        Stage::Reduce,
        Stage::Lines,
        Stage::Stack,
        Stage::Directions,
        Stage::Profiles,
        Stage::Refine,
        Stage::Certify,
    ];

    /// The name: a word in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Start => "start",
            Stage::Probe => "probe",
            Stage::Reduce => "reduce",
            Stage::Lines => "lines",
            Stage::Stack => "stack",
            Stage::Units => "units",
            Stage::Polish => "polish",
            Stage::Hyperplanes => "hyperplanes",
            Stage::Peel => "peel",
            Stage::Grow => "grow",
            Stage::Saturated => "saturated",
            Stage::Directions => "directions",
            Stage::Attribution => "attribution",
            Stage::Profiles => "profiles",
            Stage::Scales => "scales",
            Stage::Refine => "refine",
            Stage::Repair => "repair",
            Stage::Certify => "certify",
            Stage::Outputs => "outputs",
            Stage::Clipping => "clipping",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
