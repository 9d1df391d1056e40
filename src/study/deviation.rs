//! How the black box of a study departs from the network that it seems to be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cell::number;

/// A departure, with its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Deviation {
    /// None.
    #[default]
    None,
    /// A further unit in the first layer whose row of B has this norm.
    FirstUnit(f64),
    /// A further unit in the second layer with this output weight.
    SecondUnit(f64),
    /// The inputs are clipped to [-r, r] first.
    Clip(f64),
    /// Beyond this norm of x another network answers.
    Far(f64),
    /// This share of the points has an error of standard deviation 1.
    Rare(f64),
    /// A third layer over the second, as wide, whose output has this weight.
    ThirdLayer(f64),
    /// This times sin(w . x), ||w|| = 1.
    Sine(f64),
    /// arctan z takes this share of each output z, before the link: together they are a link that is none of the known ones.
    Bent(f64),
    /// The outputs are clipped to within r of their values at the origin, before the link.
    ClippedOutputs(f64),
}

/// Which of several outputs depart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deviating {
    /// All of them, what is added in shares of their own.
    #[default]
    All,
    /// The first alone.
    One,
}

impl Deviating {
    /// All of them.
    pub const ALL: [Deviating; 2] = [Deviating::All, Deviating::One];

    /// The name in plans and records.
    pub fn name(self) -> &'static str {
        match self {
            Deviating::All => "all",
            Deviating::One => "one",
        }
    }
}

/// A departure of a given size.
type OfSize = fn(f64) -> Deviation;

impl Deviation {
    /// What stands for no departure.
    const NONE: &'static str = "none";
    /// Names and kinds.
    const KINDS: [(&'static str, OfSize); 9] = [
        ("first-unit", Deviation::FirstUnit),
        ("second-unit", Deviation::SecondUnit),
        ("clip", Deviation::Clip),
        ("far", Deviation::Far),
        ("rare", Deviation::Rare),
        ("third-layer", Deviation::ThirdLayer),
        ("sine", Deviation::Sine),
        ("bent", Deviation::Bent),
        ("clipped-outputs", Deviation::ClippedOutputs),
    ];

    /// The forms that a plan may give.
    pub fn forms() -> String {
        let sized = Deviation::KINDS.map(|(name, _)| format!("{name}:SIZE"));
        format!("{}, {}", Deviation::NONE, sized.join(", "))
    }

    fn size(self) -> Option<f64> {
        match self {
            Deviation::None => None,
            Deviation::FirstUnit(size)
            | Deviation::SecondUnit(size)
            | Deviation::Clip(size)
            | Deviation::Far(size)
            | Deviation::Rare(size)
            | Deviation::ThirdLayer(size)
            | Deviation::Sine(size)
            | Deviation::Bent(size)
            | Deviation::ClippedOutputs(size) => Some(size),
        }
    }

    /// Is the black box no network with one or two hidden layers?
    pub fn leaves_the_class(self) -> bool {
        match self {
            Deviation::None | Deviation::FirstUnit(_) | Deviation::SecondUnit(_) => false,
            Deviation::Clip(_)
            | Deviation::Far(_)
            | Deviation::Rare(_)
            | Deviation::ThirdLayer(_)
            | Deviation::Sine(_)
            | Deviation::Bent(_)
            | Deviation::ClippedOutputs(_) => true,
        }
    }

    /// The weight of the unit that is hidden in the network, if one is.
    pub fn hidden_weight(self) -> Option<f64> {
        match self {
            Deviation::FirstUnit(weight) | Deviation::SecondUnit(weight) => Some(weight),
            _ => None,
        }
    }

    /// Are there parameters that are the true ones: is the black box a network, or exactly
    /// one on a part of the points?
    pub fn has_parameters(self) -> bool {
        !matches!(self, Deviation::ThirdLayer(_) | Deviation::Sine(_) | Deviation::Bent(_))
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.size().and_then(|size| {
            Deviation::KINDS
                .into_iter()
                .find(|(_, of)| of(size) == *self)
                .map(|(name, _)| (name, size))
        });
        match kind {
            Some((name, size)) => write!(f, "{name}:{}", number(size)),
            None => f.write_str(Deviation::NONE),
        }
    }
}

impl FromStr for Deviation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == Deviation::NONE {
            return Ok(Deviation::None);
        }
        let sized = text.split_once(':').and_then(|(name, size)| {
            let (_, of) = Deviation::KINDS.into_iter().find(|(kind, _)| *kind == name)?;
            let size = size.parse::<f64>().ok().filter(|size| (1e-15..=1e15).contains(size))?;
            Some(of(size))
        });
        sized.ok_or_else(|| {
            format!("{text:?} is none of {}, with sizes from 1e-15 to 1e15", Deviation::forms())
        })
    }
}

impl TryFrom<String> for Deviation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Deviation> for String {
    fn from(deviation: Deviation) -> String {
        deviation.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for (_, of) in Deviation::KINDS {
            for size in [1e-4, 0.1 + 0.2, 300.0] {
                let text = of(size).to_string();
                assert_eq!(text.parse(), Ok(of(size)), "{text}");
            }
        }
        assert_eq!(Deviation::None.to_string().parse(), Ok(Deviation::None));
        assert_eq!(Deviation::Sine(1e-4).to_string(), "sine:1e-4");
        for text in ["sine", "sine:", "sine:0", "sine:nan", "cosine:1", "none:1"] {
            assert!(text.parse::<Deviation>().unwrap_err().contains("sine:SIZE"), "{text}");
        }
    }
}
