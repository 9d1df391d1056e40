//! The GPU back end: compute shaders that evaluate stencils and assemble Hessian stacks.
//!
//! One kernel a file: `shaders/x.wgsl`, its host side `gpu/x.rs`, and in the latter the twin, a plain
//! function that computes the same thing on the CPU and that the parity tests compare it with.
//!
//! The stencil kernels never subtract two values of f. They add up the *changes* that a displacement
//! makes in each unit, split into an odd and an even part, and these have closed forms without
//! cancellation (see [`increments`]). In exact arithmetic it is the same stencil; in floating point
//! the Hessian keeps a relative error of a few roundings whatever the step, so f32 serves.
//!
//! * [`device`]: adapters, the device, its loss, buffers and dispatches.
//! * [`shader`]: a kernel's source from its file, the shared code and the precision.
//! * [`increments`]: what the stencil kernels need to know of a network.
//! * [`stencil`], [`pace`]: what stencil kernels share; dispatches sized by time, two under way.
//! * [`forward`], [`forward_double`], [`gradient`], [`hessian_stack`], [`normalise`], [`gram`]: the kernels.
//! * [`stack`]: a Hessian stack that stays on the device, of any size; [`subspace`]: a space that its Hessians
//!   span, and the subspace power method in it, by [`ascent`] and [`gram`].
//! * [`oracle`]: a network as an oracle whose stencils run on the device; [`worker`]: the device behind it,
//!   replaced when it is lost.
//! * [`self_test`]: whether an adapter computes what it should.

// Plumbing that the program and the parity tests reach into, in wgpu's terms: out of the documentation.
#[doc(hidden)]
pub mod ascent;
#[doc(hidden)]
pub mod device;
#[doc(hidden)]
pub mod forward;
#[doc(hidden)]
pub mod forward_double;
#[doc(hidden)]
pub mod gradient;
#[doc(hidden)]
pub mod gram;
#[doc(hidden)]
pub mod hessian_stack;
#[doc(hidden)]
pub mod increments;
#[doc(hidden)]
pub mod normalise;
pub mod oracle;
mod oracle_stack;
#[doc(hidden)]
pub mod pace;
#[doc(hidden)]
pub mod self_test;
#[doc(hidden)]
pub mod shader;
#[doc(hidden)]
pub mod stack;
#[doc(hidden)]
pub mod stencil;
#[doc(hidden)]
pub mod subspace;
#[doc(hidden)]
pub mod worker;

pub use crate::oracle::{BackendRecord, Precision};
pub use device::{AdapterRecord, Gpu, GpuError, adapters};
pub use oracle::GpuOracle;
pub use stack::Stack;

/// The two kinds of number that a kernel can be compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Real {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

impl Real {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Real::F32 => 4,
            Real::F64 => 8,
        }
    }

    /// Unit roundoff.
    pub fn epsilon(self) -> f64 {
        match self {
            Real::F32 => 2f64.powi(-24),
            Real::F64 => 2f64.powi(-53),
        }
    }

    /// Numbers as a buffer holds them.
    pub fn encode(self, numbers: impl IntoIterator<Item = f64>) -> Vec<u8> {
        match self {
            Real::F32 => numbers.into_iter().flat_map(|x| (x as f32).to_le_bytes()).collect(),
            Real::F64 => numbers.into_iter().flat_map(f64::to_le_bytes).collect(),
        }
    }

    /// The inverse of [`encode`](Self::encode), appended to `out`.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<f64>) {
        match self {
            Real::F32 => out
                .extend(bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)))),
            Real::F64 => {
                out.extend(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)))
            }
        }
    }
}
