//! Where the stencils of a network run, in which arithmetic, and what is told of it afterwards.

use serde::{Deserialize, Serialize};

/// Where the stencils run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// The arithmetic of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// f32 on a GPU, which every adapter has and which the stencil kernels are made for; f64 on the CPU.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// 64-bit floats, on a GPU where the adapter has `SHADER_F64`.
    F64,
    /// Single values in pairs of 32-bit floats, on a GPU, and stencils in 32-bit floats. Refused, with
    /// the reason, where the compiler breaks it.
    DoubleF32,
}

impl Precision {
    /// All of them, in the order of the help.
    pub const ALL: [Precision; 4] =
        [Precision::Auto, Precision::F32, Precision::F64, Precision::DoubleF32];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Auto => "auto",
            Precision::F32 => "f32",
            Precision::F64 => "f64",
            Precision::DoubleF32 => "double-f32",
        }
    }
}
