//! `disentangle devices`: the GPU adapters of this machine.

use std::process::ExitCode;

use clap::Args;
use disentangle::gpu::self_test::{self_test, stencil_rate};
use disentangle::gpu::{AdapterRecord, Gpu, GpuError, Real, adapters};
use serde::Serialize;
use serde_json::json;

use super::Outcome;

/// List the GPU adapters, test each and measure it
#[derive(Args, Debug)]
pub struct Devices {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    record: AdapterRecord,
    /// `ok`, or what is wrong.
    self_test: String,
    /// Stencil points a second in f32 at (32, 32, 6).
    stencil_rate: Option<f64>,
}

impl Row {
    fn new(record: AdapterRecord) -> Self {
        match tried(&record) {
            Ok((verdict, rate)) => Row { record, self_test: verdict, stencil_rate: rate },
            Err(error) => Row { record, self_test: error.to_string(), stencil_rate: None },
        }
    }
}

fn tried(record: &AdapterRecord) -> Result<(String, Option<f64>), GpuError> {
    let gpu = Gpu::open(Some(&record.name))?;
    if let Err(reason) = self_test(&gpu, Real::F32)? {
        return Ok((reason, None));
    }
    let verdict = match record.f64 {
        true => self_test(&gpu, Real::F64)?.map_or_else(|reason| reason, |()| "ok".to_owned()),
        false => "ok".to_owned(),
    };
    Ok((verdict, Some(stencil_rate(&gpu, 0.5)?)))
}

impl Devices {
    /// Opens every adapter, tests it and says what was found.
    pub fn run(self) -> Outcome {
        let rows: Vec<Row> = adapters().into_iter().map(Row::new).collect();
        let text = if self.json {
            format!("{:#}\n", json!({ "adapters": rows }))
        } else if rows.is_empty() {
            "no GPU adapter: the CPU does all the work\n".to_owned()
        } else {
            rows.iter().map(line).collect()
        };
        super::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn line(row: &Row) -> String {
    let Row { record, self_test, stencil_rate } = row;
    format!(
        "{}\n  {} through {}, {}\n  f64: {}, timestamps: {}, largest binding {} MiB\n  self-test: \
         {self_test}\n  stencil points a second, f32: {}\n",
        record.name,
        record.kind,
        record.backend,
        record.driver,
        if record.f64 { "yes" } else { "no" },
        if record.timestamps { "yes" } else { "no" },
        record.limits.binding >> 20,
        stencil_rate.map_or("not measured".to_owned(), |rate| format!("{:.1} M", rate / 1e6)),
    )
}
