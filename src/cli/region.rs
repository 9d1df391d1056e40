//! Where a black box is sampled, and where it may be asked at all.

use std::path::Path;

use crate::files::read_regular;
use crate::identify::{Descent, LocalSampling, Settings};
use crate::oracle::design::Design;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use nalgebra::DVector;

/// The region of local sampling, and the domain.
#[derive(Args, Debug)]
#[command(next_help_heading = "Region")]
pub struct RegionOptions {
    /// Centre of the sampling and of the domain: numbers between commas, or a file of numbers.
    /// Without it: the origin
    #[arg(long, value_name = "X1,X2,...|FILE", value_parser = parse_centre,
        allow_hyphen_values = true)]
    center: Option<Centre>,
    /// Radius of local sampling. Without it: by the measured natural scale of the black box; with
    /// --pipeline published a third of the domain's, or of where f bends
    #[arg(long, value_name = "R", value_parser = parse_radius)]
    radius: Option<f64>,
    /// How the points of local sampling are spread; a sphere without it
    #[arg(long, value_parser = designs())]
    design: Option<Design>,
    /// Hessians taken near the centre by the published pipeline. Without it: six a dimension
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=100_000))]
    hessians: Option<u32>,
    /// How the local pipelines of two hidden layers fit scales and shifts; gauss-newton without it
    #[arg(long, value_parser = descents())]
    descent: Option<Descent>,
    /// Ask nothing farther than this from the centre; a pipeline that would is stopped
    #[arg(long, value_name = "R", value_parser = parse_radius)]
    domain_radius: Option<f64>,
}

impl RegionOptions {
    /// Puts the options into the settings of a run.
    pub fn apply(&self, settings: &mut Settings) {
        settings.local = LocalSampling {
            centre: self.center.as_ref().map(|Centre(point)| point.clone()),
            radius: self.radius,
            design: self.design,
            hessians: self.hessians.and_then(|count| usize::try_from(count).ok()),
            descent: self.descent,
        };
        settings.domain_radius = self.domain_radius;
    }
}

/// A point.
#[derive(Clone, Debug)]
struct Centre(DVector<f64>);

/// Numbers, if that is what the text is; else the numbers in the file of that name.
fn parse_centre(text: &str) -> Result<Centre, String> {
    let numbers = numbers(text).or_else(|_| {
        let path = Path::new(text);
        let content = read_regular(path)
            .map_err(|error| format!("neither numbers nor a file that can be read: {error}"))?;
        let content = String::from_utf8_lossy(&content);
        numbers(&content).map_err(|word| format!("the file holds {word:?}, which is no number"))
    })?;
    if numbers.is_empty() {
        return Err("no numbers".to_owned());
    }
    Ok(Centre(DVector::from_vec(numbers)))
}

/// Finite numbers between commas or white space; else the first word that is none.
fn numbers(text: &str) -> Result<Vec<f64>, String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| word.chars().take(20).collect())
        })
        .collect()
}

fn parse_radius(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(radius) if radius.is_finite() && radius > 0.0 => Ok(radius),
        _ => Err("expected a number above 0, such as 1.5".to_owned()),
    }
}

fn designs() -> impl TypedValueParser<Value = Design> {
    PossibleValuesParser::new(Design::ALL.map(Design::name)).try_map(|name| name.parse::<Design>())
}

fn descents() -> impl TypedValueParser<Value = Descent> {
    super::one_of(Descent::ALL, Descent::name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_centre_is_numbers_or_a_file_of_them() {
        let point = |text: &str| parse_centre(text).map(|Centre(point)| point.as_slice().to_vec());
        assert_eq!(point("1,-2.5, 3e-1"), Ok(vec![1.0, -2.5, 0.3]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("centre.txt");
        fs::write(&path, "0.5\n-1, 2\n").unwrap();
        assert_eq!(point(path.to_str().unwrap()), Ok(vec![0.5, -1.0, 2.0]));
        fs::write(&path, "0.5 x\n").unwrap();
        assert!(point(path.to_str().unwrap()).unwrap_err().contains("\"x\""));
        for bad in ["", "1,nan", "no such file", "1,,inf"] {
            assert!(point(bad).is_err(), "{bad}");
        }
    }
}
