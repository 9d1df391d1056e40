//! A network as a black box whose stencils run on a GPU.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use super::device::{Gpu, GpuError, Wanted, adapters};
use super::increments::Increments;
use super::oracle_stack::{OracleStack, Recipe};
use super::self_test::{double_f32_test, self_test};
use super::worker::Worker;
use super::{Real, forward_double, gradient, hessian_stack};
use crate::network::{Network, TwoLayer};
use crate::oracle::hessian_stack::{HessianStack, HostStack};
use crate::oracle::{
    Answer, NetworkOracle, Oracle, OracleError, Precision, PrecisionRefused, Question, View,
};
use crate::stencil::{self, GradientScheme, HessianScheme};

pub use crate::oracle::{Backend, BackendRecord, CpuOracle};

/// Relative error of a Hessian of the stencil kernels, in roundings. *Measured* by the parity tests.
const HESSIAN_ROUNDINGS: f64 = 16.0;

/// A network on whichever back end was chosen.
#[derive(Debug)]
pub enum ChosenOracle {
    /// On the CPU.
    Cpu(Box<CpuOracle>),
    /// On a GPU.
    Gpu(Box<GpuOracle>),
}

/// A network whose Hessian stencils come from a GPU, and whose values come from the CPU in f64, or from
/// the GPU in double-f32 where that was asked for.
#[derive(Debug)]
pub struct GpuOracle {
    /// All outputs; its mixture is the worker's network.
    outputs: NetworkOracle,
    worker: Arc<Worker>,
    record: BackendRecord,
}

impl ChosenOracle {
    /// Chooses. With [`Backend::Auto`] a GPU that does not open or fails its self-test is passed over, and
    /// so is any for a network that the kernels are not made for; with [`Backend::Gpu`] that is an error.
    pub fn new<'n>(
        network: impl Into<Network>,
        backend: Backend,
        adapter: impl Into<Wanted<'n>>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let adapter = adapter.into();
        let network = network.into();
        let wanted = match backend {
            Backend::Cpu => false,
            Backend::Gpu => true,
            // A named adapter is asked for, even a software one.
            Backend::Auto => {
                adapter.name.is_some()
                    || (kernel_form(&NetworkOracle::new(network.clone())).is_ok()
                        && may_have_gpu()
                        && adapters().first().is_some_and(|a| !a.is_software()))
            }
        };
        if wanted {
            match GpuOracle::new(network.clone(), adapter, precision) {
                Ok(mut oracle) => {
                    oracle.record.requested = backend;
                    return Ok(ChosenOracle::Gpu(Box::new(oracle)));
                }
                Err(error) if backend == Backend::Gpu || adapter.name.is_some() => {
                    return Err(error);
                }
                Err(error) => tracing::warn!("the GPU is passed over: {error}"),
            }
        }
        Ok(ChosenOracle::Cpu(Box::new(CpuOracle::new(network, backend, precision)?)))
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> BackendRecord {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.record().clone(),
            ChosenOracle::Gpu(gpu) => gpu.record(),
        }
    }
}

/// False where there surely is no GPU: Linux shows each as a device node. Looking for adapters takes a
/// while there, and Vulkan's loaders complain on stderr where there is no display.
fn may_have_gpu() -> bool {
    let nodes = ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg"];
    !cfg!(target_os = "linux") || nodes.iter().any(|node| std::path::Path::new(node).exists())
}

impl GpuOracle {
    /// Opens the first adapter whose name contains `adapter`, tests it, and puts the network on it.
    pub fn new<'n>(
        network: impl Into<Network>,
        adapter: impl Into<Wanted<'n>>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        Self::on(Gpu::open(adapter)?, network, precision)
    }

    /// Tests an open device and puts the network on it.
    ///
    /// # Errors
    /// [`GpuError::Network`] but for two hidden layers that saturate, without a link.
    pub fn on(
        gpu: Gpu,
        network: impl Into<Network>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let outputs = NetworkOracle::new(network);
        let network = kernel_form(&outputs)?;
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
            forward_double::check(&gpu, &network)?;
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
        Ok(GpuOracle { outputs, worker: Arc::new(Worker::new(network, gpu, real)), record })
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

impl From<GpuError> for OracleError {
    fn from(error: GpuError) -> Self {
        OracleError::Backend(Box::new(error))
    }
}

impl From<PrecisionRefused> for GpuError {
    fn from(refused: PrecisionRefused) -> Self {
        GpuError::Precision {
            adapter: "the CPU back end".to_owned(),
            precision: refused.precision.name(),
            reason: refused.reason.to_owned(),
        }
    }
}

/// The mixture of the outputs as the kernels take it.
fn kernel_form(outputs: &NetworkOracle) -> Result<TwoLayer, GpuError> {
    let refused = || GpuError::Network(outputs.network().to_string());
    let mixture = outputs.mixture().ok_or_else(refused)?;
    let network = TwoLayer::try_from(mixture).map_err(|_| refused())?;
    if network.g.saturates() && network.h.saturates() { Ok(network) } else { Err(refused()) }
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

    fn output_dim(&self) -> usize {
        self.outputs.output_dim()
    }

    // Single ones, as values are: on the CPU.
    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        self.outputs.outputs(points)
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.outputs.mix(weights);
        if let Ok(network) = kernel_form(&self.outputs)
            && self.outputs.output_dim() > 1
        {
            // Stacks that are out keep the worker with the network that they were made of.
            self.worker = Arc::new(self.worker.with_network(network));
        }
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

    fn keeps_stacks(&self) -> bool {
        true
    }

    fn hessian_noise(&self, _: f64) -> Option<f64> {
        Some(HESSIAN_ROUNDINGS * self.worker.real.epsilon())
    }
}

impl View for ChosenOracle {
    fn inner(&self) -> &dyn Oracle {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.as_ref(),
            ChosenOracle::Gpu(gpu) => gpu.as_ref(),
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.as_mut(),
            ChosenOracle::Gpu(gpu) => gpu.as_mut(),
        }
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        match self {
            ChosenOracle::Cpu(cpu) => question.ask(cpu.as_mut()),
            ChosenOracle::Gpu(gpu) => question.ask(gpu.as_mut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify;
    use crate::oracle::Silent;

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
        assert_eq!(solution.widths, Some(vec![10, 5]));
    }
}
