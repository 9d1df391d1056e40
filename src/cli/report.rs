//! `disentangle report`: a report once more, as a table or as a page.

use std::path::PathBuf;

use crate::files::{check_writable, write_atomically};
use crate::network::Network;
use crate::report::{Report, html};
use clap::Args;

use super::{Outcome, SUCCESS, summary};

/// Show the report of a run: as a table, or as a page for a browser
///
/// The page is one file with nothing from elsewhere: the verdict and what it means, singular values, candidates, queries
/// and seconds by stage, the error bound by tensor, residuals, settings and versions; with --network the weights too.
#[derive(Args, Debug)]
#[command(name = "report")]
pub struct ShowReport {
    /// The report that `identify --report` wrote
    report: PathBuf,
    /// The network that the run found, to be shown as heat maps
    #[arg(long, value_name = "FILE", requires = "html")]
    network: Option<PathBuf>,
    /// Write a page here, HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl ShowReport {
    /// Prints the table, or writes the page.
    pub fn run(self) -> Outcome {
        let report = Report::load(&self.report)?;
        let network = self.network.as_ref().map(|path| Network::load(path, None)).transpose()?;
        if let Some(network) = &network {
            check_same(&report, network)?;
        }
        match &self.html {
            Some(path) => write_page(path, &report, network.as_ref())?,
            None => super::print(&summary::table(&report))?,
        }
        Ok(SUCCESS)
    }
}

/// Writes the page of a run.
pub fn write_page(
    path: &std::path::Path,
    report: &Report,
    network: Option<&Network>,
) -> Result<(), String> {
    check_writable(path)
        .and_then(|()| write_atomically(path, html::page(report, network).as_bytes()))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Refuses a network that cannot be the one that the report tells of.
fn check_same(report: &Report, network: &Network) -> Result<(), String> {
    let (widths, activations) = (network.widths(), network.activations());
    let told = (report.widths.as_ref(), report.activations.as_ref());
    if told == (Some(&widths), Some(&activations)) {
        return Ok(());
    }
    let found = match told {
        (Some(widths), Some(layers)) => {
            let names: Vec<&str> = layers.iter().map(|layer| layer.name()).collect();
            format!("widths {widths:?} and activations {}", names.join(", "))
        }
        _ => "no network".to_owned(),
    };
    Err(format!("--network is {network}, the report tells of {found}: it is another run's"))
}
