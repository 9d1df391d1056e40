//! The form in which the black box of a study gives its values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How values are rounded, and what they are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// Not at all.
    #[default]
    F64,
    /// To the nearest f32.
    F32,
    /// They are computed in f32, weights and inputs included.
    F32Arithmetic,
    /// To so many significant decimal digits, 1 to 15.
    Digits(u8),
}

impl Precision {
    /// The largest relative error of rounding a value.
    pub fn unit(self) -> f64 {
        match self {
            Precision::F64 => 0.5 * f64::EPSILON,
            Precision::F32 | Precision::F32Arithmetic => 0.5 * f64::from(f32::EPSILON),
            Precision::Digits(digits) => 0.5 * 10f64.powi(1 - i32::from(digits)),
        }
    }

    /// The value as it is given.
    pub fn rounded(self, value: f64) -> f64 {
        match self {
            Precision::F64 => value,
            Precision::F32 | Precision::F32Arithmetic => f64::from(value as f32),
            Precision::Digits(digits) => {
                // The decimal itself, as a black box would print it, and as it reads back.
                let text = format!("{value:.*e}", usize::from(digits.max(1)) - 1);
                text.parse().unwrap_or(value)
            }
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precision::F64 => f.write_str("f64"),
            Precision::F32 => f.write_str("f32"),
            Precision::F32Arithmetic => f.write_str("f32-arithmetic"),
            Precision::Digits(digits) => write!(f, "digits:{digits}"),
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = || {
            let digits = text.strip_prefix("digits:")?.parse().ok()?;
            (1..=15).contains(&digits).then_some(Precision::Digits(digits))
        };
        match text {
            "f64" => Ok(Precision::F64),
            "f32" => Ok(Precision::F32),
            "f32-arithmetic" => Ok(Precision::F32Arithmetic),
            _ => digits().ok_or_else(|| {
                format!("{text:?} is none of f64, f32, f32-arithmetic and digits:1 to digits:15")
            }),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> String {
        precision.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_as_told() {
        let x = -0.012345678901234567;
        assert_eq!(Precision::F64.rounded(x), x);
        assert_eq!(Precision::Digits(3).rounded(x), -0.0123);
        assert_eq!(Precision::Digits(1).rounded(987.0), 1000.0);
        assert_eq!(Precision::F32.rounded(x), f64::from(x as f32));
        assert_eq!(Precision::Digits(4).rounded(0.0), 0.0);
    }

    #[test]
    fn rounding_stays_within_the_unit() {
        for precision in [Precision::F32, Precision::Digits(1), Precision::Digits(6)] {
            let errors = (1..2000).map(|k| {
                let x = f64::from(k) / 7.0;
                (precision.rounded(x) - x).abs() / x / precision.unit()
            });
            let most = errors.fold(0.0, f64::max);
            assert!((0.5..=1.0).contains(&most), "{precision}: {most}");
        }
    }

    #[test]
    fn texts_round_trip() {
        for precision in
            [Precision::F64, Precision::F32, Precision::F32Arithmetic, Precision::Digits(7)]
        {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        for text in ["f16", "digits", "digits:0", "digits:16", "digits:-1"] {
            assert!(text.parse::<Precision>().is_err(), "{text}");
        }
    }
}
