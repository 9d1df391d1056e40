//! A network as a black box whose stencils run on a GPU.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::device::{AdapterRecord, Gpu, GpuError, adapters};
use super::increments::Increments;
use super::self_test::{double_f32_test, self_test};
use super::{Precision, Real, gradient, hessian_stack};
use crate::network::Network;
use crate::oracle::{NetworkOracle, Oracle, OracleError};
use crate::stencil::{self, GradientScheme, HessianScheme};

/// Relative error of a Hessian of the stencil kernels, in roundings. *Measured* by the parity tests.
const HESSIAN_ROUNDINGS: f64 = 16.0;

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

/// A network on the CPU, and how that came about.
#[derive(Debug)]
pub struct CpuOracle {
    oracle: NetworkOracle,
    record: BackendRecord,
}

/// A network whose values come from the CPU in f64 and whose Hessian stencils come from a GPU.
#[derive(Debug)]
pub struct GpuOracle {
    network: Network,
    gpu: Gpu,
    real: Real,
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
        if !matches!(precision, Precision::Auto | Precision::F64) {
            return Err(GpuError::Precision {
                adapter: "the CPU back end".to_owned(),
                precision: precision.name(),
                reason: "it answers in f64".to_owned(),
            });
        }
        let record = BackendRecord { requested: backend, ..BackendRecord::cpu() };
        let oracle = NetworkOracle::new(network);
        Ok(ChosenOracle::Cpu(Box::new(CpuOracle { oracle, record })))
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> &BackendRecord {
        match self {
            ChosenOracle::Cpu(cpu) => &cpu.record,
            ChosenOracle::Gpu(gpu) => &gpu.record,
        }
    }

    fn inner(&mut self) -> &mut dyn Oracle {
        match self {
            ChosenOracle::Cpu(cpu) => &mut cpu.oracle,
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

impl GpuOracle {
    /// Opens the first adapter whose name contains `adapter`, tests it, and puts the network on it.
    pub fn new(
        network: Network,
        adapter: Option<&str>,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let gpu = Gpu::open(adapter)?;
        let refuse = |precision: Precision, reason: String| GpuError::Precision {
            adapter: gpu.record().name.clone(),
            precision: precision.name(),
            reason,
        };
        let real = match precision {
            Precision::Auto | Precision::F32 => Real::F32,
            Precision::F64 => Real::F64,
            Precision::DoubleF32 => {
                let reason = match double_f32_test(&gpu)? {
                    Err(reason) => reason,
                    Ok(()) => {
                        "the stencil kernels have no use for it: in f32 they keep a relative \
                               error of 1e-6 at any step"
                            .to_owned()
                    }
                };
                return Err(refuse(precision, reason));
            }
        };
        gpu.require(real)?;
        let precision = if real == Real::F32 { Precision::F32 } else { Precision::F64 };
        self_test(&gpu, real)?.map_err(|reason| refuse(precision, reason))?;
        let record = BackendRecord {
            requested: Backend::Gpu,
            executed: Backend::Gpu,
            adapter: Some(gpu.record().name.clone()),
            precision,
            lost_devices: 0,
            on_cpu: 0,
        };
        Ok(GpuOracle { network, gpu, real, record })
    }

    /// The adapter at work.
    pub fn adapter(&self) -> &AdapterRecord {
        self.gpu.record()
    }

    /// What was asked for and what does the work.
    pub fn record(&self) -> &BackendRecord {
        &self.record
    }

    /// Limits the memory on the device, see [`Gpu::set_memory`].
    pub fn set_memory(&mut self, bytes: u64) {
        self.gpu.set_memory(bytes);
    }

    /// The device, for work beside the oracle's.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Runs `work`, once more on a fresh device if this one is lost. `None` if the work does not fit
    /// the kernels.
    fn retry<T>(
        &mut self,
        work: impl Fn(&Gpu, &Network, Real) -> Result<T, GpuError>,
    ) -> Result<Option<T>, GpuError> {
        let first = work(&self.gpu, &self.network, self.real);
        let result = match first {
            Err(GpuError::Lost(reason)) => {
                tracing::warn!("the GPU was lost, trying a fresh device: {reason}");
                self.record.lost_devices += 1;
                let memory = self.gpu.memory();
                self.gpu = Gpu::open(self.record.adapter.as_deref())?;
                self.gpu.set_memory(memory);
                work(&self.gpu, &self.network, self.real)
            }
            other => other,
        };
        match result {
            Ok(value) => Ok(Some(value)),
            Err(GpuError::TooLarge(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn values_on_cpu(network: &Network) -> impl FnMut(&DMatrix<f64>) -> Answer + '_ {
        |x| Ok(network.values(x))
    }
}

type Answer = Result<DVector<f64>, OracleError>;

impl Oracle for GpuOracle {
    fn input_dim(&self) -> usize {
        self.network.a.nrows()
    }

    // Single values serve the stages where accuracy decides.
    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        Ok(self.network.values(points))
    }

    // So do gradients: on the device in f64 only.
    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let reach = Increments::new(&self.network).reach(directions, h);
        if self.real == Real::F64 && reach <= 1.0 {
            let found = self.retry(|gpu, network, real| {
                gradient::gradients(gpu, network, centres, directions, scheme, h, real)
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let mut values = Self::values_on_cpu(&self.network);
        stencil::gradients(&mut values, centres, directions, scheme, h)
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let far = if scheme == HessianScheme::Polarised { h } else { 2.0 * h };
        if Increments::new(&self.network).reach(directions, far) <= 1.0 {
            let found = self.retry(|gpu, network, real| {
                hessian_stack::hessians(gpu, network, centres, directions, scheme, h, real)
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        self.record.on_cpu += centres.ncols() as u64;
        let mut values = Self::values_on_cpu(&self.network);
        stencil::hessians(&mut values, centres, directions, scheme, h)
    }

    fn hessian_noise(&self) -> Option<f64> {
        Some(HESSIAN_ROUNDINGS * self.real.epsilon())
    }
}

impl Oracle for ChosenOracle {
    fn input_dim(&self) -> usize {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.oracle.input_dim(),
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

    fn hessian_noise(&self) -> Option<f64> {
        match self {
            ChosenOracle::Cpu(cpu) => cpu.oracle.hessian_noise(),
            ChosenOracle::Gpu(gpu) => gpu.hessian_noise(),
        }
    }
}
