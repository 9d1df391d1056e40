//! `disentangle estimate`: what a run is to cost, before anything is asked.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::identify::cost::{Cost, Size};
use crate::oracle::{Oracle, ProcessFormat, ProcessOracle, ProcessSettings};
use clap::{ArgGroup, Args};
use indicatif::{HumanBytes, HumanCount};
use nalgebra::DMatrix;
use serde_json::json;

use super::identify::{Units, parse_widths};
use super::{Outcome, SUCCESS};

/// Inputs, and units of each layer, that a network has at most: what is beyond is a slip of the pen.
const MOST: usize = 1 << 20;
/// Points by which a process is measured: this many at least, then more until this time is over.
const MEASURED: (usize, usize) = (16, 65_536);
const LONG_ENOUGH: Duration = Duration::from_millis(500);
/// Widths that are shown where none are given: m0 over the number of inputs, as a fraction, and units of the first layer to
/// one of the second.
const SHOWN: [(usize, usize); 4] = [(1, 4), (1, 2), (1, 1), (2, 1)];
const FIRST_TO_SECOND: usize = 4;
/// Units of the second layer that are shown at most.
const MOST_SECOND: usize = 16;

/// Tell what `identify` will cost: queries, time and memory
///
/// Of a network of one output, by default settings, without a domain. Nothing is asked, except that a --process is
/// measured by points near the origin. Without --widths several sizes are shown.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("speed").args(["value_seconds", "process"]))]
pub struct Estimate {
    /// Number of inputs
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u64).range(1..=MOST as u64))]
    input_dim: u64,
    /// Units of both hidden layers, or of the only one
    #[arg(long, value_name = "M0,M1|M", value_parser = parse_widths)]
    widths: Option<Units>,
    /// Seconds that the black box takes for a value
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    value_seconds: Option<Duration>,
    /// A black box that is measured: a command as `identify` takes it
    #[arg(long, value_name = "COMMAND")]
    process: Option<String>,
    /// How numbers are written on the pipes of the process
    #[arg(long, value_enum, default_value_t, requires = "process")]
    process_format: ProcessFormat,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// How long the black box takes.
struct Speed {
    /// Seconds a value.
    seconds: f64,
    /// How that is known.
    how: String,
}

impl Estimate {
    /// Prints what a run costs.
    pub fn run(self) -> Outcome {
        let inputs = usize::try_from(self.input_dim)?;
        let sizes: Vec<Size> = match self.widths {
            Some(Units(first, second)) => vec![Size { inputs, first, second }],
            None => shown(inputs),
        };
        if let Some(size) = sizes.iter().find(|s| s.first > MOST || s.second > Some(MOST)) {
            return Err(format!("{} is too large", text_of(size)).into());
        }
        let costs: Vec<Cost> = sizes.into_iter().map(Size::cost).collect();
        let speed = self.speed(inputs)?;
        super::print(&match (self.json, costs.as_slice()) {
            (true, costs) => as_json(costs, speed.as_ref())?,
            (false, [cost]) => table(cost, speed.as_ref()),
            (false, costs) => several(costs, speed.as_ref()),
        })?;
        Ok(SUCCESS)
    }

    fn speed(&self, inputs: usize) -> Result<Option<Speed>, Box<dyn std::error::Error>> {
        if let Some(told) = self.value_seconds {
            return Ok(Some(Speed { seconds: told.as_secs_f64(), how: "as given".to_owned() }));
        }
        let Some(command) = &self.process else { return Ok(None) };
        let settings = ProcessSettings {
            format: self.process_format,
            ..ProcessSettings::new(command, inputs)
        };
        let mut process = ProcessOracle::spawn(settings)?;
        // The first answer waits for the program to start.
        process.values(&DMatrix::zeros(inputs, 1))?;
        let mut count = MEASURED.0;
        loop {
            let points = DMatrix::from_fn(inputs, count, |j, k| ((j + k) as f64).sin());
            let begin = Instant::now();
            process.values(&points)?;
            let took = begin.elapsed();
            if took >= LONG_ENOUGH || count >= MEASURED.1 {
                let seconds = took.as_secs_f64() / count as f64;
                let how = format!("measured by {} values at once", HumanCount(count as u64));
                return Ok(Some(Speed { seconds, how }));
            }
            count *= 2;
        }
    }
}

/// Sizes that networks with so many inputs have.
fn shown(inputs: usize) -> Vec<Size> {
    let size = |(over, under): (usize, usize)| {
        let first = (inputs * over / under).max(2);
        Size { inputs, first, second: Some((first / FIRST_TO_SECOND).clamp(1, MOST_SECOND)) }
    };
    let mut sizes: Vec<Size> = SHOWN.into_iter().map(size).collect();
    sizes.dedup();
    sizes
}

/// `64-24-8-1`.
fn text_of(size: &Size) -> String {
    let second = size.second.map_or(String::new(), |m1| format!("{m1}-"));
    format!("{}-{}-{second}1", size.inputs, size.first)
}

/// One run in a few lines, then its stages.
fn table(cost: &Cost, speed: Option<&Speed>) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<18}{value}");
    };
    let size = text_of(&cost.size);
    row("network", &format!("{size}, {} parameters", HumanCount(cost.parameters)));
    let (fewest, most) = cost.queries_range;
    let range = format!("{} to {}", rounded(fewest), rounded(most));
    row(
        "queries",
        &format!("about {}; measured runs of this kind: {range}", rounded(cost.queries)),
    );
    row("program", &format!("about {} on two cores", time(cost.seconds)));
    row(
        "black box",
        &match speed {
            Some(speed) => format!(
                "about {}, at {:.2e} seconds a value ({})",
                time(speed.seconds * cost.queries as f64),
                speed.seconds,
                speed.how
            ),
            None => "not known: give --value-seconds, or --process to have it measured".to_owned(),
        },
    );
    row("memory", &format!("about {}", HumanBytes(cost.bytes)));
    if !cost.size.is_plain() {
        row(
            "mind",
            "with more units than inputs, or fewer than three in the first layer to one of the second, queries depend \
             on the weights and may be many",
        );
    }
    let _ = writeln!(out, "{:<18}{:>12}", "stage", "queries");
    for (stage, queries) in &cost.stages {
        let _ = writeln!(out, "{stage:<18}{:>12}", HumanCount(*queries).to_string());
    }
    out
}

/// A line a size.
fn several(costs: &[Cost], speed: Option<&Speed>) -> String {
    let mut out = format!(
        "{:<20}{:>12}{:>12}{:>16}{:>16}{:>12}\n",
        "network", "parameters", "queries", "program", "black box", "memory"
    );
    for cost in costs {
        let black_box = speed.map_or("-".to_owned(), |s| time(s.seconds * cost.queries as f64));
        let _ = writeln!(
            out,
            "{:<20}{:>12}{:>12}{:>16}{:>16}{:>12}",
            text_of(&cost.size),
            HumanCount(cost.parameters).to_string(),
            rounded(cost.queries),
            time(cost.seconds),
            black_box,
            HumanBytes(cost.bytes).to_string()
        );
    }
    out + "--widths M0,M1 tells more of one size; --value-seconds or --process tells the time of the black box.\n"
}

fn as_json(costs: &[Cost], speed: Option<&Speed>) -> Result<String, serde_json::Error> {
    let with_speed = |cost: &Cost| {
        let black_box = speed.map(|speed| speed.seconds * cost.queries as f64);
        json!({"estimate": cost, "black_box_seconds": black_box})
    };
    let schema = "disentangle-estimate-1";
    let version = env!("CARGO_PKG_VERSION");
    let runs: Vec<_> = costs.iter().map(with_speed).collect();
    let all = json!({
        "schema": schema,
        "version": version,
        "value_seconds": speed.map(|speed| speed.seconds),
        "runs": runs,
    });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

/// Two digits: no estimate has more.
fn rounded(count: u64) -> String {
    let digits = count.max(1).ilog10();
    let unit = 10u64.pow(digits.saturating_sub(1));
    HumanCount((count + unit / 2) / unit * unit).to_string()
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.5 => "a second".to_owned(),
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_have_two_digits() {
        for (count, text) in [(0, "0"), (7, "7"), (28_449, "28,000"), (996, "1,000"), (105, "110")]
        {
            assert_eq!(rounded(count), text);
        }
        for (seconds, text) in [(0.2, "a second"), (90.0, "90 seconds"), (7000.0, "117 minutes")] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn few_inputs_have_no_two_lines_alike() {
        for inputs in [1, 2, 3, 8, 784] {
            let sizes = shown(inputs);
            assert!(sizes.iter().all(|s| s.first >= 1 && s.second >= Some(1)));
            assert!(sizes.windows(2).all(|pair| pair[0] != pair[1]), "{sizes:?}");
        }
        assert!(table(&shown(64)[0].cost(), None).contains("--value-seconds"));
    }
}
