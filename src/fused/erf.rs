//! erf in f32.

use pulp::Simd;

use super::vector::Vector;

/// erf by the rational approximation x P(x^2) / Q(x^2) on |x| <= 4 that Eigen and XLA use, to three
/// epsilons; beyond, erf is 1 to the last bit.
#[inline(always)]
pub fn erf<S: Simd>(x: Vector<f32, S>) -> Vector<f32, S> {
    const P: [f64; 7] = [
        -2.726_142_258_013_06e-10,
        2.770_681_424_959_02e-8,
        -2.101_024_020_822_608e-6,
        -5.692_506_394_623_46e-5,
        -7.349_906_303_268_55e-4,
        -2.954_599_808_540_25e-3,
        -1.609_603_332_624_15e-2,
    ];
    const Q: [f64; 5] = [
        -1.456_607_184_649_96e-5,
        -2.133_740_552_789_05e-4,
        -1.682_826_974_382_03e-3,
        -7.373_329_167_204_68e-3,
        -1.426_473_905_141_89e-2,
    ];
    let x = x.clamp(4.0);
    let square = x * x;
    x * polynomial(&P, square) / polynomial(&Q, square)
}

/// The polynomial with these coefficients, highest degree first.
#[inline(always)]
fn polynomial<S: Simd>(coefficients: &[f64], x: Vector<f32, S>) -> Vector<f32, S> {
    let mut p = x.constant(coefficients[0]);
    for &c in &coefficients[1..] {
        p = p.mul_add(x, x.constant(c));
    }
    p
}
