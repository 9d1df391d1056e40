//! A network on a device that is replaced when it is lost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Gpu, GpuError, Real};
use crate::network::TwoLayer;

/// What an oracle and its stacks share.
#[derive(Debug)]
pub struct Worker {
    /// The network.
    pub network: TwoLayer,
    /// The arithmetic.
    pub real: Real,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    gpu: Gpu,
    /// Devices lost so far.
    lost: u64,
}

impl Worker {
    /// A network on a device.
    pub fn new(network: TwoLayer, gpu: Gpu, real: Real) -> Self {
        Worker { network, real, state: Mutex::new(State { gpu, lost: 0 }) }
    }

    /// The same device and its history for another network.
    pub fn with_network(&self, network: TwoLayer) -> Self {
        Worker { network, real: self.real, state: Mutex::new(self.state().clone()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A device and a count are valid after every step, so a panic elsewhere changes nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device at work now.
    pub fn gpu(&self) -> Gpu {
        self.state().gpu.clone()
    }

    /// Devices lost and replaced.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Limits the memory on the device, see [`Gpu::set_memory`].
    pub fn set_memory(&self, bytes: u64) {
        self.state().gpu.set_memory(bytes);
    }

    /// Runs `work`, once more on a fresh device if this one is lost. `work` is told how many were lost
    /// before: what it left on those is gone.
    pub fn run<T>(
        &self,
        mut work: impl FnMut(&Gpu, u64) -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let State { gpu, lost } = self.state().clone();
        match work(&gpu, lost) {
            Err(GpuError::Lost(reason)) => {
                let State { gpu, lost } = self.replace(lost, &reason)?;
                work(&gpu, lost)
            }
            other => other,
        }
    }

    /// A fresh device, unless another user of this one was faster.
    fn replace(&self, lost: u64, reason: &str) -> Result<State, GpuError> {
        let mut state = self.state();
        if state.lost == lost {
            tracing::warn!("the GPU was lost, trying a fresh device: {reason}");
            let mut fresh = Gpu::open(Some(state.gpu.record().name.as_str()))?;
            fresh.set_memory(state.gpu.memory());
            *state = State { gpu: fresh, lost: lost + 1 };
        }
        Ok(state.clone())
    }
}
