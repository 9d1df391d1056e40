//! The table at the end of `identify`.

use std::fmt::{Display, Write};

use crate::network::Activation;
use crate::report::Report;
use indicatif::HumanCount;
use serde_json::Value;

/// A run in a few lines: the verdict, then queries and time by stage.
pub fn table(report: &Report) -> String {
    let mut table = String::new();
    let mut row = |name: &str, value: &dyn Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<18}{value}");
    };
    row("verdict", &format!("{} ({})", report.status.name(), report.reason));
    if let Some(remedy) = &report.remedy {
        row("what may help", remedy);
    }
    if let Some(widths) = &report.widths {
        let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
        row("widths", &widths.join(", "));
    }
    if let Some(idle) = report.idle_inputs.as_ref().filter(|idle| !idle.is_empty()) {
        let idle: Vec<String> = idle.iter().map(usize::to_string).collect();
        row("idle inputs", &format!("{} (counted from 0)", idle.join(", ")));
    }
    if let Some(layers) = &report.activations {
        row("activation", &activations(layers));
        if let Some(margins) = margins(&report.evidence) {
            row("  margins", &margins);
        }
    }
    row("error bound", &scientific(report.parameter_error_bound));
    row("residual", &scientific(report.residual));
    row("oracle accuracy", &scientific(report.oracle_accuracy));
    let mut line = |stage: &str, queries: &dyn Display, seconds: &dyn Display| {
        let _ = writeln!(table, "{stage:<18}{queries:>12}{seconds:>11}");
    };
    line("stage", &"queries", &"seconds");
    for (stage, &queries) in &report.queries.by_stage {
        let seconds = report.seconds.by_stage.get(stage).copied().unwrap_or(0.0);
        line(stage, &HumanCount(queries).to_string(), &format!("{seconds:.2}"));
    }
    let total = format!("{:.2}", report.seconds.total);
    line("total", &HumanCount(report.queries.total).to_string(), &total);
    table
}

/// One for all layers, or one for each.
fn activations(layers: &[Activation]) -> String {
    let mut names: Vec<&str> = layers.iter().map(|layer| layer.name()).collect();
    names.dedup();
    names.join(", ")
}

/// How much worse another activation would describe each layer, where that was to be decided.
fn margins(evidence: &Value) -> Option<String> {
    let margins = evidence["activation"].as_array()?.last()?["margins"].as_array()?;
    let margins: Vec<Option<f64>> = margins.iter().map(Value::as_f64).collect();
    margins.iter().any(Option::is_some).then(|| {
        let shown: Vec<String> = margins.into_iter().map(scientific).collect();
        shown.join(", ")
    })
}

fn scientific(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2e}"))
}
