//! The options that name what the outputs of a network go through.

use std::error::Error;

use crate::network::Link;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// The last nonlinearity.
#[derive(Args, Clone, Debug)]
pub struct LinkOptions {
    /// What the outputs go through last; `auto`: what their values allow
    #[arg(long, value_name = "LINK", value_parser = links())]
    link: Option<Told>,
    /// The limits of that sigmoid or tanh, where they are not its own
    #[arg(long, value_name = "LO,HI", requires = "link", value_parser = parse_range,
        allow_hyphen_values = true)]
    link_range: Option<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range(f64, f64);

/// A link; `None`: `auto`.
#[derive(Clone, Copy, Debug)]
struct Told(Option<Link>);

impl LinkOptions {
    /// The link that they name, if they name one.
    pub fn named(&self) -> Result<Option<Link>, Box<dyn Error>> {
        match (self.link, self.link_range) {
            (Some(Told(Some(link))), Some(Range(lo, hi))) => {
                let ranged = link.with_range(lo, hi);
                Ok(Some(ranged.map_err(|error| format!("--link-range: {error}"))?))
            }
            (Some(Told(None)), _) => Err("--link auto names no link".into()),
            (Some(Told(link)), None) => Ok(link),
            (None, _) => Ok(None),
        }
    }

    /// The link that is known: the one named, else that of the file; `None` where it is to be found.
    pub fn known(&self, of_file: Option<Link>) -> Result<Option<Link>, Box<dyn Error>> {
        match (self.link, self.link_range) {
            (Some(Told(None)), None) => Ok(None),
            (None, _) => Ok(of_file),
            _ => self.named(),
        }
    }
}

fn links() -> impl TypedValueParser<Value = Told> {
    let names = std::iter::once("auto").chain(Link::ALL.map(Link::name));
    PossibleValuesParser::new(names.collect::<Vec<_>>()).try_map(|name| match name.as_str() {
        "auto" => Ok(Told(None)),
        name => Link::named(name).map(|link| Told(Some(link))),
    })
}

fn parse_range(text: &str) -> Result<Range, String> {
    let numbers = text.split_once(',').map(|(lo, hi)| (lo.trim().parse(), hi.trim().parse()));
    match numbers {
        Some((Ok(lo), Ok(hi))) => Ok(Range(lo, hi)),
        _ => Err("expected two numbers such as 1,5".to_owned()),
    }
}
