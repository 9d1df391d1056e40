//! The command line: one file a subcommand, and what they share.

mod attend;
mod bench;
mod devices;
mod estimate;
mod fit;
mod fit_progress;
mod generate;
mod identify;
mod link;
mod long;
mod manners;
mod progress;
mod ranks;
mod region;
mod remedy;
mod report;
mod sample;
mod scale;
mod serve;
mod shallow_baseline;
mod study;
mod summary;
mod verify;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use crate::gpu::oracle::Backend;
use crate::network::{Activation, UnknownActivation};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

/// Exit code: it went as wished.
const SUCCESS: u8 = 0;
/// Exit code: the networks differ, or none was identified.
const DIFFERENT: u8 = 1;
/// Exit code: bad usage, bad input, or an environment that does not work. clap's own code too.
const UNUSABLE: u8 = 2;
/// Exit code: told to end by a signal; what shells give for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What a subcommand comes to: an exit code, or an error for stderr and exit code 2.
type Outcome = Result<u8, Box<dyn Error>>;

/// What whoever has just installed the program wants to do first.
const FIRST_STEPS: &str = "disentangle recovers every weight of a neural network with one or two hidden layers from its answers alone.

See it work, on a network that it makes itself:
  disentangle generate --dims 20,20,4 --class general --seed 7 --out truth.safetensors
  disentangle identify --network truth.safetensors --out found.safetensors --html report.html
  disentangle verify truth.safetensors found.safetensors

Your own model:
  disentangle identify --network model.onnx --out found.onnx --html report.html
  disentangle identify --process \"python3 server.py\" --input-dim 64 --out found.safetensors
  A server reads points (a line each, numbers separated by spaces) and prints a value a line.

Before that, what it will cost:
  disentangle estimate --input-dim 64

All commands: disentangle --help; all options of one: disentangle identify --help
";

/// Recover the weights of a neural network with one or two hidden layers from queries alone.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes:
  0    success: identified, or the networks are the same
  1    it ran, but the network is not identified, the networks differ, or a study saw a
       wrong answer
  2    bad usage, bad input or a broken black box; one line on stderr says what
  130  interrupted by Ctrl-C or SIGTERM"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Identify(Box<identify::Identify>),
    Estimate(estimate::Estimate),
    Fit(Box<fit::Fit>),
    Verify(verify::Verify),
    Report(report::ShowReport),
    Generate(generate::Generate),
    Sample(sample::Sample),
    Serve(serve::Serve),
    Devices(devices::Devices),
    Bench(Box<bench::Bench>),
    ShallowBaseline(shallow_baseline::ShallowBaseline),
    Study(Box<study::Study>),
    Completions(manners::Completions),
    Manual(manners::Manual),
}

/// Runs the program with these arguments, of which the first is its name, and returns its exit code. It takes over the
/// process: its standard streams, its signals, and threads that end with it.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> u8 {
    // Warnings of the library, such as a process oracle that had to be restarted. Whoever has a subscriber keeps it.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .try_init();
    if arguments.len() <= 1 {
        // Bad usage, which is answered by more than a list of commands. With nobody to read it there is nothing to say.
        let _ = io::stderr().write_all(FIRST_STEPS.as_bytes());
        return UNUSABLE;
    }
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli.run(&arguments).unwrap_or_else(|error| {
            say("error", &error.to_string());
            UNUSABLE
        }),
        // Help is one of its errors, too.
        Err(error) => {
            // With nobody to read it there is nothing to say.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(UNUSABLE)
        }
    }
}

impl Cli {
    fn run(self, arguments: &[OsString]) -> Outcome {
        match self.command {
            Command::Identify(command) => command.run(after_name(arguments)),
            Command::Estimate(command) => command.run(),
            Command::Fit(command) => ranks::alone(|| command.run(after_name(arguments))),
            Command::Verify(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Sample(command) => ranks::alone(|| command.run()),
            Command::Serve(command) => command.run(),
            Command::Devices(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::ShallowBaseline(command) => command.run(),
            Command::Study(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Manual(command) => command.run(),
        }
    }
}

/// The arguments as a report has them, without the program's name.
fn after_name(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Says on stderr what did not go as wished.
fn warn(text: &str) {
    say("warning", text);
}

/// Characters of a message at its beginning, which says what is wrong, and at its end, which has the
/// latest, that are shown in any case.
const SHOWN: (usize, usize) = (400, 800);

/// One line of readable length, whatever a file name or a library put into the message.
fn say(kind: &str, text: &str) {
    if !ranks::is_silent() {
        write_line(kind, text);
    }
}

fn write_line(kind: &str, text: &str) {
    let line = shortened(&text.replace(char::is_control, " "));
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{kind}: {line}");
}

fn shortened(line: &str) -> String {
    let (begin, end) = SHOWN;
    let length = line.chars().count();
    if length <= begin + end {
        return line.to_owned();
    }
    let left_out = length - begin - end;
    let shown = |skip, take| line.chars().skip(skip).take(take).collect::<String>();
    format!("{} [{left_out} characters] {}", shown(0, begin), shown(length - end, end))
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    if ranks::is_silent() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Reads an activation's name; the help lists all of them.
fn activations() -> impl TypedValueParser<Value = Activation> {
    PossibleValuesParser::new(Activation::ALL.map(Activation::name))
        .try_map(|name| name.parse::<Activation>())
}

/// The activations of the first and of the second layer: two names, or one for both.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Layers(Activation, Activation);

impl FromStr for Layers {
    type Err = UnknownActivation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, second) = text.split_once(',').unwrap_or((text, text));
        Ok(Layers(first.parse()?, second.parse()?))
    }
}

/// Reads a time of more than nothing.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|&seconds| seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        // Far enough that adding it to a point in time cannot overflow.
        .filter(|&seconds| !seconds.is_zero() && seconds < Duration::from_secs(1 << 32))
        .ok_or_else(|| "expected a number of seconds above 0, such as 60".to_owned())
}

/// Reads a number of hidden layers.
fn depth(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("expected 1 or 2".to_owned()),
    }
}

/// Reads a back end's name; the help lists all of them.
fn backends() -> impl TypedValueParser<Value = Backend> {
    one_of(Backend::ALL, Backend::name)
}

/// One of `all`, by its name.
fn one_of<T, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(name)).try_map(move |chosen| {
        all.into_iter().find(|&value| name(value) == chosen).ok_or("no such name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_keep_their_ends() {
        let line = format!("begin {}\u{e9} end", "x".repeat(100_000));
        let short = shortened(&line);
        assert!(short.starts_with("begin x") && short.ends_with("x\u{e9} end"));
        assert!(short.contains("[98811 characters]") && short.chars().count() < 1300, "{short}");
        assert_eq!(shortened("as it is"), "as it is");
    }
}
