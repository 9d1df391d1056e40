//! `disentangle devices`: the GPU adapters of this machine.

use crate::gpu::device::HOW_TO_HAVE_ONE;
use crate::gpu::self_test::{double_f32_test, self_test, stencil_rate};
use crate::gpu::{AdapterRecord, Gpu, GpuError, Real, adapters};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Outcome, SUCCESS};

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
    /// The same for values in pairs of f32.
    double_f32: String,
    /// Stencil points a second in f32 at (32, 32, 6).
    stencil_rate: Option<f64>,
}

impl Row {
    fn new(record: AdapterRecord) -> Self {
        match tried(&record) {
            Ok((self_test, double_f32, rate)) => {
                Row { record, self_test, double_f32, stencil_rate: rate }
            }
            Err(error) => Row {
                record,
                self_test: error.to_string(),
                double_f32: "not tested".to_owned(),
                stencil_rate: None,
            },
        }
    }
}

/// The two verdicts, and the rate of an adapter that computes well.
fn tried(record: &AdapterRecord) -> Result<(String, String, Option<f64>), GpuError> {
    let gpu = Gpu::open(Some(record.name.as_str()))?;
    let said = |verdict: Result<(), String>| verdict.err().unwrap_or_else(|| "ok".to_owned());
    let pairs = said(double_f32_test(&gpu)?);
    if let Err(reason) = self_test(&gpu, Real::F32)? {
        return Ok((reason, pairs, None));
    }
    let verdict = match record.f64 {
        true => said(self_test(&gpu, Real::F64)?),
        false => "ok".to_owned(),
    };
    Ok((verdict, pairs, Some(stencil_rate(&gpu, 0.5)?)))
}

impl Devices {
    /// Opens every adapter, tests it and says what was found.
    pub fn run(self) -> Outcome {
        let rows: Vec<Row> = adapters().into_iter().map(Row::new).collect();
        let text = if self.json {
            format!("{:#}\n", json!({ "adapters": rows }))
        } else if rows.is_empty() {
            format!("no GPU adapter: the CPU does all the work; for a GPU, {HOW_TO_HAVE_ONE}\n")
        } else {
            rows.iter().map(line).collect()
        };
        super::print(&text)?;
        Ok(SUCCESS)
    }
}

fn line(row: &Row) -> String {
    let Row { record, self_test, double_f32, stencil_rate } = row;
    format!(
        "{}\n  {} through {}, {}\n  f64: {}, timestamps: {}, largest binding {} MiB\n  self-test: \
         {self_test}, double-f32: {double_f32}\n  stencil points a second, f32: {}\n",
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
