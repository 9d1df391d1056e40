//! A network that we see, evaluated on the CPU.

use nalgebra::{DMatrix, DVector};

use super::backend::{Backend, BackendRecord, Precision};
use super::black_box::Oracle;
use super::error::OracleError;
use super::network::NetworkOracle;
use crate::fused;
use crate::network::{Activation, Network, TwoLayer};
use crate::stencil::{self, HessianScheme};

/// Relative error of a Hessian of the fused stack, in roundings over a step's share of a unit. *Measured* by the test below:
/// the median Hessian has a fifth of it, the worst usually about all, and many times that where the
/// second derivative happens to vanish.
const FUSED_ROUNDINGS: f64 = 16.0;
/// Unit roundoff of f32.
const F32_ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// A precision that the CPU does not compute in, or not with this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CPU back end cannot compute in {}: {reason}", precision.name())]
#[non_exhaustive]
pub struct PrecisionRefused {
    /// What was asked for.
    pub precision: Precision,
    /// Why not.
    pub reason: &'static str,
}

/// A network whose values come from the CPU in f64, and whose Hessian stencils are differences of them,
/// or in f32 the fused stack ([`fused`](crate::fused)).
#[derive(Debug)]
pub struct CpuOracle {
    network: NetworkOracle,
    /// In f32 the mixture of the outputs as the fused stack takes it.
    fused: Option<TwoLayer>,
    record: BackendRecord,
}

impl CpuOracle {
    /// Puts a network on the CPU.
    ///
    /// # Errors
    /// [`PrecisionRefused`]: pairs of f32, and f32 for anything but two hidden layers of tanh or sigmoid
    /// without a link.
    pub fn new(
        network: impl Into<Network>,
        requested: Backend,
        precision: Precision,
    ) -> Result<Self, PrecisionRefused> {
        let network = NetworkOracle::new(network);
        let refuse = |reason| Err(PrecisionRefused { precision, reason });
        let (precision, fused) = match precision {
            Precision::Auto | Precision::F64 => (Precision::F64, None),
            Precision::F32 => match fused_form(&network) {
                Some(two) if [two.g, two.h].contains(&Activation::Erf) => {
                    return refuse(
                        "a layer of erf has no addition theorem, and differences of its values in \
                         f32 are too noisy",
                    );
                }
                Some(two) => (Precision::F32, Some(two)),
                None => {
                    return refuse(
                        "its stack is made for two hidden layers that saturate, without a link",
                    );
                }
            },
            Precision::DoubleF32 => return refuse("it has 64-bit floats, which are better"),
        };
        let record = BackendRecord { requested, precision, ..BackendRecord::cpu() };
        Ok(CpuOracle { network, fused, record })
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> &BackendRecord {
        &self.record
    }
}

/// The mixture of the outputs, where it is a network that closed forms of stencils are made for.
fn fused_form(network: &NetworkOracle) -> Option<TwoLayer> {
    let two = TwoLayer::try_from(network.mixture()?).ok()?;
    (two.g.saturates() && two.h.saturates()).then_some(two)
}

impl Oracle for CpuOracle {
    fn input_dim(&self) -> usize {
        self.network.input_dim()
    }

    fn output_dim(&self) -> usize {
        self.network.output_dim()
    }

    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        self.network.outputs(points)
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.network.mix(weights);
        if self.fused.is_some() {
            self.fused = fused_form(&self.network);
        }
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        self.network.values(points)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        if let Some(network) = &self.fused {
            let stack = fused::hessian_stack_f32(network, centres, directions, scheme, h);
            return Ok(stack.map(f64::from));
        }
        stencil::hessians(&mut |x| self.network.values(x), centres, directions, scheme, h)
    }

    // A unit a sees a step along one of d directions as h |a| / sqrt d; the changes are rounded, and
    // what is left of them is a second difference.
    fn hessian_noise(&self, h: f64) -> Option<f64> {
        let network = self.fused.as_ref()?;
        let (d, m0, _) = network.dims();
        let halved = if network.g == Activation::Sigmoid { 0.5 } else { 1.0 };
        let slope = halved * network.a.norm() / ((d * m0) as f64).sqrt();
        Some(FUSED_ROUNDINGS * F32_ROUNDING / (h * slope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::Class;

    /// What the CPU says of the noise of its f32 stack against what it is, by the same stack in f64.
    #[test]
    fn the_noise_of_the_cpus_f32_stack_is_as_stated() {
        for activation in [Activation::Tanh, Activation::Sigmoid] {
            for dims in [(8, 8, 3), (30, 30, 5), (64, 24, 8)] {
                let network = TwoLayer::random(dims, Class::General, activation, 5).unwrap();
                let (backend, precision) = (Backend::Cpu, Precision::F32);
                let mut oracle = CpuOracle::new(network.clone(), backend, precision).unwrap();
                let eye = DMatrix::identity(dims.0, dims.0);
                let scheme = HessianScheme::Polarised;
                for (scale, h) in [(1.0, 1e-2), (16.0, 1e-3), (16.0, 1e-2), (16.0, 1e-1)] {
                    let mut rng = draws::stream(1, "noise", 0);
                    let centres = draws::gaussian(&mut rng, dims.0, 64) * scale;
                    let found = oracle.hessians(&centres, &eye, scheme, h).unwrap();
                    let exact = fused::hessian_stack_f64(&network, &centres, &eye, scheme, h);
                    let largest = exact.column_iter().map(|h| h.norm()).fold(0.0, f64::max);
                    let mut errors: Vec<f64> = found
                        .column_iter()
                        .zip(exact.column_iter())
                        .filter(|(_, exact)| exact.norm() > 1e-12 * largest)
                        .map(|(found, exact)| (found - exact).norm() / exact.norm())
                        .collect();
                    errors.sort_by(f64::total_cmp);
                    let stated = oracle.hessian_noise(h).unwrap();
                    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
                    println!(
                        "{activation} {dims:?} scale {scale} h {h}: median {:.2}, worst {:.2} of \
                         the stated {stated:.1e}",
                        median / stated,
                        worst / stated
                    );
                    assert!(median < stated, "{dims:?} {scale} {h}");
                }
            }
        }
    }

    #[test]
    fn the_cpu_refuses_what_it_cannot_answer_well() {
        let erf = TwoLayer::random((3, 4, 2), Class::General, Activation::Erf, 1).unwrap();
        let tanh = TwoLayer::random((3, 4, 2), Class::General, Activation::Tanh, 1).unwrap();
        let new = |network: &TwoLayer, precision| {
            CpuOracle::new(network.clone(), Backend::Cpu, precision)
        };
        assert!(new(&erf, Precision::F32).is_err());
        assert!(new(&tanh, Precision::DoubleF32).is_err());
        assert!(new(&erf, Precision::Auto).unwrap().hessian_noise(0.1).is_none());
        assert_eq!(new(&tanh, Precision::F32).unwrap().record.precision, Precision::F32);
    }
}
