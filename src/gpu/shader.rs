//! A kernel's source: its file, the shared files that it includes, the precision and its constants.
//!
//! `#include name` on a line of its own stands for `shaders/shared/name.wgsl`. The precision chooses
//! between `real_f32` and `real_f64`, which define `real` and what depends on it; everything else is
//! written once.
//!
//! The lines between `#for l in NAME` and `#end` are repeated for $l = 0 .. the constant NAME; such loops
//! may hold others. Sums in an array indexed by a loop end up in memory on more than one driver; these stay
//! in registers.

use super::Real;
use crate::network::Activation;

/// A complete WGSL text.
#[derive(Clone, Debug)]
pub struct Source {
    /// The stem of its file.
    pub name: &'static str,
    /// The text.
    pub text: String,
}

/// The shared files.
const SHARED: [(&str, &str); 7] = [
    ("real_f32", include_str!("../../shaders/shared/real_f32.wgsl")),
    ("real_f64", include_str!("../../shaders/shared/real_f64.wgsl")),
    ("math", include_str!("../../shaders/shared/math.wgsl")),
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("double", include_str!("../../shaders/shared/double.wgsl")),
    ("parts", include_str!("../../shaders/shared/parts.wgsl")),
    ("response", include_str!("../../shaders/shared/response.wgsl")),
];

/// How many nodes of Gauss-Legendre integrate an increment of erf to the last bit.
fn gauss_nodes(real: Real) -> usize {
    match real {
        Real::F32 => 8,
        Real::F64 => 12,
    }
}

impl Source {
    /// Composes a source. `constants` become `const NAME: u32`.
    pub fn new(name: &'static str, text: &str, real: Real, constants: &[(&str, u32)]) -> Source {
        Self::compose(name, text, real, constants, &gauss(gauss_nodes(real)))
    }

    /// Composes a source in f32 whose quadrature is given in pairs of f32.
    pub fn double(name: &'static str, text: &str, constants: &[(&str, u32)]) -> Source {
        Self::compose(name, text, Real::F32, constants, &double_gauss(gauss_nodes(Real::F64)))
    }

    fn compose(
        name: &'static str,
        text: &str,
        real: Real,
        constants: &[(&str, u32)],
        gauss: &str,
    ) -> Source {
        let mut composed = format!(
            "override WORKGROUP: u32 = {}u;\n{}",
            super::device::WORKGROUP,
            include(match real {
                Real::F32 => "real_f32",
                Real::F64 => "real_f64",
            })
        );
        for (name, value) in constants {
            composed += &format!("const {name}: u32 = {value}u;\n");
        }
        for line in text.lines() {
            match line.strip_prefix("#include ") {
                Some("gauss") => composed += gauss,
                Some(name) => composed += include(name.trim()),
                None => composed += line,
            }
            composed.push('\n');
        }
        Source { name, text: unroll(&composed, constants) }
    }
}

/// # Panics
/// If a loop is over an unknown constant or has no end, which the tests find.
fn unroll(text: &str, constants: &[(&str, u32)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((variable, bound)) = line.strip_prefix("#for ").and_then(|l| l.split_once(" in "))
        else {
            out += line;
            out.push('\n');
            continue;
        };
        let count = constants.iter().find(|(name, _)| *name == bound);
        let count = count.map_or_else(|| panic!("#for over unknown {bound}"), |(_, count)| *count);
        let mut depth = 1;
        let of_this_loop = |line: &&str| {
            depth += i32::from(line.starts_with("#for ")) - i32::from(*line == "#end");
            depth > 0
        };
        let body: String =
            lines.by_ref().take_while(of_this_loop).flat_map(|line| [line, "\n"]).collect();
        for k in 0..count {
            let body = body.replace(&format!("${variable}"), &k.to_string());
            out += &unroll(&body, constants);
        }
    }
    out
}

/// # Panics
/// If there is no such file, which the tests find: every kernel is composed there.
fn include(name: &str) -> &'static str {
    let found = SHARED.iter().find(|(shared, _)| *shared == name);
    found.map_or_else(|| panic!("no shaders/shared/{name}.wgsl"), |(_, text)| text)
}

/// The number that stands for an activation in the shaders.
///
/// # Panics
/// If it does not [saturate](Activation::saturates): no shader knows it.
pub fn activation(activation: Activation) -> u32 {
    match activation {
        Activation::Tanh => 0,
        Activation::Sigmoid => 1,
        Activation::Erf => 2,
        other => panic!("no shader knows {other}"),
    }
}

/// The rule on [0, 1] as WGSL.
fn gauss(count: usize) -> String {
    let rows: Vec<String> = gauss_legendre(count)
        .iter()
        .map(|(node, weight)| format!("    real2({node:?}, {weight:?})"))
        .collect();
    format!(
        "const NODES: u32 = {count}u;\nconst GAUSS = array<real2, NODES>(\n{}\n);\n",
        rows.join(",\n")
    )
}

/// The rule on [0, 1] as WGSL, every number as a high and a low part.
fn double_gauss(count: usize) -> String {
    let parts = |x: f64| {
        let high = x as f32;
        format!("{high:?}, {:?}", (x - f64::from(high)) as f32)
    };
    let rows: Vec<String> = gauss_legendre(count)
        .iter()
        .map(|(node, weight)| format!("    vec4<f32>({}, {})", parts(*node), parts(*weight)))
        .collect();
    format!(
        "const NODES: u32 = {count}u;\nconst GAUSS = array<vec4<f32>, NODES>(\n{}\n);\n",
        rows.join(",\n")
    )
}

/// Nodes and weights of the n-point Gauss-Legendre rule on [0, 1], by Newton's method on P_n.
pub fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    (0..n)
        .map(|k| {
            let mut x = (std::f64::consts::PI * (k as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..20 {
                let (mut p, mut before) = (x, 1.0);
                for m in 2..=n {
                    let m = m as f64;
                    (p, before) = (((2.0 * m - 1.0) * x * p - (m - 1.0) * before) / m, p);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                x -= p / slope;
            }
            (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_written_out() {
        let text = "a\n#for l in N\nx$l = $lu;\n#end\nb";
        assert_eq!(unroll(text, &[("N", 2)]), "a\nx0 = 0u;\nx1 = 1u;\nb\n");
    }

    #[test]
    fn loops_within_loops_are_written_out() {
        let text = "#for r in M\n#for l in N\nx$r_$l;\n#end\ny$r;\n#end\nz;";
        let constants = [("M", 2), ("N", 2)];
        assert_eq!(unroll(text, &constants), "x0_0;\nx0_1;\ny0;\nx1_0;\nx1_1;\ny1;\nz;\n");
    }

    /// The text after the workgroup's size and the definitions of `real`.
    fn own(source: &Source, real: &str) -> String {
        let head = format!("override WORKGROUP: u32 = 64u;\n{}", include(real));
        source.text.strip_prefix(&head).expect("size and precision come first").to_owned()
    }

    #[test]
    fn a_source_is_precision_constants_and_text_in_this_order() {
        let text = "fn f() -> u32 { return M; }";
        for (real, name) in [(Real::F32, "real_f32"), (Real::F64, "real_f64")] {
            let source = Source::new("f", text, real, &[("M", 3), ("N", 0)]);
            assert_eq!(source.name, "f");
            let constants = "const M: u32 = 3u;\nconst N: u32 = 0u;\n";
            assert_eq!(own(&source, name), format!("{constants}{text}\n"));
        }
        assert_eq!(own(&Source::double("f", text, &[]), "real_f32"), format!("{text}\n"));
    }

    #[test]
    fn shared_files_stand_where_they_are_included() {
        let source = Source::new("f", "a\n#include math\nb\n // #include math", Real::F32, &[]);
        let math = include("math");
        assert_eq!(own(&source, "real_f32"), format!("a\n{math}\nb\n // #include math\n"));
    }

    #[test]
    fn the_rule_is_written_in_the_precision_asked_for() {
        let rule = |source: Source| {
            let text = source.text;
            text.lines().filter(|line| line.starts_with("    real2(")).count()
                + 100 * text.lines().filter(|line| line.starts_with("    vec4<f32>(")).count()
        };
        assert_eq!(rule(Source::new("f", "#include gauss", Real::F32, &[])), 8);
        assert_eq!(rule(Source::new("f", "#include gauss", Real::F64, &[])), 12);
        assert_eq!(rule(Source::double("f", "#include gauss", &[])), 1200);
    }

    #[test]
    fn loops_of_shared_files_are_written_out_and_empty_ones_vanish() {
        let constants = [("M", 3), ("N", 0)];
        assert_eq!(unroll("#for i in N\nx$i;\n#end\ny;", &constants), "y;\n");
        let two = "#for i in M\n#end\n#for j in M\n$j $i\n#end";
        assert_eq!(unroll(two, &constants), "0 $i\n1 $i\n2 $i\n");
    }

    #[test]
    #[should_panic(expected = "#for over unknown M")]
    fn a_loop_over_what_is_no_constant_is_refused() {
        unroll("#for i in M\n#end", &[("N", 2)]);
    }

    #[test]
    #[should_panic(expected = "no shaders/shared/maths.wgsl")]
    fn a_file_that_is_not_there_is_refused() {
        Source::new("f", "#include maths", Real::F32, &[]);
    }

    #[test]
    fn the_parts_of_a_double_sum_to_the_rule() {
        for ((node, weight), line) in
            gauss_legendre(12).iter().zip(double_gauss(12).lines().skip(2))
        {
            let numbers = line.trim().trim_start_matches("vec4<f32>(").trim_end_matches([')', ',']);
            let n: Vec<f64> =
                numbers.split(", ").map(|n| f64::from(n.parse::<f32>().unwrap())).collect();
            assert!((n[0] + n[1] - node).abs() < 1e-14 && (n[2] + n[3] - weight).abs() < 1e-14);
        }
    }

    #[test]
    fn the_rule_integrates_polynomials_of_degree_2n_minus_1() {
        for n in [2, 8, 12] {
            for degree in 0..2 * n {
                let sum: f64 =
                    gauss_legendre(n).iter().map(|(x, w)| w * x.powi(degree as i32)).sum();
                assert!((sum * (degree + 1) as f64 - 1.0).abs() < 1e-13, "{n} {degree} {sum}");
            }
        }
    }
}
