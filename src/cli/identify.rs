//! `disentangle identify`: from a black box to a certified network.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::algebra::rank_one::Ascent;
use crate::files::{check_writable, read_regular};
use crate::gpu::Precision;
use crate::gpu::device::{DEFAULT_MEMORY, Wanted};
use crate::gpu::oracle::{Backend, BackendRecord, ChosenOracle};
use crate::identify::{
    FirstLayer, FitBy, IdentifyError, Pipeline, Settings, Solution, Status, identify,
};
use crate::network::{Link, Network, UnknownActivation};
use crate::oracle::{
    BatchTrouble, Checkpoint, Deadline, Leash, NetworkOracle, Observer, Oracle, OracleError,
    ProcessFormat, ProcessOracle, ProcessSettings, Recorded, Shared, Stencils, fingerprint,
};
use crate::ranks::Team;
use crate::report::{RanksUsed, Report, Tally};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use indicatif::HumanBytes;

use super::attend::{Ending, attend};
use super::link::LinkOptions;
use super::long::LongOptions;
use super::ranks::{self, Ranks};
use super::region::RegionOptions;
use super::remedy::in_options;
use super::report::write_page;
use super::{DIFFERENT, INTERRUPTED, Layers, Outcome, SUCCESS, progress, summary};

/// Recover the network behind a black box from its values alone
///
/// The verdict is `identified` (exit code 0) if fresh values agree with the network found to the
/// accuracy of the black box and the parameter error has a small bound; else `approximate` or
/// `not identified` (exit code 1), with the reason.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("oracle").required(true).args(["network", "process"]))]
pub struct Identify {
    /// A network file, safetensors or ONNX: queried for values and never looked into, except that its
    /// activation is taken to be known
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// A command that reads points on stdin and writes values on stdout, run by the shell; see
    /// `serve` for what it reads and writes
    #[arg(long, value_name = "COMMAND", requires = "input_dim")]
    process: Option<String>,
    #[command(flatten)]
    process_options: ProcessOptions,
    #[command(flatten)]
    backend: BackendOptions,
    /// Hidden layers to look for; without it their number is found
    #[arg(long, value_name = "auto|1|2", default_value = "auto", value_parser = parse_depth)]
    depth: Depth,
    /// Activation of all hidden layers (tanh, sigmoid, erf), or of the first and the second (tanh,erf);
    /// `auto`: what is seen of each layer decides between tanh and erf (a sigmoid layer is a tanh layer
    /// in other parameters, and is written as one). Without it: with --network what the file says, with
    /// --process `auto`
    #[arg(long, value_name = "auto|PHI|PHI1,PHI2")]
    activation: Option<Told>,
    #[command(flatten)]
    link: LinkOptions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    long: LongOptions,
    /// The way from values to a network. `wide` asks far from the origin; `entangled` stays near
    /// --center (for black boxes that answer only there) and takes its directions from third
    /// derivatives, `published` from the span of Hessians, as the paper does
    #[arg(long, default_value = "wide", value_parser = pipelines())]
    pipeline: Pipeline,
    /// How the wide pipeline finds the first layer, and `--depth 1` the only one: by lines far out, or by the stack of
    /// Hessians
    #[arg(long, default_value = "auto", value_parser = first_layers())]
    first_layer: FirstLayer,
    /// How the wide pipeline fits all parameters
    #[arg(long, default_value = "auto", value_parser = fits())]
    fit: FitBy,
    /// Write the network here, if one is found (identified or approximate): safetensors, or ONNX where the name
    /// ends in .onnx
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a report for programs here, JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write a page with all figures of the run here, HTML: one file, for any browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
    /// All arguments of the program, for the report.
    #[arg(skip)]
    arguments: Vec<String>,
    // Last: its heading holds for all that follow.
    #[command(flatten)]
    region: RegionOptions,
}

/// How to talk to the process.
#[derive(Args, Debug)]
struct ProcessOptions {
    /// Number of inputs of the process
    #[arg(long, value_name = "D", conflicts_with = "network", value_parser = at_least_one)]
    input_dim: Option<u64>,
    /// Number of outputs of the process, values a line
    #[arg(long, value_name = "K", default_value_t = 1, conflicts_with = "network",
        value_parser = at_least_one)]
    output_dim: u64,
    /// How numbers are written on the pipes
    #[arg(long, value_enum, default_value_t, conflicts_with = "network")]
    process_format: ProcessFormat,
    /// Longest silence of the process while answers are due
    #[arg(long, value_name = "SECONDS", default_value = "60", conflicts_with = "network",
        value_parser = super::seconds)]
    timeout: Duration,
    /// Points that the process is sent at most before it has answered them [default: as many as there are]
    #[arg(long, value_name = "N", conflicts_with = "network")]
    batch: Option<NonZeroUsize>,
    /// Copies of the process, which share the points of every question among them
    #[arg(long, value_name = "K", default_value = "1", conflicts_with = "network")]
    process_copies: NonZeroUsize,
    /// How often the process, or each of its copies, may be started again after it has ended too early
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "network")]
    restarts: usize,
}

/// Where the stencils of a network file are computed.
#[derive(Args, Debug)]
struct BackendOptions {
    /// A real GPU if there is one, else the CPU; or one of them. `gpu` takes a software adapter too
    #[arg(long, default_value = "auto", value_parser = super::backends(),
        conflicts_with = "process")]
    backend: Backend,
    /// Part of the name of the adapter to use, see `devices`
    #[arg(long, value_name = "NAME", conflicts_with = "process")]
    adapter: Option<String>,
    /// Precision of the massive stencils, whose single values are f64 on the CPU. With `double-f32`
    /// the values come from the GPU in pairs of f32 and the stencils are f32; `auto` is f32 on a GPU and
    /// f64 on the CPU
    #[arg(long, default_value = "auto", value_parser = precisions(), conflicts_with = "process")]
    precision: Precision,
    /// Memory that the stencils may take on the GPU, in MiB
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMORY >> 20,
        value_parser = mebibytes, conflicts_with = "process")]
    gpu_memory: u64,
}

/// What a run may use and what counts as success.
#[derive(Args, Debug)]
struct Limits {
    /// Seed of the random numbers; an equal seed gives an equal result
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Queries allowed
    #[arg(long, value_name = "N", default_value_t = Settings::default().max_queries,
        value_parser = at_least_one)]
    max_queries: u64,
    /// Search for rank-one matrices: projected spectral-norm ascent, the same with steps that double
    /// the top eigenvalue, or the subspace power method
    /// [default: spectral]
    #[arg(long, value_parser = ascents())]
    ascent: Option<Ascent>,
    /// Widths that the network must have, with --depth 1 one width; never needed
    #[arg(long, value_name = "M0,M1", value_parser = parse_widths)]
    widths: Option<Units>,
    /// Fresh starts allowed when a stage fails
    #[arg(long, value_name = "N", default_value_t = Settings::default().attempts,
        value_parser = at_least_one)]
    attempts: u64,
    /// Largest bound on the parameter error of an identified network
    #[arg(long, value_name = "T", default_value = "1e-6", value_parser = parse_tolerance)]
    tolerance: f64,
}

impl Identify {
    /// Identifies, writes the results and prints the table. The report names these arguments of the program.
    pub fn run(self, arguments: Vec<String>) -> Outcome {
        let this = Identify { arguments, ..self };
        ranks::together(|ranks| this.identify(ranks))
    }

    fn identify(&self, ranks: &Ranks) -> Outcome {
        let prepared = ranks.agreed(self.prepared(ranks))?;
        self.attend(prepared, ranks)
    }

    /// The black box of this rank and all that a run needs, with a description that must be the same for all ranks.
    fn prepared(&self, ranks: &Ranks) -> Result<(Prepared, String), Box<dyn Error>> {
        let deadline = self.long.deadline();
        let is_first = ranks.team().is_first();
        if is_first {
            self.check_outputs()?;
        }
        self.check_depth()?;
        let (mut black_box, activations) = self.black_box(deadline, ranks.place)?;
        let mut settings = self.limits.settings(activations);
        settings.pipeline = self.pipeline;
        settings.first_layer = self.first_layer;
        settings.fit = self.fit;
        settings.deadline = deadline;
        self.region.apply(&mut settings);
        settings.depth = self.depth.0;
        settings.link = black_box.link;
        let input_dim = black_box.oracle().input_dim();
        settings.depths(input_dim)?;
        let oracle = self.describe_oracle(&black_box)?;
        let run = settings.describe(&oracle, input_dim);
        // The first rank reads and writes it for all.
        let checkpoint = if is_first { self.long.open(&run)? } else { None };
        let version = env!("CARGO_PKG_VERSION");
        let limits = (settings.max_queries, self.long.time_limit(), self.long.checkpoint.is_some());
        let description = format!("{version} {limits:?} {run:?}");
        Ok((Prepared { black_box, settings, checkpoint }, description))
    }

    /// Runs `identify` on a thread of its own and sees it to its end.
    fn attend(&self, prepared: Prepared, ranks: &Ranks) -> Outcome {
        let Prepared { mut black_box, settings, checkpoint } = prepared;
        let settings = &settings;
        let (team, is_first) = (ranks.team().clone(), ranks.team().is_first());
        let log = self.long.checkpoint.is_some().then_some(checkpoint);
        let (leash, backend) = (black_box.leash(), black_box.backend());
        let tally = Tally::new(progress::observer(self.quiet || !is_first));
        let (mut observer, asked) = (tally.clone(), settings.clone());
        let left = log.as_ref().and_then(Option::as_ref).map(Checkpoint::left);
        if let Some(bytes) = left.filter(|&bytes| bytes > 0) {
            observer
                .note(&format!("goes on from a checkpoint with {} of answers", HumanBytes(bytes)));
        }
        // Of several ranks the first one has the clock.
        let deadline = settings.deadline.filter(|_| is_first);
        let ending = attend(deadline, move || {
            let work = |oracle: &mut dyn Oracle| identify(oracle, &asked, &mut observer);
            let solution = black_box.recorded(log, &team, work);
            (solution, black_box)
        });
        // The others would wait for this rank.
        let ending = match ending {
            Err(error) if !ranks.team().is_alone() => {
                return ranks.end(Err(error.into()));
            }
            ending => ending?,
        };
        // The display and the process end before anything is printed.
        tally.close();
        match ending {
            Ending::Done((solution, mut black_box)) => {
                let backend = black_box.backend();
                // Its questions are anywhere.
                let free = settings.domain_radius.is_none() && is_first;
                let trouble = free.then(|| black_box.batch_trouble(&solution)).flatten();
                let trouble = trouble.map(|trouble| {
                    format!("{trouble}; limit the points of a batch (--batch 1), or mend that")
                });
                drop(black_box);
                let solution = solution.map_err(|error| match &trouble {
                    Some(trouble) => format!("{error}; {trouble}").into(),
                    None => Box::<dyn Error>::from(error),
                })?;
                let report = self.report(&solution, settings, backend, ranks.team());
                let remedy = trouble.or(report.remedy);
                self.publish(&solution, &Report { remedy, ..report })
            }
            Ending::Late => {
                leash.kill();
                let limit = settings.deadline.map(|deadline| deadline.error().to_string());
                let seen = (&tally, limit.unwrap_or_default());
                let (solution, report) = self.cut_off(seen, settings, backend, ranks.team());
                ranks.end(self.publish(&solution, &report))
            }
            Ending::Interrupted if !is_first => {
                leash.kill();
                ranks.end_later(INTERRUPTED)
            }
            Ending::Interrupted => {
                leash.kill();
                let seen = (&tally, "interrupted".to_owned());
                let (_, report) = self.cut_off(seen, settings, backend, ranks.team());
                ranks.end(self.interrupted(&report))
            }
        }
    }

    /// What is known of a run that was left alone, for a reason.
    fn cut_off(
        &self,
        (tally, reason): (&Tally, String),
        settings: &Settings,
        backend: BackendRecord,
        team: &Team,
    ) -> (Solution, Report) {
        let solution = Solution::unfinished(format!("{}: {reason}", tally.stage()), settings);
        let mut report = self.report(&solution, settings, backend, team);
        tally.fill(&mut report);
        (solution, report)
    }

    /// The report, whose remedy names options.
    fn report(
        &self,
        solution: &Solution,
        settings: &Settings,
        backend: BackendRecord,
        team: &Team,
    ) -> Report {
        let remedy = solution.remedy.map(|remedy| in_options(remedy).to_owned());
        let mut report = Report::new(solution, settings, backend, self.arguments.clone());
        report.remedy = remedy;
        report.ranks = (!team.is_alone()).then(|| RanksUsed::new(team.count(), solution));
        report
    }

    /// Writes the report of a run that was told to end, and says how it may go on.
    fn interrupted(&self, report: &Report) -> Outcome {
        self.save(report, None)?;
        super::warn(&match &self.long.checkpoint {
            Some(folder) => format!(
                "interrupted; the same command goes on from the checkpoint in {}",
                folder.display()
            ),
            None => "interrupted; without --checkpoint its answers are lost".to_owned(),
        });
        Ok(INTERRUPTED)
    }

    /// Writes the files and prints the table.
    fn publish(&self, solution: &Solution, report: &Report) -> Outcome {
        let network = solution.network.as_ref();
        match (&self.out, network.filter(|_| solution.status != Status::NotIdentified)) {
            (Some(path), Some(network)) => {
                network.save(path)?;
            }
            (Some(path), None) => super::warn(&format!(
                "there is no network to write: {} is left as it was",
                path.display()
            )),
            (None, _) => {}
        }
        self.save(report, network)?;
        super::print(&summary::table(report))?;
        Ok(match solution.status {
            Status::Identified => SUCCESS,
            Status::Approximate | Status::NotIdentified => DIFFERENT,
        })
    }

    /// Writes the report, for programs and for people, as far as either is wanted.
    fn save(&self, report: &Report, network: Option<&Network>) -> Result<(), Box<dyn Error>> {
        if let Some(path) = &self.report {
            report.save(path)?;
        }
        if let Some(path) = &self.html {
            write_page(path, report, network)?;
        }
        Ok(())
    }

    /// What answers, so that a checkpoint of something else is not taken for this one's.
    fn describe_oracle(&self, black_box: &BlackBox) -> Result<String, Box<dyn Error>> {
        if let Some(path) = &self.network {
            let bytes = read_regular(path)?;
            let BackendRecord { executed, adapter, precision, .. } = black_box.backend();
            let place = adapter.unwrap_or_else(|| executed.name().to_owned());
            let digest = fingerprint(&bytes);
            return Ok(format!("network {digest:016x} on {place} in {}", precision.name()));
        }
        let command = self.process.as_deref().unwrap_or_default();
        // The answers of some commands depend on it.
        let batch = self.process_options.batch.map(|most| format!(", batches of {most}"));
        Ok(format!("command {command}{}", batch.unwrap_or_default()))
    }

    /// Refuses options that have no use here and that the settings of a run do not know of.
    fn check_depth(&self) -> Result<(), Box<dyn Error>> {
        let BackendOptions { backend, adapter, precision, .. } = &self.backend;
        let chosen =
            *backend == Backend::Gpu || adapter.is_some() || *precision != Precision::default();
        if self.depth.0 == Some(1) && chosen {
            return Err(
                "one hidden layer is computed on the CPU in f64: leave --backend, --adapter \
                        and --precision out"
                    .into(),
            );
        }
        Ok(())
    }

    /// Refuses places that cannot be written before any query is spent.
    fn check_outputs(&self) -> Result<(), Box<dyn Error>> {
        let files = [("--out", &self.out), ("--report", &self.report), ("--html", &self.html)];
        for (k, (option, path)) in files.into_iter().enumerate() {
            let Some(path) = path else { continue };
            check_writable(path).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            if let Some((other, _)) =
                files[..k].iter().find(|(_, other)| other.as_ref() == Some(path))
            {
                return Err(format!("{other} and {option} are the same file").into());
            }
        }
        Ok(())
    }

    /// The black box that the options name, and the activations of its layers if they are known.
    fn black_box(
        &self,
        deadline: Option<Deadline>,
        place: usize,
    ) -> Result<(BlackBox, Option<Layers>), Box<dyn Error>> {
        let options = &self.process_options;
        // What was said stands for what a file says, but `auto` does not change what it holds.
        let told = self.activation.and_then(|Told(told)| told);
        let known = |of_file| if self.activation.is_some() { told } else { Some(of_file) };
        match (&self.network, &self.process, options.input_dim) {
            (Some(path), _, _) => {
                let mut network = Network::load(path, told.map(|Layers(g, _)| g))?;
                if let (Some(Layers(_, h)), [_, second]) = (told, network.layers.as_mut_slice()) {
                    second.activation = h;
                }
                let link = self.link.known(Some(network.link))?;
                let known = match network.activations().as_slice() {
                    [first] => known(Layers(*first, *first)),
                    [first, second, ..] => known(Layers(*first, *second)),
                    [] => None,
                };
                Ok((BlackBox { source: self.source(network, place)?, link }, known))
            }
            (None, Some(command), Some(input_dim)) => {
                let settings = ProcessSettings {
                    output_dim: usize::try_from(options.output_dim)?,
                    format: options.process_format,
                    timeout: options.timeout,
                    restarts: options.restarts,
                    batch: options.batch,
                    copies: options.process_copies,
                    deadline,
                    ..ProcessSettings::new(command, usize::try_from(input_dim)?)
                };
                let source = Source::Process(Box::new(ProcessOracle::spawn(settings)?));
                Ok((BlackBox { source, link: self.link.known(None)? }, told))
            }
            // clap asks for one of them, and for the dimension with a process.
            _ => Err("give --network, or --process with --input-dim".into()),
        }
    }

    /// The network of a file as a black box: two hidden layers may be on a GPU.
    fn source(&self, network: Network, place: usize) -> Result<Source, Box<dyn Error>> {
        if network.layers.len() != 2 {
            return Ok(Source::Plain(Box::new(NetworkOracle::new(network))));
        }
        let BackendOptions { backend, adapter, precision, gpu_memory } = &self.backend;
        let wanted = Wanted { name: adapter.as_deref(), place };
        let mut oracle = ChosenOracle::new(network, *backend, wanted, *precision)?;
        if let ChosenOracle::Gpu(gpu) = &mut oracle {
            gpu.set_memory(gpu_memory << 20);
        }
        Ok(Source::Network(oracle))
    }
}

impl Limits {
    fn settings(&self, activations: Option<Layers>) -> Settings {
        Settings {
            seed: self.seed,
            activation: activations.map(|Layers(g, _)| g),
            second_activation: activations.map(|Layers(_, h)| h),
            ascent: self.ascent,
            max_queries: self.max_queries,
            widths: self.widths.and_then(|Units(m0, m1)| Some((m0, m1?))),
            width: self.widths.filter(|Units(_, m1)| m1.is_none()).map(|Units(m, _)| m),
            attempts: self.attempts,
            tolerance: self.tolerance,
            ..Settings::default()
        }
    }
}

/// All that a run needs.
struct Prepared {
    black_box: BlackBox,
    settings: Settings,
    checkpoint: Option<Checkpoint>,
}

/// What is queried, and the nonlinearity that is taken off its answers.
struct BlackBox {
    source: Source,
    /// What its outputs went through, if it is known.
    link: Option<Link>,
}

/// Who answers.
enum Source {
    Network(ChosenOracle),
    Plain(Box<NetworkOracle>),
    Process(Box<ProcessOracle>),
}

impl BlackBox {
    fn oracle(&mut self) -> &mut dyn Oracle {
        match &mut self.source {
            Source::Network(oracle) => oracle,
            Source::Plain(oracle) => oracle.as_mut(),
            Source::Process(oracle) => oracle.as_mut(),
        }
    }

    /// Runs `work` on the oracle, shared with the ranks of `team`; its answers are kept in the checkpoint if one is wanted, which
    /// the first rank has.
    fn recorded<T>(
        &mut self,
        log: Option<Option<Checkpoint>>,
        team: &Team,
        work: impl FnOnce(&mut dyn Oracle) -> T,
    ) -> T {
        let stencils = match self.source {
            Source::Network(_) | Source::Plain(_) => Stencils::Inner,
            Source::Process(_) => Stencils::Values,
        };
        let mut shared;
        let oracle: &mut dyn Oracle = if team.is_alone() {
            self.oracle()
        } else {
            shared = Shared::new(self.oracle(), team.clone());
            &mut shared
        };
        match log {
            Some(checkpoint) => work(&mut Recorded::new(oracle, checkpoint, stencils)),
            None => work(oracle),
        }
    }

    /// What is wrong with the batches of a process, where a run came to nothing.
    fn batch_trouble(
        &mut self,
        solution: &Result<Solution, IdentifyError>,
    ) -> Option<BatchTrouble> {
        let Source::Process(process) = &mut self.source else { return None };
        match solution {
            Ok(solution) if solution.status == Status::Identified => None,
            Err(IdentifyError::Oracle(OracleError::Process(error))) => {
                process.batch_trouble(Some(error))
            }
            // An answer that is not finite may be one of a batch alone.
            Ok(_) | Err(IdentifyError::Oracle(OracleError::NotFinite { .. })) => {
                process.batch_trouble(None)
            }
            Err(_) => None,
        }
    }

    /// A hold on the process; without one it holds nothing.
    fn leash(&self) -> Leash {
        match &self.source {
            Source::Process(oracle) => oracle.leash(),
            Source::Network(_) | Source::Plain(_) => Leash::default(),
        }
    }

    fn backend(&self) -> BackendRecord {
        match &self.source {
            Source::Network(oracle) => oracle.record(),
            Source::Plain(_) | Source::Process(_) => BackendRecord::cpu(),
        }
    }
}

/// Hidden layers; `None`: `auto`.
#[derive(Clone, Copy, Debug)]
struct Depth(Option<usize>);

fn parse_depth(text: &str) -> Result<Depth, String> {
    match text {
        "auto" => Ok(Depth(None)),
        text => super::depth(text).map(|depth| Depth(Some(usize::from(depth)))),
    }
}

/// What is said of the activations; `None`: `auto`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Told(Option<Layers>);

impl FromStr for Told {
    type Err = UnknownActivation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Told(None));
        }
        Ok(Told(Some(text.parse()?)))
    }
}

/// m0 and m1, or m alone, each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Units(pub usize, pub Option<usize>);

/// Reads widths.
pub fn parse_widths(text: &str) -> Result<Units, String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([m0, m1]) if *m0 > 0 && *m1 > 0 => Ok(Units(*m0, Some(*m1))),
        Ok([m]) if *m > 0 => Ok(Units(*m, None)),
        _ => {
            Err("expected positive whole numbers: two such as 24,8, or one with --depth 1"
                .to_owned())
        }
    }
}

fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

pub(super) fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance.is_finite() && tolerance > 0.0 => Ok(tolerance),
        _ => Err("expected a number above 0, such as 1e-6".to_owned()),
    }
}

fn mebibytes(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (1..1 << 40).contains(&number) => Ok(number),
        _ => Err("expected a whole number of MiB, at least 1".to_owned()),
    }
}

fn precisions() -> impl TypedValueParser<Value = Precision> {
    super::one_of(Precision::ALL, Precision::name)
}

fn first_layers() -> impl TypedValueParser<Value = FirstLayer> {
    super::one_of(FirstLayer::ALL, FirstLayer::name)
}

fn fits() -> impl TypedValueParser<Value = FitBy> {
    super::one_of(FitBy::ALL, FitBy::name)
}

fn pipelines() -> impl TypedValueParser<Value = Pipeline> {
    PossibleValuesParser::new(Pipeline::ALL.map(Pipeline::name))
        .try_map(|name| name.parse::<Pipeline>())
}

fn ascents() -> impl TypedValueParser<Value = Ascent> {
    super::one_of(Ascent::ALL, Ascent::name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::network::Activation;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn activations_are_told_for_both_layers_or_each_or_not() {
        let (tanh, erf) = (Activation::Tanh, Activation::Erf);
        assert_eq!("auto".parse(), Ok(Told(None)));
        assert_eq!("erf".parse(), Ok(Told(Some(Layers(erf, erf)))));
        assert_eq!("tanh,erf".parse(), Ok(Told(Some(Layers(tanh, erf)))));
        for bad in ["", "cosine", "tanh,", "tanh,auto", "tanh,erf,erf"] {
            assert!(bad.parse::<Told>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn without_options_a_run_is_the_librarys() {
        let settings = Alone::parse_from(["identify"]).limits.settings(None);
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }
}
