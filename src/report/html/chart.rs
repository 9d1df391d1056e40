//! Figures as SVG: dots on a logarithmic axis, bars, curves.

use std::fmt::Write;

use super::{escape, scientific};

/// Of a figure, without its margins, in CSS pixels.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// Labels at an axis at most.
const LABELS: usize = 6;
/// Height of a bar with the space about it.
const BAR: f64 = 22.0;
/// Widths of the labels at bars, on the left and on the right.
const BAR_LABELS: (f64, f64) = (150.0, 110.0);
/// The shortest bar that is seen.
const LEAST_BAR: f64 = 1.0;
const COLOURS: [&str; 2] = ["#1f5fa8", "#c2571a"];

/// A logarithmic axis over whole decades.
struct Decades {
    low: f64,
    high: f64,
}

impl Decades {
    /// About all `values` that have a logarithm; `None` if there is none.
    fn about(values: impl Iterator<Item = f64>) -> Option<Decades> {
        let logs = values.filter(|v| v.is_finite() && *v > 0.0).map(f64::log10);
        let (low, high) = logs
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (low <= high)
            .then(|| Decades { low: low.floor(), high: high.ceil().max(low.floor() + 1.0) })
    }

    /// 0 at the lower end, 1 at the upper; what is no larger than 0 is at the lower end.
    fn place(&self, value: f64) -> f64 {
        ((value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Powers of ten to be labelled.
    fn ticks(&self) -> Vec<i32> {
        let step = (((self.high - self.low) / LABELS as f64).ceil() as usize).max(1);
        (self.low as i32..=self.high as i32).step_by(step).collect()
    }
}

fn svg(width: f64, height: f64, title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{title}\"><title>{title}</title>{body}</svg>\n"
    )
}

fn frame(size: (f64, f64)) -> (f64, f64) {
    (size.0 + LEFT + RIGHT, size.1 + TOP + BOTTOM)
}

/// Lines and labels of a logarithmic axis upwards.
fn upwards(axis: &Decades) -> String {
    let mut out = String::new();
    for power in axis.ticks() {
        let y = TOP + HEIGHT * (1.0 - axis.place(10f64.powi(power)));
        let (right, x, base) = (LEFT + WIDTH, LEFT - 6.0, y + 4.0);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"end\" x=\"{x}\" y=\"{base:.1}\">1e{power}</text>"
        );
    }
    out
}

fn below(x: f64, text: &str) -> String {
    let y = TOP + HEIGHT + 15.0;
    format!("<text class=\"middle\" x=\"{x:.1}\" y=\"{y}\">{}</text>", escape(text))
}

/// Values in their order, a dot each, on a logarithmic axis.
pub struct Dots<'a> {
    /// For whom the figure is not shown.
    pub title: &'a str,
    /// Series of values, with their names where there is more than one.
    pub values: &'a [f64],
    /// So many come before the gap.
    pub before_gap: Option<usize>,
    /// Where errors of the values are.
    pub floor: Option<f64>,
}

impl Dots<'_> {
    /// The figure; `None` if no value has a logarithm.
    pub fn draw(&self) -> Option<String> {
        let count = self.values.len();
        let axis = Decades::about(self.values.iter().copied().chain(self.floor))?;
        let x = |k: f64| LEFT + WIDTH * (k + 0.5) / count as f64;
        let y = |value: f64| TOP + HEIGHT * (1.0 - axis.place(value));
        let mut body = upwards(&axis);
        if let Some(floor) = self.floor.filter(|floor| *floor > 0.0) {
            let (y, right) = (y(floor), LEFT + WIDTH);
            let _ = write!(
                body,
                "<path class=\"limit\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"end\" x=\"{right}\" y=\"{:.1}\">error</text>",
                y - 4.0
            );
        }
        if let Some(rank) = self.before_gap.filter(|&rank| rank > 0 && rank < count) {
            let middle = x(rank as f64 - 0.5);
            let _ = write!(
                body,
                "<path class=\"gap\" d=\"M{middle:.1} {TOP}V{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\">gap after {rank}</text>",
                TOP + HEIGHT,
                middle + 5.0,
                TOP + 12.0
            );
        }
        for (k, &value) in self.values.iter().enumerate() {
            let colour = COLOURS[usize::from(self.before_gap.is_some_and(|rank| k >= rank))];
            let _ = write!(
                body,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {}</title></circle>",
                x(k as f64),
                y(value),
                k + 1,
                scientific(value)
            );
        }
        let step = count.div_ceil(LABELS).max(1);
        (0..count).step_by(step).for_each(|k| body += &below(x(k as f64), &(k + 1).to_string()));
        let (width, height) = frame((WIDTH, HEIGHT));
        Some(svg(width, height, self.title, &body))
    }
}

/// Bars on a common scale, with a label on the left and one on the right.
pub struct Bars<'a> {
    /// For whom the figure is not shown.
    pub title: &'a str,
    /// Label, value, value as text.
    pub rows: &'a [(String, f64, String)],
    /// Logarithmic, with this limit marked; else from 0 on.
    pub limit: Option<f64>,
}

impl Bars<'_> {
    /// The figure; `None` if there is nothing to show.
    pub fn draw(&self) -> Option<String> {
        let largest =
            self.rows.iter().map(|row| row.1).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let axis = match self.limit {
            Some(limit) => Some(Decades::about(self.rows.iter().map(|row| row.1).chain([limit]))?),
            None if largest > 0.0 => None,
            None => return None,
        };
        let length = |value: f64| {
            let share = match &axis {
                Some(axis) => axis.place(value),
                None => value / largest,
            };
            (WIDTH * share).max(LEAST_BAR)
        };
        let (left, right) = BAR_LABELS;
        let mut body = String::new();
        for (k, (label, value, shown)) in self.rows.iter().enumerate() {
            let (y, length) = (BAR * k as f64, length(*value));
            let (x, base) = (left - 8.0, y + 15.0);
            let _ = write!(
                body,
                "<text class=\"end\" x=\"{x}\" y=\"{base}\">{}</text><rect x=\"{left}\" y=\"{}\" width=\"{length:.1}\" \
                 height=\"14\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{base}\">{}</text>",
                escape(label),
                y + 4.0,
                COLOURS[0],
                left + length + 6.0,
                escape(shown)
            );
        }
        let height = BAR * self.rows.len() as f64;
        let mut bottom = 4.0;
        if let Some(limit) = self.limit {
            let x = left + length(limit);
            bottom = 18.0;
            let _ = write!(
                body,
                "<path class=\"limit\" d=\"M{x:.1} 0V{height}\"/><text class=\"middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                height + 14.0,
                scientific(limit)
            );
        }
        Some(svg(left + WIDTH + right, height + bottom, self.title, &body))
    }
}

/// Curves over a common axis, both axes logarithmic.
pub struct Curves<'a> {
    /// For whom the figure is not shown.
    pub title: &'a str,
    /// What the horizontal axis shows.
    pub across: &'a str,
    /// Names, and points from left to right.
    pub series: &'a [(&'a str, Vec<(f64, f64)>)],
}

impl Curves<'_> {
    /// The figure; `None` if there is nothing to show.
    pub fn draw(&self) -> Option<String> {
        let points = || self.series.iter().flat_map(|(_, points)| points.iter());
        let (across, up) =
            (Decades::about(points().map(|p| p.0))?, Decades::about(points().map(|p| p.1))?);
        let x = |value: f64| LEFT + WIDTH * across.place(value);
        let y = |value: f64| TOP + HEIGHT * (1.0 - up.place(value));
        let mut body = upwards(&up);
        for power in across.ticks() {
            body += &below(x(10f64.powi(power)), &format!("1e{power}"));
        }
        let (middle, base) = (LEFT + WIDTH / 2.0, TOP + HEIGHT + BOTTOM - 4.0);
        let _ = write!(
            body,
            "<text class=\"middle\" x=\"{middle}\" y=\"{base}\">{}</text>",
            escape(self.across)
        );
        for (k, (name, points)) in self.series.iter().enumerate() {
            let colour = COLOURS[k % COLOURS.len()];
            let path: Vec<String> =
                points.iter().map(|p| format!("{:.1} {:.1}", x(p.0), y(p.1))).collect();
            let _ = write!(
                body,
                "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" d=\"M{}\"/>",
                path.join("L")
            );
            for p in points {
                let _ = write!(
                    body,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{} at {}</title></circle>",
                    x(p.0),
                    y(p.1),
                    scientific(p.1),
                    scientific(p.0)
                );
            }
            let _ = write!(
                body,
                "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
                LEFT + 8.0,
                TOP + 14.0 * (k as f64 + 1.0),
                escape(name)
            );
        }
        let (width, height) = frame((WIDTH, HEIGHT));
        Some(svg(width, height, self.title, &body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_all_values_and_few_labels() {
        let axis = Decades::about([3e-17, 0.0, f64::NAN, 4e5].into_iter()).unwrap();
        assert_eq!((axis.low, axis.high), (-17.0, 6.0));
        assert!(axis.ticks().len() <= LABELS + 1);
        assert_eq!((axis.place(0.0), axis.place(1e6)), (0.0, 1.0));
        assert!(Decades::about([0.0, f64::NAN].into_iter()).is_none());
        // One value alone has an axis of a decade.
        let one = Decades::about([1.0].into_iter()).unwrap();
        assert_eq!(one.high - one.low, 1.0);
    }

    #[test]
    fn every_value_has_a_mark_and_every_name_is_escaped() {
        let dots = Dots {
            title: "<a>",
            values: &[1.0, 0.5, 1e-9],
            before_gap: Some(2),
            floor: Some(1e-12),
        };
        let drawn = dots.draw().unwrap();
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(drawn.contains("gap after 2") && drawn.contains("&lt;a&gt;"));
        let rows = [("a & b".to_owned(), 1.0, "one".to_owned()), ("c".into(), 0.0, "none".into())];
        let drawn = Bars { title: "bars", rows: &rows, limit: None }.draw().unwrap();
        assert!(drawn.contains("a &amp; b") && drawn.matches("<rect").count() == 2);
        assert!(Bars { title: "bars", rows: &rows[1..], limit: None }.draw().is_none());
    }
}
