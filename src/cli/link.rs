//! The options that name what the outputs of a network go through.

use std::error::Error;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use disentangle::network::Link;

/// The last nonlinearity.
#[derive(Args, Clone, Debug)]
pub struct LinkOptions {
    /// What the outputs go through last
    #[arg(long, value_name = "LINK", value_parser = links())]
    link: Option<Link>,
    /// The limits of that sigmoid or tanh, where they are not its own
    #[arg(long, value_name = "LO,HI", requires = "link", value_parser = parse_range,
        allow_hyphen_values = true)]
    link_range: Option<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range(f64, f64);

impl LinkOptions {
    /// The link that they name, if they name one.
    pub fn told(&self) -> Result<Option<Link>, Box<dyn Error>> {
        match (self.link, self.link_range) {
            (Some(link), Some(Range(lo, hi))) => {
                let ranged = link.with_range(lo, hi);
                Ok(Some(ranged.map_err(|error| format!("--link-range: {error}"))?))
            }
            (link, _) => Ok(link),
        }
    }
}

fn links() -> impl TypedValueParser<Value = Link> {
    PossibleValuesParser::new(Link::ALL.map(Link::name)).try_map(|name| Link::named(&name))
}

fn parse_range(text: &str) -> Result<Range, String> {
    let numbers = text.split_once(',').map(|(lo, hi)| (lo.trim().parse(), hi.trim().parse()));
    match numbers {
        Some((Ok(lo), Ok(hi))) => Ok(Range(lo, hi)),
        _ => Err("expected two numbers such as 1,5".to_owned()),
    }
}
