//! The report as a page: one file that a browser shows with nothing from elsewhere.
//!
//! Every figure is of what [`Report`] holds, and of the network found. All text is escaped, and the page forbids
//! scripts and the network to whatever shows it.

mod chart;
mod heat;
mod sections;

use super::Report;
use crate::network::Network;

/// How the page looks.
const STYLE: &str = include_str!("style.css");

/// The page of `report`, with heat maps if the `network` that it tells of is at hand.
#[must_use]
pub fn page(report: &Report, network: Option<&Network>) -> String {
    let sections = [
        sections::verdict(report),
        sections::singular_values(report),
        sections::candidates(report),
        sections::stages(report),
        sections::bounds(report),
        sections::residuals(report),
        sections::weights(network),
        sections::settings(report),
        sections::evidence(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n<title>disentangle: {}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        report.status.name(),
        sections.concat()
    )
}

/// Text as HTML shows it, in attributes too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // HTML has no other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn scientific(value: f64) -> String {
    format!("{value:.2e}")
}

#[cfg(test)]
mod tests;
