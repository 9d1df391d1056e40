//! A headless device: finding one, noticing that it is lost, and running kernels on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde::Serialize;

use super::Real;
use super::shader::Source;
use crate::network::Activation;

/// Invocations in a workgroup, for every kernel. The only place where it is set; `normalise` needs a
/// power of two and `gram` tiles by it.
pub const WORKGROUP: u32 = 64;
/// Loop iterations of one invocation on a software renderer: llvmpipe silently stops after about 65,535.
const SOFTWARE_ITERATIONS: usize = 60_000;
/// What a dispatch should take: long enough to outweigh its start, too short to upset a watchdog.
pub const DISPATCH: Duration = Duration::from_millis(75);
/// A dispatch that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What makes an adapter of a machine that has none.
pub const HOW_TO_HAVE_ONE: &str = "install the Vulkan driver of your card (Linux: mesa-vulkan-drivers, or NVIDIA's own), or \
     Mesa's software driver (in mesa-vulkan-drivers or vulkan-swrast) to try it without a card";

/// What follows on "no GPU adapter".
fn said_of_adapters(wanted: Option<&str>, present: &[String]) -> String {
    let named = wanted.map_or(String::new(), |name| format!(" named like {name:?}"));
    if present.is_empty() {
        let other = if wanted.is_some() { ", nor any other" } else { "" };
        return format!("{named}{other}: {HOW_TO_HAVE_ONE}");
    }
    format!("{named}; adapters present: {present:?}")
}

/// Why the GPU gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter at all, or none of that name.
    #[error("no GPU adapter{}", said_of_adapters(wanted.as_deref(), present))]
    NoAdapter {
        /// Part of the name asked for.
        wanted: Option<String>,
        /// Names of the adapters that there are.
        present: Vec<String>,
    },
    /// The adapter would not open.
    #[error("the adapter {adapter} cannot be opened: {reason}")]
    Open {
        /// Its name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The device was lost, or did not answer in time. A fresh one may work.
    #[error("the GPU was lost: {0}")]
    Lost(String),
    /// Not enough memory on the device.
    #[error("the GPU is out of memory: {0}")]
    Memory(String),
    /// The driver or wgpu refused something: a defect of ours or theirs.
    #[error("the GPU refused a command: {0}")]
    Refused(String),
    /// A precision that this adapter lacks or breaks.
    #[error("{adapter} cannot compute in {precision}: {reason}")]
    Precision {
        /// Its name.
        adapter: String,
        /// What was asked for.
        precision: &'static str,
        /// Why not.
        reason: String,
    },
    /// A network of another kind than the kernels are made for.
    #[error("the kernels are made for two hidden layers of {known}, without a link: this is {0}", known = Activation::SATURATING.map(Activation::name).join(", "))]
    Network(String),
    /// A problem beyond what a kernel can hold.
    #[error("too large for the GPU: {0}")]
    TooLarge(String),
}

/// What is known of an adapter without opening it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AdapterRecord {
    /// The adapter's name.
    pub name: String,
    /// Driver and its version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The API it is driven through.
    pub backend: String,
    /// 64-bit floats in shaders.
    pub f64: bool,
    /// GPU timestamps.
    pub timestamps: bool,
    /// Its limits, all of which are requested.
    pub limits: AdapterLimits,
    /// Names of all features.
    pub features: Vec<String>,
}

/// The limits of an adapter that matter here, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct AdapterLimits {
    /// Largest buffer binding.
    pub binding: u64,
    /// Largest buffer.
    pub buffer: u64,
    /// Memory shared by a workgroup.
    pub workgroup_memory: u32,
}

impl AdapterRecord {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        AdapterRecord {
            name: info.name,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete",
                wgpu::DeviceType::IntegratedGpu => "integrated",
                wgpu::DeviceType::VirtualGpu => "virtual",
                wgpu::DeviceType::Cpu => "cpu",
                wgpu::DeviceType::Other => "other",
            },
            backend: info.backend.to_string(),
            f64: features.contains(wgpu::Features::SHADER_F64),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            limits: AdapterLimits {
                binding: limits.max_storage_buffer_binding_size,
                buffer: limits.max_buffer_size,
                workgroup_memory: limits.max_compute_workgroup_storage_size,
            },
            features: features.iter_names().map(|(name, _)| name.to_owned()).collect(),
        }
    }

    /// A software renderer: correct, but no faster than the CPU that it runs on.
    pub fn is_software(&self) -> bool {
        self.kind == "cpu"
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // OpenGL adds no adapter with compute shaders worth having, and its loader complains on stderr
    // where there is no display.
    descriptor.backends &= wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    // Real hardware first, so that the first is the best default.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// All adapters of this machine, real hardware first.
pub fn adapters() -> Vec<AdapterRecord> {
    enumerate().iter().map(AdapterRecord::new).collect()
}

/// An adapter that is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'n> {
    /// Part of its name; `None`: any.
    pub name: Option<&'n str>,
    /// Its place among the real ones of that name, from 0, counted round and round: that of a rank on its machine.
    pub place: usize,
}

impl<'n> From<Option<&'n str>> for Wanted<'n> {
    fn from(name: Option<&'n str>) -> Self {
        Wanted { name, place: 0 }
    }
}

/// What went wrong behind our back, first fault only.
type Fault = Arc<Mutex<Option<GpuError>>>;

/// How a kernel uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A uniform block.
    Uniform,
    /// Read-only storage.
    Read,
    /// Storage that is written.
    Write,
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    name: &'static str,
}

/// Kernels by source and entry point.
type Kernels = HashMap<(String, &'static str), Arc<Kernel>>;

/// Memory that the stencil kernels may take on the device unless told otherwise: 1 GiB.
pub const DEFAULT_MEMORY: u64 = 1 << 30;

/// An open device with its queue and the kernels compiled so far. A clone is the same device.
#[derive(Clone, Debug)]
pub struct Gpu {
    record: AdapterRecord,
    device: wgpu::Device,
    queue: wgpu::Queue,
    fault: Fault,
    kernels: Arc<Mutex<Kernels>>,
    timer: Option<Arc<Timer>>,
    /// What [`break_kernels`](Gpu::break_kernels) replaces.
    defect: Option<(String, String)>,
    /// Bytes that a stack of stencils may occupy on the device, all its buffers together.
    memory: u64,
}

/// GPU timestamps around one dispatch.
#[derive(Debug)]
struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    nanoseconds: f64,
}

/// A result on its way back to the host.
#[derive(Debug)]
pub struct Download {
    staging: wgpu::Buffer,
    done: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is valid after every single operation, so a panic elsewhere changes nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens the first adapter whose name contains `wanted` (any case), with all its limits; the best
    /// one without a name.
    pub fn open<'n>(wanted: impl Into<Wanted<'n>>) -> Result<Gpu, GpuError> {
        let Wanted { name, place } = wanted.into();
        let adapters = enumerate();
        let matches = |adapter: &&wgpu::Adapter| {
            let info = adapter.get_info().name.to_lowercase();
            name.is_none_or(|name| info.contains(&name.to_lowercase()))
        };
        let matching: Vec<&wgpu::Adapter> = adapters.iter().filter(matches).collect();
        // Real hardware is first: no rank takes a software adapter beside it.
        let real = |adapter: &&&wgpu::Adapter| !AdapterRecord::new(adapter).is_software();
        let count = matching.iter().filter(real).count().max(1);
        let adapter = *matching.get(place % count).ok_or_else(|| {
            let present = adapters.iter().map(|adapter| adapter.get_info().name).collect();
            GpuError::NoAdapter { wanted: name.map(str::to_owned), present }
        })?;
        let record = AdapterRecord::new(adapter);
        let useful = wgpu::Features::SHADER_F64 | wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("disentangle"),
            required_features: adapter.features() & useful,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                GpuError::Open { adapter: record.name.clone(), reason: error.to_string() }
            })?;
        let fault = Fault::default();
        let slot = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let fault = match &error {
                wgpu::Error::OutOfMemory { .. } => GpuError::Memory(error.to_string()),
                _ => GpuError::Refused(error.to_string()),
            };
            lock(&slot).get_or_insert(fault);
        }));
        let slot = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Loss outranks the errors that it causes.
            *lock(&slot) = Some(GpuError::Lost(format!("{reason:?} {message}")));
        });
        let timer = record.timestamps.then(|| Arc::new(Timer::new(&device, &queue)));
        Ok(Gpu {
            record,
            device,
            queue,
            fault,
            kernels: Arc::default(),
            timer,
            defect: None,
            memory: DEFAULT_MEMORY,
        })
    }

    /// What adapter this is.
    pub fn record(&self) -> &AdapterRecord {
        &self.record
    }

    /// Limits the memory that the stencil kernels take on the device, all buffers together.
    pub fn set_memory(&mut self, bytes: u64) {
        self.memory = bytes;
    }

    /// See [`set_memory`](Gpu::set_memory).
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes that one buffer may hold.
    pub fn largest_buffer(&self) -> u64 {
        self.record.limits.binding.min(self.record.limits.buffer)
    }

    /// Loop iterations that one invocation may make. Hardware has no limit; how long a dispatch takes is
    /// the business of [`pace`](super::pace).
    pub fn most_iterations(&self) -> usize {
        if self.record.is_software() { SOFTWARE_ITERATIONS } else { usize::MAX }
    }

    /// Refuses f64 where the adapter has none.
    pub fn require(&self, real: Real) -> Result<(), GpuError> {
        if real == Real::F64 && !self.record.f64 {
            return Err(GpuError::Precision {
                adapter: self.record.name.clone(),
                precision: "f64",
                reason: "it has no 64-bit floats in shaders".to_owned(),
            });
        }
        Ok(())
    }
}

/// What the kernels and the tests of them need. It speaks wgpu's types, which may change with any version.
#[doc(hidden)]
impl Gpu {
    /// Destroys the device, as a crash of the driver would: for tests of the recovery.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// Replaces `right` by `wrong` in every kernel compiled from now on: a parity harness must notice.
    pub fn break_kernels(&mut self, right: &str, wrong: &str) {
        self.defect = Some((right.to_owned(), wrong.to_owned()));
    }

    /// The kernel `entry` of `source`, compiled on first use. `bindings` in order of their numbers.
    pub fn kernel(
        &self,
        source: &Source,
        entry: &'static str,
        bindings: &[Access],
    ) -> Result<Arc<Kernel>, GpuError> {
        let key = (source.text.clone(), entry);
        if let Some(kernel) = lock(&self.kernels).get(&key) {
            return Ok(kernel.clone());
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(source.name),
            source: wgpu::ShaderSource::Wgsl(match &self.defect {
                Some((right, wrong)) => source.text.replace(right, wrong).into(),
                None => source.text.as_str().into(),
            }),
        });
        let entries: Vec<_> = bindings.iter().zip(0..).map(layout_entry).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(source.name),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(source.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(source.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("WORKGROUP", f64::from(WORKGROUP))],
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        self.check()?;
        let kernel = Arc::new(Kernel { pipeline, layout, name: source.name });
        lock(&self.kernels).insert(key, kernel.clone());
        Ok(kernel)
    }

    /// A storage buffer of at least one word.
    pub fn buffer(&self, bytes: usize) -> Result<wgpu::Buffer, GpuError> {
        // Buffers of no bytes are errors, and copies come in words.
        let size = bytes.max(16).next_multiple_of(4) as u64;
        if size > self.largest_buffer() {
            return Err(GpuError::TooLarge(format!(
                "a buffer of {size} bytes, and {} is the adapter's limit",
                self.largest_buffer()
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// A storage buffer that holds `bytes`.
    pub fn upload(&self, bytes: &[u8]) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.buffer(bytes.len())?;
        self.write(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// A uniform block.
    pub fn uniform<T: bytemuck::NoUninit>(&self, value: &T) -> wgpu::Buffer {
        let bytes = bytemuck::bytes_of(value);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.write(&buffer, 0, bytes);
        buffer
    }

    /// Replaces a part of a buffer, from `offset` on, after all work submitted before.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.queue.write_buffer(buffer, offset as u64, bytes);
        }
    }

    /// Submits one dispatch of `groups` workgroups.
    pub fn dispatch(
        &self,
        kernel: &Kernel,
        buffers: &[&wgpu::Buffer],
        groups: (u32, u32),
    ) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let timestamp_writes =
                self.timer.as_ref().map(|timer| wgpu::ComputePassTimestampWrites {
                    query_set: &timer.queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(kernel.name),
                timestamp_writes,
            });
            let entries: Vec<_> = buffers
                .iter()
                .zip(0..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &kernel.layout,
                entries: &entries,
            });
            pass.set_pipeline(&kernel.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(groups.0, groups.1, 1);
        }
        if let Some(timer) = &self.timer {
            encoder.resolve_query_set(&timer.queries, 0..2, &timer.resolved, 0);
        }
        self.queue.submit([encoder.finish()])
    }

    /// Starts copying the first `bytes` of a buffer back, at least one word, after all work submitted
    /// before.
    pub fn download(&self, buffer: &wgpu::Buffer, bytes: usize) -> Result<Download, GpuError> {
        let size = bytes.max(4).next_multiple_of(4) as u64;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        let submission = self.queue.submit([encoder.finish()]);
        self.check()?;
        let (tell, done) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // A receiver that is gone no longer wants to know.
            let _ = tell.send(result);
        });
        Ok(Download { staging, done, submission })
    }

    /// Waits for a download and hands its bytes to `take`.
    pub fn finish<T>(
        &self,
        download: Download,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, GpuError> {
        let wait = wgpu::PollType::Wait {
            submission_index: Some(download.submission),
            timeout: Some(PATIENCE),
        };
        let polled = self.device.poll(wait);
        self.check()?;
        polled.map_err(|error| GpuError::Lost(error.to_string()))?;
        match download.done.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(GpuError::Lost(error.to_string())),
            Err(error) => return Err(GpuError::Lost(error.to_string())),
        }
        let view = download
            .staging
            .get_mapped_range(..)
            .map_err(|error| GpuError::Refused(error.to_string()))?;
        Ok(take(&view))
    }

    /// The first `count` numbers of a buffer.
    pub fn read(
        &self,
        buffer: &wgpu::Buffer,
        real: Real,
        count: usize,
    ) -> Result<Vec<f64>, GpuError> {
        let mut out = Vec::with_capacity(count);
        let bytes = count * real.bytes();
        let download = self.download(buffer, bytes)?;
        self.finish(download, |read| real.decode(&read[..bytes], &mut out))?;
        Ok(out)
    }

    /// Seconds that the last dispatch took by the GPU's own clock, where it has one.
    pub fn seconds(&self) -> Result<Option<f64>, GpuError> {
        let Some(timer) = &self.timer else { return Ok(None) };
        let download = self.download(&timer.resolved, 16)?;
        let ticks = self.finish(download, |bytes| {
            let mut stamps = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
            let begin = stamps.next().unwrap_or(0);
            stamps.next().unwrap_or(begin).saturating_sub(begin)
        })?;
        Ok(Some(ticks as f64 * timer.nanoseconds * 1e-9))
    }

    /// Waits until what was submitted is done.
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        let wait =
            wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        let polled = self.device.poll(wait);
        self.check()?;
        polled.map(drop).map_err(|error| GpuError::Lost(error.to_string()))
    }

    fn check(&self) -> Result<(), GpuError> {
        if lock(&self.fault).is_some() {
            // A lost device refuses commands before it says that it is lost: that comes with a poll,
            // whose own error would only repeat it.
            let _ = self.device.poll(wgpu::PollType::Poll);
        }
        // A lost device stays lost; anything else is reported once.
        let mut fault = lock(&self.fault);
        match &*fault {
            Some(lost @ GpuError::Lost(_)) => Err(lost.clone()),
            _ => fault.take().map_or(Ok(()), Err),
        }
    }
}

impl Timer {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Timer {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            nanoseconds: f64::from(queue.get_timestamp_period()),
        }
    }
}

fn layout_entry((access, binding): (&Access, u32)) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
