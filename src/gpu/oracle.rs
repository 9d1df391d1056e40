//! A network as a black box whose stencils run on a GPU.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::device::{Gpu, GpuError, adapters};
use super::increments::Increments;
use super::oracle_stack::{OracleStack, Recipe};
use super::self_test::{double_f32_test, self_test};
use super::worker::Worker;
use super::{Precision, Real, forward_double, gradient, hessian_stack};
use crate::fused;
use crate::network::{Activation, Network};
use crate::oracle::hessian_stack::{HessianStack, HostStack};
use crate::oracle::{Oracle, OracleError};
use crate::stencil::{self, GradientScheme, HessianScheme};

/// Relative error of a Hessian of the stencil kernels, in roundings. *Measured* by the parity tests.
const HESSIAN_ROUNDINGS: f64 = 16.0;

/// The same of the fused stack, in roundings over a step's share of a unit. *Measured* by the test below:
/// the median Hessian has a fifth of it, the worst usually about all, and many times that where the
/// second derivative happens to vanish.
const FUSED_ROUNDINGS: f64 = 16.0;

/// Where the stencils run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, a software one too; an error if there is none.
    Gpu,
}

impl Backend {
    /// All of them, in the order of the help.
    pub const ALL: [Backend; 3] = [Backend::Auto, Backend::Cpu, Backend::Gpu];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Cpu => "cpu",
            Backend::Gpu => "gpu",
        }
    }
}

/// What was asked for and what did the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRecord {
    /// What was asked for.
    pub requested: Backend,
    /// What did the work: `cpu` or `gpu`.
    pub executed: Backend,
    /// The adapter's name, with a GPU.
    pub adapter: Option<String>,
    /// The precision of the stencils.
    pub precision: Precision,
    /// Devices lost and replaced.
    pub lost_devices: u64,
    /// Hessians that the CPU computed all the same: steps too wide for the closed forms, or a network
    /// too large for the kernels.
    pub on_cpu: u64,
}

impl BackendRecord {
    /// Values in f64 on the CPU, or of a process: nothing was chosen among.
    pub fn cpu() -> Self {
        BackendRecord {
            requested: Backend::Cpu,
            executed: Backend::Cpu,
            adapter: None,
            precision: Precision::F64,
            lost_devices: 0,
            on_cpu: 0,
        }
    }
}

/// A network on whichever back end was chosen.
#[derive(Debug)]
pub enum ChosenOracle {
    /// On the CPU.
    Cpu(Box<CpuOracle>),
    /// On a GPU.
    Gpu(Box<GpuOracle>),
}

/// A network whose values come from the CPU in f64, and whose Hessian stencils are differences of them,
/// or in f32 the fused stack ([`fused`]).
#[derive(Debug)]
pub struct CpuOracle {
    network: Network,
    record: BackendRecord,
}

/// A network whose Hessian stencils come from a GPU, and whose values come from the CPU in f64, or from
/// the GPU in double-f32 where that was asked for.
#[derive(Debug)]
pub struct GpuOracle {
    worker: Arc<Worker>,
    record: BackendRecord,
}

impl ChosenOracle {
    /// Chooses. With [`Backend::Auto`] a GPU that does not open or fails its self-test is passed over;
    /// with [`Backend::Gpu`] that is an error.
    pub fn new(
        network: Network,
        backend: Backend,
        adapter: Option<&str>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let wanted = match backend {
            Backend::Cpu => false,
            Backend::Gpu => true,
            // A named adapter is asked for, even a software one.
            Backend::Auto => {
                adapter.is_some()
                    || (may_have_gpu() && adapters().first().is_some_and(|a| !a.is_software()))
            }
        };
        if wanted {
            match GpuOracle::new(network.clone(), adapter, precision) {
                Ok(mut oracle) => {
                    oracle.record.requested = backend;
                    return Ok(ChosenOracle::Gpu(Box::new(oracle)));
                }
                Err(error) if backend == Backend::Gpu || adapter.is_some() => return Err(error),
                Err(error) => tracing::warn!("the GPU is passed over: {error}"),
            }
        }
        Ok(ChosenOracle::Cpu(Box::new(CpuOracle::new(network, backend, precision)?)))
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> BackendRecord {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.record.clone(),
            ChosenOracle::Gpu(gpu) => gpu.record(),
        }
    }

    fn inner(&mut self) -> &mut dyn Oracle {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.as_mut(),
            ChosenOracle::Gpu(gpu) => gpu.as_mut(),
        }
    }
}

/// False where there surely is no GPU: Linux shows each as a device node. Looking for adapters takes a
/// while there, and Vulkan's loaders complain on stderr where there is no display.
fn may_have_gpu() -> bool {
    let nodes = ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg"];
    !cfg!(target_os = "linux") || nodes.iter().any(|node| std::path::Path::new(node).exists())
}

impl CpuOracle {
    /// Puts a network on the CPU; in f32 not one with a layer of erf.
    pub fn new(
        network: Network,
        requested: Backend,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let erf = [network.g, network.h].contains(&Activation::Erf);
        let precision = match precision {
            Precision::Auto | Precision::F64 => Ok(Precision::F64),
            Precision::F32 if !erf => Ok(Precision::F32),
            Precision::F32 => Err((
                "a layer of erf has no addition theorem, and differences of its \
                                   values in f32 are too noisy",
                precision,
            )),
            Precision::DoubleF32 => Err(("it has 64-bit floats, which are better", precision)),
        };
        let precision = precision.map_err(|(reason, asked)| GpuError::Precision {
            adapter: "the CPU back end".to_owned(),
            precision: asked.name(),
            reason: reason.to_owned(),
        })?;
        let record = BackendRecord { requested, precision, ..BackendRecord::cpu() };
        Ok(CpuOracle { network, record })
    }
}

impl Oracle for CpuOracle {
    fn input_dim(&self) -> usize {
        self.network.a.nrows()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        Ok(self.network.values(points))
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        if self.record.precision == Precision::F32 {
            let network = &self.network;
            let stack = fused::hessian_stack_f32(network, centres, directions, scheme, h);
            return Ok(stack.map(f64::from));
        }
        stencil::hessians(&mut |x| Ok(self.network.values(x)), centres, directions, scheme, h)
    }

    // A unit a sees a step along one of d directions as h |a| / sqrt d; the changes are rounded, and
    // what is left of them is a second difference.
    fn hessian_noise(&self, h: f64) -> Option<f64> {
        if self.record.precision != Precision::F32 {
            return None;
        }
        let (d, m0, _) = self.network.dims();
        let halved = if self.network.g == Activation::Sigmoid { 0.5 } else { 1.0 };
        let slope = halved * self.network.a.norm() / ((d * m0) as f64).sqrt();
        Some(FUSED_ROUNDINGS * Real::F32.epsilon() / (h * slope))
    }
}

impl GpuOracle {
    /// Opens the first adapter whose name contains `adapter`, tests it, and puts the network on it.
    pub fn new(
        network: Network,
        adapter: Option<&str>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        Self::on(Gpu::open(adapter)?, network, precision)
    }

    /// Tests an open device and puts the network on it.
    pub fn on(gpu: Gpu, network: Network, precision: Precision) -> Result<Self, GpuError> {
        let precision = match precision {
            Precision::Auto => Precision::F32,
            chosen => chosen,
        };
        let refuse = |reason: String| GpuError::Precision {
            adapter: gpu.record().name.clone(),
            precision: precision.name(),
            reason,
        };
        let real = if precision == Precision::F64 { Real::F64 } else { Real::F32 };
        gpu.require(real)?;
        self_test(&gpu, real)?.map_err(refuse)?;
        if precision == Precision::DoubleF32 {
            forward_double::check(&network)?;
            double_f32_test(&gpu)?.map_err(refuse)?;
        }
        let record = BackendRecord {
            requested: Backend::Gpu,
            executed: Backend::Gpu,
            adapter: Some(gpu.record().name.clone()),
            precision,
            lost_devices: 0,
            on_cpu: 0,
        };
        Ok(GpuOracle { worker: Arc::new(Worker::new(network, gpu, real)), record })
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> BackendRecord {
        BackendRecord { lost_devices: self.worker.lost(), ..self.record.clone() }
    }

    /// Limits the memory on the device, see [`Gpu::set_memory`].
    pub fn set_memory(&mut self, bytes: u64) {
        self.worker.set_memory(bytes);
    }

    /// The device, for work beside the oracle's.
    pub fn gpu(&self) -> Gpu {
        self.worker.gpu()
    }

    /// Whether the closed forms serve Hessians with this step.
    fn serves(&self, directions: &DMatrix<f64>, scheme: HessianScheme, h: f64) -> bool {
        let far = if scheme == HessianScheme::Polarised { h } else { 2.0 * h };
        Increments::new(&self.worker.network).reach(directions, far) <= 1.0
    }

    fn hessians_on_cpu(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        self.record.on_cpu += centres.ncols() as u64;
        let network = &self.worker.network;
        stencil::hessians(&mut |x| Ok(network.values(x)), centres, directions, scheme, h)
    }
}

/// `None` for work that does not fit the kernels.
fn fitting<T>(result: Result<T, GpuError>) -> Result<Option<T>, GpuError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(GpuError::TooLarge(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Oracle for GpuOracle {
    fn input_dim(&self) -> usize {
        self.worker.network.a.nrows()
    }

    // Single values serve the stages where accuracy decides: in f64 on the CPU, unless pairs of f32
    // were asked for.
    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let network = &self.worker.network;
        if self.record.precision == Precision::DoubleF32 {
            return Ok(self.worker.run(|gpu, _| forward_double::values(gpu, network, points))?);
        }
        Ok(network.values(points))
    }

    // So do gradients: by the kernel in f64 only, else from values.
    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let Worker { network, real, .. } = &*self.worker;
        if *real == Real::F64 && Increments::new(network).reach(directions, h) <= 1.0 {
            let found = fitting(self.worker.run(|gpu, _| {
                gradient::gradients(gpu, network, centres, directions, scheme, h, *real)
            }))?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        stencil::gradients(&mut |x| self.values(x), centres, directions, scheme, h)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        if self.serves(directions, scheme, h) {
            let Worker { network, real, .. } = &*self.worker;
            let found = fitting(self.worker.run(|gpu, _| {
                hessian_stack::hessians(gpu, network, centres, directions, scheme, h, *real)
            }))?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        self.hessians_on_cpu(centres, directions, scheme, h)
    }

    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        let some = centres.ncols() > 0 && directions.ncols() > 0;
        if some && self.serves(directions, scheme, h) {
            let recipe =
                Recipe { centres: centres.clone(), directions: directions.clone(), scheme, h };
            if let Some(stack) = fitting(OracleStack::new(self.worker.clone(), recipe))? {
                return Ok(Box::new(stack));
            }
        }
        Ok(Box::new(HostStack::new(self.hessians_on_cpu(centres, directions, scheme, h)?)))
    }

    fn hessian_noise(&self, _: f64) -> Option<f64> {
        Some(HESSIAN_ROUNDINGS * self.worker.real.epsilon())
    }
}

impl Oracle for ChosenOracle {
    fn input_dim(&self) -> usize {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.input_dim(),
            ChosenOracle::Gpu(gpu) => gpu.input_dim(),
        }
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        self.inner().values(points)
    }

    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        self.inner().gradients(centres, directions, scheme, h)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        self.inner().hessians(centres, directions, scheme, h)
    }

    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        self.inner().hessian_stack(centres, directions, scheme, h)
    }

    fn hessian_noise(&self, h: f64) -> Option<f64> {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.hessian_noise(h),
            ChosenOracle::Gpu(gpu) => gpu.hessian_noise(h),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Class;
    use crate::oracle::Silent;
    use crate::{draws, identify};

    /// What the CPU says of the noise of its f32 stack against what it is, by the same stack in f64.
    #[test]
    fn the_noise_of_the_cpus_f32_stack_is_as_stated() {
        for activation in [Activation::Tanh, Activation::Sigmoid] {
            for dims in [(8, 8, 3), (30, 30, 5), (64, 24, 8)] {
                let network = Network::random(dims, Class::General, activation, 5).unwrap();
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
    fn a_network_is_identified_from_the_cpus_f32_stack() {
        let path = format!(
            "{}/tests/networks/diabetes-tanh-10-10-5.safetensors",
            env!("CARGO_MANIFEST_DIR")
        );
        let network = Network::load(path, None).unwrap();
        let mut oracle = ChosenOracle::new(network, Backend::Cpu, None, Precision::F32).unwrap();
        assert_eq!(oracle.record().precision, Precision::F32);
        let settings = identify::Settings::default();
        let solution = identify::identify(&mut oracle, &settings, &mut Silent).unwrap();
        assert_eq!(solution.status, identify::Status::Identified, "{}", solution.reason);
        assert_eq!(solution.widths, Some((10, 5)));
    }

    #[test]
    fn the_cpu_refuses_what_it_cannot_answer_well() {
        let erf = Network::random((3, 4, 2), Class::General, Activation::Erf, 1).unwrap();
        let tanh = Network::random((3, 4, 2), Class::General, Activation::Tanh, 1).unwrap();
        let new =
            |network: &Network, precision| CpuOracle::new(network.clone(), Backend::Cpu, precision);
        assert!(new(&erf, Precision::F32).is_err());
        assert!(new(&tanh, Precision::DoubleF32).is_err());
        assert!(new(&erf, Precision::Auto).unwrap().hessian_noise(0.1).is_none());
        assert_eq!(new(&tanh, Precision::F32).unwrap().record.precision, Precision::F32);
    }
}
