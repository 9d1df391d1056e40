//! What the wide pipeline costs against the number of parameters: seconds, queries and memory, with the error beside
//! them, by either of its routes.

use std::path::Path;
use std::time::Instant;
use std::{fs, io};

use indexmap::IndexMap;
use plotters::prelude::*;
use serde::Serialize;

use super::cell::number;
use super::plot::{Drawn, FONT, Figure, LINES, Panel, PlotError, picture};
use super::record::Ending;
use super::spread;
use crate::files::write_atomically;
use crate::identify::{FirstLayer, FitBy, IdentifyError, Settings, identify};
use crate::network::{Activation, Class, NetworkError, TwoLayer};
use crate::oracle::{NetworkOracle, Observer};

/// Units of the second layer: few beside the first, as in networks that are trained ...
const SECOND_LAYER: usize = 16;
/// ... and in small ones half as many as in the first, so that their derivatives tell them apart.
const FIRST_OVER_SECOND: usize = 2;
/// Seed of the networks: any would do, and this one is always the same.
const SEED: u64 = 1;
/// Queries are counted here and not limited: all that an f64 counts exactly.
const MOST_QUERIES: u64 = 1 << 53;
/// Where Linux takes the wish to count the peak of memory afresh, and the wish.
const RESET: (&str, &str) = ("/proc/self/clear_refs", "5");
/// Where it has the peak, and the beginning of its line, which is in KiB.
const PEAK: (&str, &str) = ("/proc/self/status", "VmHWM:");
const KIB_A_MIB: f64 = 1024.0;
/// Panels beside each other.
const COLUMNS: usize = 2;
/// A tick that lies on the end of an axis but for rounding is on the axis.
const ROUNDING: f64 = 1.0 + 1e-9;

/// A way through the wide pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Lines and blocks: linear in the parameters.
    LinesBlocks,
    /// The stack of Hessians and the dense fit: d^4 queries, and the cube of the parameters in operations.
    StackDense,
}

impl Route {
    /// All of them.
    pub const ALL: [Route; 2] = [Route::LinesBlocks, Route::StackDense];

    /// The name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Route::LinesBlocks => "lines, blocks",
            Route::StackDense => "stack, dense",
        }
    }

    fn ways(self) -> (FirstLayer, FitBy) {
        match self {
            Route::LinesBlocks => (FirstLayer::Lines, FitBy::Blocks),
            Route::StackDense => (FirstLayer::Stack, FitBy::Dense),
        }
    }
}

/// A run, and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The way it went.
    pub route: Route,
    /// (d, m0, m1).
    pub dims: (usize, usize, usize),
    /// p.
    pub parameters: usize,
    /// How it ended.
    pub status: Ending,
    /// Why, in a sentence.
    pub reason: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// The same by stage.
    pub seconds_by_stage: IndexMap<&'static str, f64>,
    /// Queries answered.
    pub queries: u64,
    /// The same for each parameter.
    pub queries_a_parameter: f64,
    /// The most memory that the program had while it ran, in MiB; `None` where the system does not tell.
    pub peak_mib: Option<f64>,
    /// Largest error of a parameter, against the truth.
    pub parameter_error: Option<f64>,
    /// The bound on it that the run gave.
    pub error_bound: Option<f64>,
}

/// A run that could not be done.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum ScaleError {
    /// There is no network of this size.
    Network(#[from] NetworkError),
    /// The black box broke.
    Identify(#[from] IdentifyError),
}

/// Identifies the network with `size` inputs and as many units in the first layer.
///
/// # Errors
/// [`ScaleError`]. A network that is not identified is a result.
pub fn measure(
    size: usize,
    route: Route,
    observer: &mut dyn Observer,
) -> Result<Measured, ScaleError> {
    let dims = (size, size, SECOND_LAYER.min(size / FIRST_OVER_SECOND));
    let truth = TwoLayer::random(dims, Class::General, Activation::Tanh, SEED)?;
    let (first_layer, fit) = route.ways();
    let settings = Settings {
        first_layer,
        fit,
        activation: Some(Activation::Tanh),
        max_queries: MOST_QUERIES,
        ..Settings::default()
    };
    let mut oracle = NetworkOracle::new(truth.clone());
    let counts_anew = fs::write(RESET.0, RESET.1).is_ok();
    let began = Instant::now();
    let solution = identify(&mut oracle, &settings, observer)?;
    let seconds = began.elapsed().as_secs_f64();
    let peak_mib = counts_anew.then(|| fs::read_to_string(PEAK.0).ok()).flatten();

    let parameters = truth.parameter_count();
    let found = solution.network.as_ref();
    Ok(Measured {
        route,
        dims,
        parameters,
        status: solution.status.into(),
        reason: solution.reason,
        seconds,
        seconds_by_stage: solution.stages.iter().map(|u| (u.stage.name(), u.seconds)).collect(),
        queries: solution.queries,
        queries_a_parameter: solution.queries as f64 / parameters as f64,
        peak_mib: peak_mib.and_then(|status| peak(&status)),
        parameter_error: found.and_then(|found| truth.matching(found).parameter_error),
        error_bound: solution.parameter_error_bound.filter(|bound| bound.is_finite()),
    })
}

/// The peak in what Linux says of a process, in MiB.
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(PEAK.1))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib / KIB_A_MIB)
}

/// With which power of the parameters something grows: the slopes of least-squares lines through the logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slopes {
    /// Of the runs of which route.
    pub route: Route,
    /// Of the seconds; `None`, as below, without two sizes.
    pub seconds: Option<f64>,
    /// Of the queries.
    pub queries: Option<f64>,
    /// Of the peak of memory.
    pub memory: Option<f64>,
}

impl Slopes {
    /// Of the identified runs of a route: what the others took is not what it takes.
    pub fn of(runs: &[Measured], route: Route) -> Slopes {
        let against_parameters = |figure: fn(&Measured) -> Option<f64>| {
            let identified = of_route(runs, route).filter(|run| run.status == Ending::Identified);
            slope(&identified.filter_map(|run| point(run, figure)).collect::<Vec<_>>())
        };
        Slopes {
            route,
            seconds: against_parameters(|run| Some(run.seconds)),
            queries: against_parameters(|run| Some(run.queries as f64)),
            memory: against_parameters(|run| run.peak_mib),
        }
    }
}

fn of_route(runs: &[Measured], route: Route) -> impl Iterator<Item = &Measured> {
    runs.iter().filter(move |run| run.route == route)
}

/// What has a place on logarithmic axes.
fn point(run: &Measured, figure: fn(&Measured) -> Option<f64>) -> Option<(f64, f64)> {
    let value = figure(run).filter(|&value| value > 0.0 && value.is_finite())?;
    Some((run.parameters as f64, value))
}

/// The exponent e of the y = c x^e nearest to the points in the logarithms.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
    spread::slope(&logs)
}

/// A panel: its heading, and what it shows of a run.
type Content = (&'static str, fn(&Measured) -> Option<f64>);

const PANELS: [Content; 4] = [
    ("seconds", |run| Some(run.seconds)),
    ("queries a parameter", |run| Some(run.queries_a_parameter)),
    ("peak memory, MiB", |run| run.peak_mib),
    ("parameter error", |run| run.parameter_error),
];

/// A picture of runs: a panel each for seconds, queries, memory and error against the parameters.
///
/// # Errors
/// [`PlotError`].
pub fn figure(runs: &[Measured]) -> Result<Figure, PlotError> {
    picture("scale.svg".to_owned(), (PANELS.len(), COLUMNS), |area, k| panel(area, PANELS[k], runs))
}

/// Writes the [`figure`].
///
/// # Errors
/// Those of the operating system, and a picture that cannot be drawn.
pub fn save_figure(runs: &[Measured], path: &Path) -> io::Result<()> {
    let figure = figure(runs).map_err(io::Error::other)?;
    write_atomically(path, figure.svg.as_bytes())
}

fn panel(area: &Panel<'_, '_>, (title, shown): Content, runs: &[Measured]) -> Drawn {
    let points: Vec<(f64, f64)> = runs.iter().filter_map(|run| point(run, shown)).collect();
    let (across, up) =
        (decades(points.iter().map(|at| at.0)), decades(points.iter().map(|at| at.1)));
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 17))
        .margin(8)
        // Room for the second half of the last label.
        .margin_right(24)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(across.log_scale(), up.log_scale())?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .x_desc("parameters")
        .label_style((FONT, 15))
        .draw()?;
    for (route, colour) in Route::ALL.into_iter().zip(LINES) {
        let points: Vec<_> = of_route(runs, route).filter_map(|run| point(run, shown)).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(route.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        chart.draw_series(points.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

/// From the power of ten below the values to that above them: labels stand at powers of ten only.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) =
        values.map(f64::log10).fold((f64::INFINITY, f64::NEG_INFINITY), |ends, log| {
            (ends.0.min(log.floor()), ends.1.max(log.ceil()))
        });
    let (low, high) = if low <= high { (low, high.max(low + 1.0)) } else { (0.0, 1.0) };
    10f64.powf(low) / ROUNDING..10f64.powf(high) * ROUNDING
}

/// A power of ten, whose last digits rounding may have spoilt.
fn tick(value: &f64) -> String {
    format!("{value:.0e}").parse().map_or_else(|_| String::new(), number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Silent;

    /// A run that took p^1 seconds by one route and p^3 by the other.
    fn run(route: Route, parameters: usize) -> Measured {
        let p = parameters as f64;
        Measured {
            route,
            dims: (parameters, 1, 1),
            parameters,
            status: Ending::Identified,
            reason: String::new(),
            seconds: if route == Route::LinesBlocks { 1e-4 * p } else { 1e-9 * p.powi(3) },
            seconds_by_stage: IndexMap::new(),
            queries: 7 * parameters as u64,
            queries_a_parameter: 7.0,
            peak_mib: None,
            parameter_error: Some(1e-12),
            error_bound: Some(1e-10),
        }
    }

    fn runs() -> Vec<Measured> {
        let of_route = |route| [1000, 4000, 20_000].map(|parameters| run(route, parameters));
        Route::ALL.into_iter().flat_map(of_route).collect()
    }

    #[test]
    fn slopes_are_powers_of_the_identified_runs() {
        let mut runs = runs();
        let failed = Measured { status: Ending::NotIdentified, seconds: 1e9, ..runs[0].clone() };
        runs.push(failed);
        let [linear, cubic] = Route::ALL.map(|route| Slopes::of(&runs, route));
        assert!((linear.seconds.unwrap() - 1.0).abs() < 1e-12, "{linear:?}");
        assert!((cubic.seconds.unwrap() - 3.0).abs() < 1e-12, "{cubic:?}");
        assert!((linear.queries.unwrap() - 1.0).abs() < 1e-12, "{linear:?}");
        assert_eq!((linear.memory, slope(&[(2.0, 3.0)]), slope(&[])), (None, None, None));
        // Not through two points, but nearest to three.
        let bent = [(1.0, 1.0), (10.0, 1.0), (100.0, 100.0)];
        assert!((slope(&bent).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_figure_has_both_routes_in_four_panels() {
        let svg = figure(&runs()).unwrap().svg;
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in PANELS.map(|panel| panel.0).into_iter().chain(Route::ALL.map(Route::name)) {
            assert!(svg.lines().any(|line| line.trim() == text), "{text}: {svg}");
        }
        // Three panels of two routes of three runs: the memory is not known.
        assert_eq!(svg.matches("<circle").count(), 18);
        assert!(figure(&[]).is_ok());
    }

    #[test]
    fn axes_go_from_power_to_power_of_ten() {
        let ends = decades([30.0, 2e4].into_iter());
        assert_eq!((tick(&ends.start), tick(&ends.end)), ("10".to_owned(), "1e5".to_owned()));
        let one = decades([100.0].into_iter());
        assert!(one.contains(&100.0) && one.contains(&1000.0));
    }

    #[test]
    fn the_peak_is_in_mebibytes() {
        assert_eq!(peak("VmPeak:\t  9 kB\nVmHWM:\t    2560 kB\n"), Some(2.5));
        assert_eq!(peak("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn small_runs_are_measured_by_both_routes() {
        for route in Route::ALL {
            let run = measure(8, route, &mut Silent).unwrap();
            assert_eq!((run.status, run.dims), (Ending::Identified, (8, 8, 4)), "{run:?}");
            assert!(run.parameter_error.unwrap() < 1e-8, "{run:?}");
            assert_eq!(run.queries, (run.queries_a_parameter * 113.0).round() as u64);
            assert!(run.seconds_by_stage.values().sum::<f64>() <= run.seconds);
            assert!(run.peak_mib.is_none_or(|mib| mib > 1.0), "{run:?}");
        }
    }
}
