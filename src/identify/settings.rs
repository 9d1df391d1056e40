//! What a run may do and must respect.

use std::str::FromStr;

use nalgebra::DVector;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::algebra::rank_one::Ascent;
use crate::network::{Activation, Link, LinkError, TwoLayer};
use crate::oracle::Deadline;
use crate::oracle::design::Design;

/// A way from values to a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pipeline {
    /// Hessians far from the origin, where units are saturated one by one.
    #[default]
    Wide,
    /// Derivatives near one point, where the layers come entangled: for black boxes that may be asked
    /// in a small region only. Directions come from third derivatives.
    Entangled,
    /// The same with directions from the subspace that Hessians span, as published.
    Published,
}

impl Pipeline {
    /// All of them, in the order of the help.
    pub const ALL: [Pipeline; 3] = [Pipeline::Wide, Pipeline::Entangled, Pipeline::Published];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Pipeline::Wide => "wide",
            Pipeline::Entangled => "entangled",
            Pipeline::Published => "published",
        }
    }
}

impl FromStr for Pipeline {
    type Err = UnknownPipeline;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Pipeline::ALL.into_iter().find(|pipeline| pipeline.name() == name);
        known.ok_or_else(|| UnknownPipeline(name.to_owned()))
    }
}

/// The name of no pipeline.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown pipeline {0:?}; known are {known}", known = Pipeline::ALL.map(Pipeline::name).join(", "))]
pub struct UnknownPipeline(pub String);

/// How the wide pipeline finds the directions of the first layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FirstLayer {
    /// By lines; by the stack where the oracle differences for itself, where values are too inaccurate for lines, and
    /// where lines fall short.
    #[default]
    Auto,
    /// As rank-one elements of the span of Hessians far out: d^4 values, at a billion a second on a GPU.
    Stack,
    /// By where f steps from one level to another along lines far out: some 3 d values a unit.
    Lines,
}

impl FirstLayer {
    /// All of them, in the order of the help.
    pub const ALL: [FirstLayer; 3] = [FirstLayer::Auto, FirstLayer::Stack, FirstLayer::Lines];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FirstLayer::Auto => "auto",
            FirstLayer::Stack => "stack",
            FirstLayer::Lines => "lines",
        }
    }
}

/// How the wide pipeline fits all parameters, and bounds their errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FitBy {
    /// All at once where they are few, else by blocks; the other way where one stops and the other can be afforded.
    #[default]
    Auto,
    /// All at once: p^3 operations and p^2 numbers for p parameters.
    Dense,
    /// The second layer, then the units of the first one by one, at points where they alone show.
    Blocks,
}

impl FitBy {
    /// All of them, in the order of the help.
    pub const ALL: [FitBy; 3] = [FitBy::Auto, FitBy::Dense, FitBy::Blocks];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FitBy::Auto => "auto",
            FitBy::Dense => "dense",
            FitBy::Blocks => "blocks",
        }
    }
}

/// How the scalars are fitted by the pipelines that stay near a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Descent {
    /// Damped Gauss-Newton steps.
    #[default]
    GaussNewton,
    /// Gradient descent with a line search, as in the paper.
    Gradient,
}

impl Descent {
    /// All of them.
    pub const ALL: [Descent; 2] = [Descent::GaussNewton, Descent::Gradient];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Descent::GaussNewton => "gauss-newton",
            Descent::Gradient => "gradient",
        }
    }
}

/// What a run may do and must respect. What a pipeline has no use for must be left at `None`: nothing is
/// ignored in silence ([`Settings::validate`]).
///
/// ```
/// use disentangle::Settings;
///
/// let settings = Settings { seed: 7, tolerance: 1e-4, ..Settings::default() };
/// assert!(settings.validate(10, 2).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Fixes every random draw.
    pub seed: u64,
    /// Hidden layers, 1 or 2, if their number is known; otherwise it is found. Within a domain `None` stands for 2.
    pub depth: Option<usize>,
    /// What the outputs went through last, if it is known; otherwise it is found.
    pub link: Option<Link>,
    /// The way from values to a network of two hidden layers.
    pub pipeline: Pipeline,
    /// How the first layer is found. [`Pipeline::Wide`] and one hidden layer only; near a point, where one of the settings
    /// for that is made, one hidden layer is found by the stack.
    pub first_layer: FirstLayer,
    /// How all parameters are fitted. [`Pipeline::Wide`] only.
    pub fit: FitBy,
    /// The activation of the first layer, if known; otherwise what is seen of it decides between tanh
    /// (which sigmoid is a case of) and erf, and where values grow between those that do.
    pub activation: Option<Activation>,
    /// The activation of the second layer, if known. `None`: that of the first, if that is known.
    /// Pipelines but the wide one take both layers to be of one family.
    pub second_activation: Option<Activation>,
    /// The search for rank-one matrices in a subspace; `None`: [`Ascent::default`]. Not for
    /// [`Pipeline::Entangled`].
    pub ascent: Option<Ascent>,
    /// Queries allowed, at least 1.
    pub max_queries: u64,
    /// Widths (m0, m1), each at least 1, that the result must have to be accepted; never needed. Two hidden
    /// layers only.
    pub widths: Option<(usize, usize)>,
    /// Width, at least 1, of a network with one hidden layer, if it is known: the dimension that its
    /// subspace is given, instead of where the singular values fall. One hidden layer only.
    pub width: Option<usize>,
    /// Fresh starts allowed when a stage fails, at least 1.
    pub attempts: u64,
    /// Largest parameter error bound that still counts as identified, above 0.
    pub tolerance: f64,
    /// Where the pipelines that sample near one point do so; the wide pipeline does not.
    pub local: LocalSampling,
    /// Radius, above 0, of the ball around the centre of `local` that may be asked. A query outside is
    /// refused before it reaches the black box, and ends the run without a network. `None`: everywhere.
    pub domain_radius: Option<f64>,
    /// When the run must end: the refinement takes no further step and no query passes. `None`: never.
    pub deadline: Option<Deadline>,
}

/// Sampling near one point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalSampling {
    /// The point, length d; `None`: the origin. Also the centre of the domain, for every pipeline.
    pub centre: Option<DVector<f64>>,
    /// Radius of the design, above 0; cut to what the domain leaves. `None`: by the measured natural
    /// scale. One hidden layer and [`Pipeline::Published`] only.
    pub radius: Option<f64>,
    /// How the points are spread; `None`: [`Design::default`]. One hidden layer and
    /// [`Pipeline::Published`] only.
    pub design: Option<Design>,
    /// Hessians taken, 1 to 100,000, if the number is given. [`Pipeline::Published`] only.
    pub hessians: Option<usize>,
    /// How scales and shifts are fitted; `None`: [`Descent::default`]. The pipelines of two hidden layers that stay
    /// near a point only.
    pub descent: Option<Descent>,
}

impl LocalSampling {
    /// The centre among `d` inputs.
    pub fn centre(&self, d: usize) -> DVector<f64> {
        self.centre.clone().unwrap_or_else(|| DVector::zeros(d))
    }

    /// Is something set that only a stack of Hessians near a point heeds?
    fn samples_hessians(&self) -> bool {
        self.radius.is_some() || self.design.is_some() || self.hessians.is_some()
    }
}

/// The most Hessians that may be asked for by number.
pub const MOST_HESSIANS: usize = 100_000;

/// Settings that no run can have.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum SettingsError {
    /// A number that must be finite and above 0.
    #[error("the {name} must be a number above 0, not {value}")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A count that must be at least 1.
    #[error("the {0} must be at least 1")]
    Zero(&'static str),
    /// A black box without inputs.
    #[error("the black box has no inputs: it is a constant")]
    NoInputs,
    /// A coordinate of the centre that is not finite.
    #[error("the centre has a coordinate that is not finite")]
    Centre,
    /// A centre of another dimension than the inputs.
    #[error("the centre has {found} coordinates, the black box {expected} inputs")]
    Dimension {
        /// Coordinates given.
        found: usize,
        /// Inputs of the black box.
        expected: usize,
    },
    /// More Hessians than can be held.
    #[error("{0} Hessians are more than {MOST_HESSIANS}")]
    Hessians(usize),
    /// Something set that the pipeline has no use for.
    #[error("the {setting} is not for {what}: {remedy}")]
    Unused {
        /// Which setting.
        setting: &'static str,
        /// What has no use for it.
        what: &'static str,
        /// What has.
        remedy: &'static str,
    },
    /// One hidden layer with two activations.
    #[error("one hidden layer has one activation, not {0} and {1}")]
    TwoActivations(Activation, Activation),
    /// An activation that is not identified.
    #[error(
        "networks of {known} are identified, not of {0}, but for one hidden layer far out, without a domain, a centre or \
         a stack of Hessians", known = Activation::SATURATING.map(Activation::name).join(", ")
    )]
    Activation(Activation),
    /// An activation of which networks are identified from samples alone.
    #[error("networks of {0} are identified from samples, not from queries")]
    FromSamples(Activation),
    /// A link that cannot stand behind the outputs of the black box.
    #[error(transparent)]
    Link(LinkError),
    /// A number of hidden layers that is not identified.
    #[error("{0} hidden layers: networks of 1 or 2 are identified")]
    Depth(usize),
}

impl Settings {
    /// The activations of the first and of the second layer, as far as they are known.
    pub fn activations(&self) -> (Option<Activation>, Option<Activation>) {
        (self.activation, self.second_activation.or(self.activation))
    }

    /// The rank-one search that is set, or the default one.
    pub(crate) fn ascent(&self) -> Ascent {
        self.ascent.unwrap_or_default()
    }

    /// `network` in the activations that are known, where it can be written so.
    pub(crate) fn as_asked(&self, network: TwoLayer) -> TwoLayer {
        let (first, second) = self.activations();
        let asked = (first.unwrap_or(network.g), second.unwrap_or(network.h));
        network.with_activations(asked.0, asked.1).unwrap_or(network)
    }

    /// Are these the widths that are told, if any are?
    pub(crate) fn accepts(&self, widths: (usize, usize)) -> bool {
        self.widths.is_none_or(|told| told == widths)
    }

    /// The numbers of hidden layers that are looked for in a black box with `d` inputs, in this order.
    ///
    /// # Errors
    /// If there is none that these settings fit.
    pub fn depths(&self, d: usize) -> Result<&'static [usize], SettingsError> {
        match self.depth {
            Some(1) => self.validate(d, 1).map(|()| [1].as_slice()),
            Some(depth) => self.validate(d, depth).map(|()| [2].as_slice()),
            None => match (self.validate(d, 1), self.validate(d, 2)) {
                (Ok(()), Ok(())) if self.domain_radius.is_none() => Ok(&[1, 2]),
                (_, Ok(())) => Ok(&[2]),
                (Ok(()), Err(_)) => Ok(&[1]),
                (Err(_), Err(error)) => Err(error),
            },
        }
    }

    /// All that the questions of a run depend on. The limits on queries and time do not belong to it: a
    /// run that has reached one may go on with another. A [`Checkpoint`](crate::oracle::Checkpoint) is tied to it.
    #[must_use]
    pub fn describe(&self, oracle: &str, input_dim: usize) -> Map<String, Value> {
        let of_the_box = [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("oracle", json!(oracle)),
            ("number of inputs", json!(input_dim)),
        ];
        let mut run = self.by_name();
        run.extend(of_the_box.map(|(name, value)| (name.to_owned(), value)));
        run
    }

    /// The settings that questions depend on, by name, for people.
    #[must_use]
    pub fn by_name(&self) -> Map<String, Value> {
        let Settings {
            seed,
            depth,
            link,
            pipeline,
            first_layer,
            fit,
            activation,
            second_activation,
            ascent,
            max_queries: _,
            widths,
            width,
            attempts,
            tolerance,
            local: LocalSampling { centre, radius, design, hessians, descent },
            domain_radius,
            deadline: _,
        } = self;
        let pairs = [
            ("depth", json!(depth)),
            ("link", json!(link.map(|link| link.to_string()))),
            ("seed", json!(seed)),
            ("pipeline", json!(pipeline)),
            ("first layer", json!(first_layer)),
            ("fit", json!(fit)),
            ("activation", json!([activation, second_activation])),
            ("ascent", json!(ascent.unwrap_or_default())),
            ("widths", json!((widths, width))),
            ("attempts", json!(attempts)),
            ("tolerance", json!(tolerance)),
            ("center", json!(centre.as_ref().map(|centre| centre.as_slice()))),
            ("radius", json!(radius)),
            ("design", json!(format!("{:?}", design.unwrap_or_default()))),
            ("hessians", json!(hessians)),
            ("descent", json!(format!("{:?}", descent.unwrap_or_default()))),
            ("domain radius", json!(domain_radius)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Do they fit each other, a black box with `d` inputs and `depth` hidden layers (1 or 2)?
    ///
    /// # Errors
    /// The first that does not; also what nothing would heed.
    pub fn validate(&self, d: usize, depth: usize) -> Result<(), SettingsError> {
        self.validate_numbers(d)?;
        let (first, second) = self.activations();
        // One hidden layer of those that grow is found far out, where a domain and a point do not let it.
        let far = self.domain_radius.is_none()
            && self.local == LocalSampling::default()
            && self.first_layer != FirstLayer::Stack
            && self.ascent.is_none();
        let known = |phi: &Activation| phi.saturates() || depth == 1 && far;
        if let Some(other) = [first, second].into_iter().flatten().find(|phi| !known(phi)) {
            return Err(SettingsError::Activation(other));
        }
        match depth {
            1 => self.validate_one_layer(),
            2 => self.validate_two_layers(),
            _ => Err(SettingsError::Depth(depth)),
        }
    }

    fn validate_numbers(&self, d: usize) -> Result<(), SettingsError> {
        if d == 0 {
            return Err(SettingsError::NoInputs);
        }
        let positive = [
            ("tolerance", Some(self.tolerance)),
            ("sampling radius", self.local.radius),
            ("domain radius", self.domain_radius),
        ];
        for (name, value) in positive {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Err(SettingsError::NotPositive { name, value });
            }
        }
        let (m0, m1) = self.widths.unwrap_or((1, 1));
        let counts = [
            ("limit on queries", self.max_queries == 0),
            ("number of attempts", self.attempts == 0),
            ("width", self.width == Some(0) || m0 == 0 || m1 == 0),
            ("number of Hessians", self.local.hessians == Some(0)),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, zero)| *zero) {
            return Err(SettingsError::Zero(name));
        }
        if let Some(count) = self.local.hessians.filter(|&count| count > MOST_HESSIANS) {
            return Err(SettingsError::Hessians(count));
        }
        match &self.local.centre {
            Some(centre) if centre.len() != d => {
                Err(SettingsError::Dimension { found: centre.len(), expected: d })
            }
            Some(centre) if centre.iter().any(|c| !c.is_finite()) => Err(SettingsError::Centre),
            _ => Ok(()),
        }
    }

    fn validate_one_layer(&self) -> Result<(), SettingsError> {
        let (what, remedy) = ("one hidden layer", "look for two");
        let unused = [
            ("number of Hessians", self.local.hessians.is_some()),
            ("descent", self.local.descent.is_some()),
            ("pipeline", self.pipeline != Pipeline::Wide),
            ("way to fit", self.fit != FitBy::Auto),
        ];
        if let Some((setting, _)) = unused.into_iter().find(|(_, set)| *set) {
            return Err(SettingsError::Unused { setting, what, remedy });
        }
        if self.widths.is_some() {
            let (setting, remedy) = ("pair of widths", "give one number, such as 20");
            return Err(SettingsError::Unused { setting, what, remedy });
        }
        match self.activations() {
            (Some(Activation::SquaredRelu), _) => {
                Err(SettingsError::FromSamples(Activation::SquaredRelu))
            }
            (Some(g), Some(h)) if g != h => Err(SettingsError::TwoActivations(g, h)),
            _ => Ok(()),
        }
    }

    fn validate_two_layers(&self) -> Result<(), SettingsError> {
        let local = &self.local;
        let centre = local.centre.is_some() && self.domain_radius.is_none();
        let near = "take a pipeline that stays near a point, entangled or published, or look for one hidden layer";
        let published = "the entangled pipeline finds its directions at points of its own; take the published one";
        let (wide, two) = ("the wide pipeline", "two hidden layers");
        let near_point = "a pipeline that stays near a point";
        let in_wide = self.pipeline == Pipeline::Wide;
        let in_entangled = self.pipeline == Pipeline::Entangled;
        let unused = [
            ("single width", self.width.is_some(), two, "give two numbers, such as 24,8"),
            (
                "search for the first layer",
                !in_wide && self.first_layer != FirstLayer::Auto,
                near_point,
                "take the wide one",
            ),
            ("way to fit", !in_wide && self.fit != FitBy::Auto, near_point, "take the wide one"),
            ("centre without a domain", in_wide && centre, wide, near),
            ("sampling radius", in_wide && local.radius.is_some(), wide, near),
            ("design", in_wide && local.design.is_some(), wide, near),
            ("number of Hessians", in_wide && local.hessians.is_some(), wide, near),
            ("descent", in_wide && local.descent.is_some(), wide, near),
            (
                "sampling of Hessians",
                in_entangled && local.samples_hessians(),
                "the entangled pipeline",
                published,
            ),
            (
                "rank-one search",
                in_entangled && self.ascent.is_some(),
                "the entangled pipeline",
                published,
            ),
        ];
        match unused.into_iter().find(|(_, set, ..)| *set) {
            Some((setting, _, what, remedy)) => {
                Err(SettingsError::Unused { setting, what, remedy })
            }
            None => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 0,
            pipeline: Pipeline::default(),
            first_layer: FirstLayer::default(),
            fit: FitBy::default(),
            activation: None,
            second_activation: None,
            depth: None,
            link: None,
            ascent: None,
            max_queries: 20_000_000,
            widths: None,
            width: None,
            attempts: 4,
            tolerance: 1e-6,
            local: LocalSampling::default(),
            domain_radius: None,
            deadline: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_would_heed_is_refused() {
        let near = |local| Settings { local, ..Settings::default() };
        let design = LocalSampling { design: Some(Design::Ball), ..Default::default() };
        let hessians = LocalSampling { hessians: Some(9), ..Default::default() };
        let centre = LocalSampling { centre: Some(DVector::zeros(3)), ..LocalSampling::default() };
        let wide = [
            near(design.clone()),
            near(hessians.clone()),
            near(centre.clone()),
            Settings { width: Some(4), ..Settings::default() },
        ];
        for settings in wide {
            let error = settings.validate(3, 2).unwrap_err();
            assert!(matches!(error, SettingsError::Unused { .. }), "{error}");
        }
        let domain = Settings { domain_radius: Some(1.0), ..near(centre) };
        assert_eq!(domain.validate(3, 2), Ok(()));
        assert_eq!(near(design.clone()).validate(3, 1), Ok(()));
        let published = |local| Settings { pipeline: Pipeline::Published, ..near(local) };
        assert_eq!(published(hessians.clone()).validate(3, 2), Ok(()));
        let entangled = Settings { pipeline: Pipeline::Entangled, ..near(design) };
        assert!(entangled.validate(3, 2).is_err());
        let ascent = Some(Ascent::default());
        let ascends = Settings { pipeline: Pipeline::Entangled, ascent, ..Settings::default() };
        assert!(ascends.validate(3, 2).is_err());
        let one_layer = [
            near(hessians),
            Settings { widths: Some((3, 2)), ..Settings::default() },
            Settings { pipeline: Pipeline::Entangled, ..Settings::default() },
            Settings {
                activation: Some(Activation::Tanh),
                second_activation: Some(Activation::Erf),
                ..Settings::default()
            },
        ];
        for settings in one_layer {
            assert!(settings.validate(3, 1).is_err(), "{settings:?}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let default = Settings::default;
        let bad = [
            Settings { tolerance: 0.0, ..default() },
            Settings { tolerance: f64::NAN, ..default() },
            Settings { attempts: 0, ..default() },
            Settings { max_queries: 0, ..default() },
            Settings { widths: Some((3, 0)), ..default() },
            Settings { domain_radius: Some(-1.0), ..default() },
        ];
        for settings in bad {
            assert!(settings.validate(3, 2).is_err(), "{settings:?}");
        }
        assert!(Settings { width: Some(0), ..default() }.validate(3, 1).is_err());
        assert_eq!(default().validate(3, 3), Err(SettingsError::Depth(3)));
        assert_eq!(default().validate(0, 2), Err(SettingsError::NoInputs));
        let centre = |centre| LocalSampling { centre: Some(centre), ..LocalSampling::default() };
        let settings = Settings { local: centre(DVector::zeros(2)), ..default() };
        assert_eq!(
            settings.validate(3, 1),
            Err(SettingsError::Dimension { found: 2, expected: 3 })
        );
        let settings = Settings { local: centre(DVector::repeat(3, f64::INFINITY)), ..default() };
        assert_eq!(settings.validate(3, 1), Err(SettingsError::Centre));
    }
}
