//! Weights as heat maps.

use std::fmt::Write;

use nalgebra::DMatrix;

use super::{escape, scientific};
use crate::network::Network;

/// Cells of a map in either direction at most; of more entries a cell shows the largest of several.
const MOST_CELLS: usize = 128;
/// Length of the longer side and of a cell at most, in CSS pixels.
const SIDE: f64 = 560.0;
const MOST_CELL: f64 = 16.0;
/// Shades of either sign.
const SHADES: i32 = 16;
/// The colours of the largest weight and of the least.
const POSITIVE: [f64; 3] = [178.0, 40.0, 40.0];
const NEGATIVE: [f64; 3] = [31.0, 95.0, 168.0];

/// A map for each tensor of `network`, under the names and in the shapes of its file: a row a unit.
pub fn maps(network: &Network) -> String {
    let row = |values: Vec<f64>| DMatrix::from_row_slice(1, values.len(), &values);
    let mut out = String::new();
    for (l, layer) in network.layers.iter().enumerate() {
        out += &map(&format!("{}.weight", 2 * l), &layer.weights.transpose());
        let bias = layer.shifts.iter().map(|shift| -shift).collect();
        out += &map(&format!("{}.bias", 2 * l), &row(bias));
    }
    let last = 2 * network.layers.len();
    out += &map(&format!("{last}.weight"), &network.c.transpose());
    out + &map(&format!("{last}.bias"), &row(network.c0.iter().copied().collect()))
}

/// A figure with its caption.
fn map(name: &str, weights: &DMatrix<f64>) -> String {
    let (rows, columns) = weights.shape();
    let (by_row, by_column) = (rows.div_ceil(MOST_CELLS), columns.div_ceil(MOST_CELLS));
    let cells = (rows.div_ceil(by_row), columns.div_ceil(by_column));
    let most = weights.amax();
    let paths = paths(weights, (by_row, by_column), most);
    let cell = (SIDE / cells.0.max(cells.1) as f64).min(MOST_CELL);
    let coarse = if by_row * by_column > 1 {
        format!("; a cell is the largest of {by_row} x {by_column} entries")
    } else {
        String::new()
    };
    let (height, width) = cells;
    let (pixels_up, pixels_across) = (cell * height as f64, cell * width as f64);
    let (name, least, largest) = (escape(name), scientific(-most), scientific(most));
    format!(
        "<figure class=\"map\"><figcaption><code>{name}</code>, {rows} x {columns}, from {least} (blue) to {largest} (red)\
         {coarse}</figcaption><svg viewBox=\"0 0 {width} {height}\" width=\"{pixels_across:.1}\" height=\"{pixels_up:.1}\" \
         role=\"img\" aria-label=\"{name}\" shape-rendering=\"crispEdges\">{paths}</svg></figure>\n"
    )
}

/// One path a shade, with the cells that have it.
fn paths(weights: &DMatrix<f64>, (by_row, by_column): (usize, usize), most: f64) -> String {
    let mut shades = vec![String::new(); 2 * SHADES as usize + 1];
    let (rows, columns) = weights.shape();
    for (y, first_row) in (0..rows).step_by(by_row).enumerate() {
        for (x, first_column) in (0..columns).step_by(by_column).enumerate() {
            let size = (by_row.min(rows - first_row), by_column.min(columns - first_column));
            let block = weights.view((first_row, first_column), size);
            let weight = block.iter().fold(0.0f64, |a, &b| if b.abs() > a.abs() { b } else { a });
            // Writing to a string cannot fail.
            let _ = write!(shades[shade(weight, most)], "M{x} {y}h1v1h-1z");
        }
    }
    let coloured = shades.iter().enumerate().filter(|(_, path)| !path.is_empty());
    coloured.map(|(k, path)| format!("<path fill=\"{}\" d=\"{path}\"/>", colour(k))).collect()
}

/// Of a weight among those up to `most`: 0 the least, `SHADES` none, `2 SHADES` the largest.
fn shade(weight: f64, most: f64) -> usize {
    let share = if most > 0.0 { weight / most } else { 0.0 };
    ((share * f64::from(SHADES)).round() as i32 + SHADES).clamp(0, 2 * SHADES) as usize
}

fn colour(shade: usize) -> String {
    let share = (shade as f64 - f64::from(SHADES)) / f64::from(SHADES);
    let full = if share < 0.0 { NEGATIVE } else { POSITIVE };
    let [r, g, b] = full.map(|c| (255.0 + (c - 255.0) * share.abs()).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_cell_of_its_shade() {
        let drawn =
            map("0.weight", &DMatrix::from_row_slice(2, 3, &[1.0, -1.0, 0.0, 0.5, 0.5, 0.0]));
        assert_eq!(drawn.matches("h1v1h-1z").count(), 6);
        assert!(drawn.contains("<path fill=\"#b22828\" d=\"M0 0h1v1h-1z\"/>"), "{drawn}");
        assert!(drawn.contains("<path fill=\"#1f5fa8\" d=\"M1 0h1v1h-1z\"/>"), "{drawn}");
        assert!(drawn.contains("2 x 3, from -1.00e0 (blue) to 1.00e0 (red)"), "{drawn}");
    }

    #[test]
    fn large_tensors_show_the_largest_of_a_block() {
        let mut weights = DMatrix::zeros(300, 2);
        weights[(299, 1)] = -2.0;
        let drawn = map("0.weight", &weights);
        assert_eq!(drawn.matches("h1v1h-1z").count(), 200);
        assert!(drawn.contains("3 x 1 entries"));
        assert!(drawn.contains("<path fill=\"#1f5fa8\" d=\"M1 99h1v1h-1z\"/>"), "{drawn}");
        assert!(map("4.bias", &DMatrix::zeros(1, 1)).contains("fill=\"#ffffff\""));
    }
}
