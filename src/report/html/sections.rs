//! The parts of the page, from the top on.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::chart::{Bars, Curves, Dots};
use super::{escape, heat, scientific};
use crate::identify::Status;
use crate::network::Network;
use crate::report::Report;

/// What the verdict is and means, and the run in a few numbers.
pub fn verdict(report: &Report) -> String {
    let class = match report.status {
        Status::Identified => "identified",
        Status::Approximate => "approximate",
        Status::NotIdentified => "not_identified",
    };
    let mut rows = vec![("reason", report.reason.clone())];
    rows.extend(report.remedy.clone().map(|remedy| ("what may help", remedy)));
    rows.extend(report.widths.as_ref().map(|widths| ("widths", listed(widths))));
    rows.extend(report.activations.as_ref().map(|layers| {
        ("activation", layers.iter().map(|layer| layer.name()).collect::<Vec<_>>().join(", "))
    }));
    let idle = report.idle_inputs.as_ref().filter(|idle| !idle.is_empty());
    rows.extend(idle.map(|idle| ("inputs without influence (from 0)", listed(idle))));
    rows.extend([
        ("error bound", known(report.parameter_error_bound)),
        ("largest residual on fresh points", known(report.residual)),
        ("accuracy of the values", known(report.oracle_accuracy)),
        ("queries", grouped(report.queries.total)),
        ("seconds", format!("{:.2}", report.seconds.total)),
    ]);
    let meaning = escape(&meaning(report));
    let name = report.status.name();
    format!(
        "<h1>Verdict: <span class=\"{class}\">{name}</span></h1>\n<p>{meaning}</p>\n{}",
        pairs(&rows)
    )
}

/// What the status means, in two sentences.
fn meaning(report: &Report) -> String {
    let bound = report.parameter_error_bound;
    match (report.status, bound) {
        (Status::Identified, bound) => format!(
            "On {} that no fit had seen, the network found agrees with the black box to the measured accuracy of its \
             values. If the black box is a network whose errors at different points are unrelated, then every parameter \
             is within {} of its own, relative to the largest entry of its tensor (at least 1), up to the order and the \
             signs of units, which no values tell.",
            certificate(report)
                .and_then(|seen| seen["held_out"].as_u64())
                .map_or("fresh points".to_owned(), |count| format!("{} fresh points", grouped(count))),
            known(bound)
        ),
        (Status::Approximate, Some(bound)) => format!(
            "A network was found that describes the black box, but the verdict is withheld for the reason below. Its \
             parameters have the error bound {}, relative to the largest entry of each tensor (at least 1), as far as \
             that reason allows.",
            scientific(bound)
        ),
        (Status::Approximate, None) => "A network was found that describes the black box, but not to the accuracy of its \
             values or not in all parameters. There is no bound on the error of its weights: take it for an \
             approximation of the values, not for the network inside."
            .to_owned(),
        (Status::NotIdentified, _) => "No network was found that describes the black box. The reason below names the \
             stage at which the run ended, and the evidence at the end of this page has what was seen up to there."
            .to_owned(),
    }
}

/// The certificate of the network that the run returned, if there is one.
fn certificate(report: &Report) -> Option<&Value> {
    let all = seen(report, "certify");
    let of_result = |entry: &&Value| {
        report.residual.is_some_and(|residual| entry["residual"].as_f64() == Some(residual))
    };
    all.iter().rev().find(of_result).or(all.last())
}

/// Spectra in the evidence: its name there, what it is of, and where its rank, the error of its values and the reason why
/// it decided nothing are.
const SPECTRA: [(&str, &str, &str, &str); 5] = [
    ("reduce", "Gradients of f: the inputs that the first layer looks at", "dimension", "allowed"),
    ("stack", "Hessians of f: the units of the first layer", "width", "floor"),
    (
        "peel",
        "Gradients along held units of the first layer: the units of the second",
        "m1",
        "error",
    ),
    ("span", "Mixed differences along held units: the units of the second layer", "m1", "error"),
    ("whole", "Second differences of all units: the units of the second layer", "m1", "error"),
];

/// Evidence of routes that count units one by one, where no singular values tell how many there are.
const ONE_BY_ONE: [(&str, &str); 3] = [
    ("lines", "The first layer was found unit by unit, by where f steps along lines far out."),
    (
        "steps",
        "The hidden layer was found unit by unit, by the steps or bends of f along lines far out.",
    ),
    ("hyperplanes", "The first layer was found unit by unit, by where f changes along lines."),
];

/// Singular values with the gap, and what stands in their place where units were counted otherwise.
pub fn singular_values(report: &Report) -> String {
    let mut body = String::new();
    for (key, what, rank, error) in SPECTRA {
        let Some((entry, of_wide)) = seen(report, key).iter().rev().find_map(spectrum) else {
            continue;
        };
        let values = numbers(&entry["singular_values"]);
        let rank = entry[if of_wide { "rank" } else { rank }].as_u64().map(|rank| rank as usize);
        let floor = entry[error].as_f64();
        let dots = Dots { title: what, values: &values, before_gap: rank, floor };
        let gap = entry["gap"].as_f64().map(|gap| format!(", gap {}", scientific(gap)));
        let rank = rank.filter(|&rank| rank < values.len()).map(|rank| format!("; {rank} count"));
        let caption = format!(
            "{what} ({} singular values{}{})",
            values.len(),
            gap.unwrap_or_default(),
            rank.unwrap_or_default()
        );
        body += &figure(&caption, dots.draw());
    }
    for (key, what) in ONE_BY_ONE {
        if let Some(entry) = seen(report, key).last() {
            let _ = write!(
                body,
                "<p>{what} No span of theirs is formed; what stands in the place of its gap:</p>{}",
                object(entry)
            );
        }
    }
    let none = "This report has no singular values: no stage of the run came to any, or the version that wrote it left \
                them out.";
    section("Singular values", &body, none)
}

/// The entry with singular values, of a stack far out that of the last scale with a gap.
fn spectrum(entry: &Value) -> Option<(&Value, bool)> {
    if let Some(tried) = entry["tried"].as_array() {
        let of_scale = tried
            .iter()
            .rev()
            .find(|row| row["rank"].is_u64() && row["singular_values"].is_array());
        return of_scale.map(|row| (row, true));
    }
    entry["singular_values"].is_array().then_some((entry, false))
}

/// Scores of what was a candidate for something.
pub fn candidates(report: &Report) -> String {
    let mut body = String::new();
    if let Some(entry) = seen(report, "units").last() {
        let found = numbers(&entry["scores"]);
        let dropped = entry["dropped"].as_array().map_or(&[][..], Vec::as_slice);
        let all: Vec<f64> = found
            .iter()
            .copied()
            .chain(dropped.iter().filter_map(|row| row["score"].as_f64()))
            .collect();
        // 1 is a rank-one matrix of the span; what is missing from it shows on a logarithmic axis.
        let missing: Vec<f64> = all.iter().map(|score| (1.0 - score).max(f64::EPSILON)).collect();
        let dots = Dots {
            title: "Candidates for units of the first layer",
            values: &missing,
            before_gap: Some(found.len()),
            floor: None,
        };
        let caption = format!(
            "1 - score of the candidates for units of the first layer, at least 2.22e-16: {} units, then {} that were \
             dropped",
            found.len(),
            dropped.len()
        );
        body += &figure(&caption, dots.draw());
        body += &objects(dropped);
    }
    if let Some(entry) = seen(report, "saturated").last() {
        let tried = entry["tried"].as_array().map_or(&[][..], Vec::as_slice);
        let _ = write!(
            body,
            "<p>Widths of the second layer that were tried, with the residual of each:</p>{}",
            objects(tried)
        );
    }
    for (key, what) in [
        ("ascent", "The search for rank-one matrices near a point:"),
        ("directions", "Directions near a point:"),
        ("attribution", "Which directions belong to which layer:"),
        (
            "activation",
            "Activations, and how many times worse the best of the others fitted each layer:",
        ),
    ] {
        if let Some(entry) = seen(report, key).last() {
            let _ = write!(body, "<p>{what}</p>{}", object(entry));
        }
    }
    section("Candidates", &body, "No stage of this run had candidates to choose from by a score.")
}

/// Queries and seconds by stage.
pub fn stages(report: &Report) -> String {
    let queries: Vec<(String, f64, String)> = report
        .queries
        .by_stage
        .iter()
        .map(|(stage, &count)| (stage.clone(), count as f64, grouped(count)))
        .collect();
    let seconds: Vec<(String, f64, String)> = report
        .seconds
        .by_stage
        .iter()
        .map(|(stage, &seconds)| (stage.clone(), seconds, format!("{seconds:.3}")))
        .collect();
    let of_queries = Bars { title: "Queries by stage", rows: &queries, limit: None }.draw();
    let of_seconds = Bars { title: "Seconds by stage", rows: &seconds, limit: None }.draw();
    let mut body = String::new();
    if let Some(drawn) = of_queries {
        body += &figure(
            &format!("Queries by stage, {} in all", grouped(report.queries.total)),
            Some(drawn),
        );
    }
    if let Some(drawn) = of_seconds {
        body +=
            &figure(&format!("Seconds by stage, {:.2} in all", report.seconds.total), Some(drawn));
    }
    section("Queries and time", &body, "Nothing was asked.")
}

/// The bound on the parameter error by tensor.
pub fn bounds(report: &Report) -> String {
    let of_tensors = certificate(report).and_then(|seen| seen["error_bound_by_tensor"].as_array());
    let mut rows: Vec<(String, f64, String)> = Vec::new();
    for entry in of_tensors.into_iter().flatten() {
        let name = entry["tensor"].as_str().unwrap_or_default();
        // What is absent is not finite.
        let Some(bound) = entry["bound"].as_f64() else { continue };
        rows.push((tensor(name, report.depth), bound, scientific(bound)));
    }
    let outputs = seen(report, "outputs").last().and_then(|entry| entry["error_bound"].as_f64());
    rows.extend(
        outputs.map(|bound| ("weights of all outputs".to_owned(), bound, scientific(bound))),
    );
    let limit = Some(report.tolerances.parameter_error_bound);
    let title = "Bound on the parameter error by tensor";
    let drawn = Bars { title, rows: &rows, limit }.draw().filter(|_| !rows.is_empty());
    let caption = "Bound on the error by tensor, relative to its largest entry (at least 1); dotted: the tolerance. Names are \
                   those of the hidden layers that were looked for";
    let body = drawn.map_or(String::new(), |drawn| figure(caption, Some(drawn)));
    section(
        "Error bound by tensor",
        &body,
        "There is no bound, or the version that wrote this report did not tell it by tensor.",
    )
}

/// The name of a tensor in the files, with that in the formulas.
fn tensor(name: &str, depth: usize) -> String {
    let of_file = match (name, depth) {
        ("A", _) => "0.weight",
        ("theta", _) => "0.bias",
        ("B", _) | ("c", 1) => "2.weight",
        ("tau", _) | ("c0", 1) => "2.bias",
        ("c", _) => "4.weight",
        ("c0", _) => "4.bias",
        (other, _) => return other.to_owned(),
    };
    format!("{of_file} ({name})")
}

/// Residuals against the distance from the origin.
pub fn residuals(report: &Report) -> String {
    let entry = certificate(report);
    let rows = entry.and_then(|entry| entry["by_distance"].as_array());
    let series = |key: &str| -> Vec<(f64, f64)> {
        rows.into_iter()
            .flatten()
            .filter_map(|row| Some((row["distance"].as_f64()?, row[key].as_f64()?)))
            .collect()
    };
    let curves =
        [("largest |network - f|", series("largest")), ("root mean square", series("mean"))];
    let across = "distance from the origin";
    let drawn = Curves { title: "Residuals at fresh points", across, series: &curves }.draw();
    let mut body = drawn.map_or(String::new(), |drawn| {
        figure("Residuals at fresh points, in groups of similar distance", Some(drawn))
    });
    if let Some(entry) = entry {
        let means = numbers(&entry["mean_excess"]);
        let means: Vec<String> = means.iter().map(|mean| format!("{mean:.2}")).collect();
        let rows = [
            (
                "residuals over what is expected of them, root mean square by distance",
                means.join(", "),
            ),
            ("what each may be", scalar(&entry["mean_excess_allowed"])),
            ("the largest ratio at a point", scalar(&entry["excess"])),
            ("what it may be", scalar(&entry["excess_allowed"])),
            (
                "points asked, and how many deviate",
                format!("{}, {}", scalar(&entry["held_out"]), scalar(&entry["deviating"])),
            ),
            ("share of deviating points below (95 %)", scalar(&entry["deviating_share_below"])),
        ];
        body += &pairs(&rows);
    }
    section("Residuals against distance", &body, "There was no network to be tested.")
}

/// Heat maps of the network.
pub fn weights(network: Option<&Network>) -> String {
    let body = network.map_or(String::new(), heat::maps);
    let none = "No network is at hand: there is none, or this page was made of a report alone \
                (disentangle report report.json --network found.safetensors --html report.html).";
    section("Weights found", &body, none)
}

/// Settings, limits, versions.
pub fn settings(report: &Report) -> String {
    let tolerances = &report.tolerances;
    let backend = serde_json::to_value(&report.backend).unwrap_or_default();
    let mut rows = vec![
        ("version", report.version.clone()),
        ("schema", report.schema.clone()),
        ("arguments", report.arguments.join(" ")),
        ("seed", report.seed.to_string()),
        ("largest error bound", scientific(tolerances.parameter_error_bound)),
        ("queries allowed", grouped(tolerances.max_queries)),
        (
            "widths wanted",
            tolerances.widths.as_ref().map_or("any".to_owned(), |widths| listed(widths)),
        ),
    ];
    let others = report.settings.iter().filter(|(name, _)| *name != "seed");
    rows.extend(others.map(|(name, value)| (name.as_str(), scalar(value))));
    let mut body = pairs(&rows);
    let _ = write!(body, "<p>Where it was computed:</p>{}", object(&backend));
    section("Settings and versions", &body, "")
}

/// All that was seen, as it is in the report.
pub fn evidence(report: &Report) -> String {
    // A value of JSON cannot fail to be written as JSON.
    let json = serde_json::to_string_pretty(&report.evidence).unwrap_or_default();
    format!(
        "<h2>Evidence</h2>\n<details><summary>All that the stages saw</summary><pre>{}</pre></details>\n",
        escape(&json)
    )
}

fn section(title: &str, body: &str, if_empty: &str) -> String {
    let title = escape(title);
    if body.is_empty() {
        return format!("<h2>{title}</h2>\n<p class=\"note\">{}</p>\n", escape(if_empty));
    }
    format!("<h2>{title}</h2>\n{body}")
}

/// A figure of which there may be nothing to draw.
fn figure(caption: &str, drawn: Option<String>) -> String {
    let caption = escape(caption);
    let drawn = drawn.unwrap_or_else(|| "<p class=\"note\">nothing above 0</p>".to_owned());
    format!("<figure><figcaption>{caption}</figcaption>{drawn}</figure>\n")
}

/// What was looked at under this name, once and again.
fn seen<'r>(report: &'r Report, key: &str) -> &'r [Value] {
    report.evidence[key].as_array().map_or(&[], Vec::as_slice)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn pairs(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// The fields of one thing seen.
fn object(value: &Value) -> String {
    let Some(fields) = value.as_object() else {
        return format!("<p>{}</p>", escape(&scalar(value)));
    };
    let rows: Vec<(&str, String)> =
        fields.iter().map(|(name, value)| (name.as_str(), scalar(value))).collect();
    pairs(&rows)
}

/// Things alike, a row each.
fn objects(rows: &[Value]) -> String {
    let Some(first) = rows.first().and_then(Value::as_object) else { return String::new() };
    let names: Vec<&String> = first.keys().collect();
    let head: String = names.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
    let cells = |row: &Value| -> String {
        names
            .iter()
            .map(|name| format!("<td>{}</td>", escape(&scalar(&row[name.as_str()]))))
            .collect()
    };
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row))).collect();
    format!("<table><tr>{head}</tr>\n{body}</table>\n")
}

/// A value of JSON in a cell.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(count), _) => grouped(count),
            (None, Some(number)) if (1e-3..1e5).contains(&number.abs()) => format!("{number:.3}"),
            (None, number) => known(number),
        },
        Value::Array(values) => values.iter().map(scalar).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => named(fields),
    }
}

fn named(fields: &Map<String, Value>) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name} {}", scalar(value)))
        .collect::<Vec<_>>()
        .join("; ")
}

fn known(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), scientific)
}

fn listed(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// 32,028.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
