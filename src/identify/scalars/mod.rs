//! Shifts, scales and output weights; which activation.

pub(crate) mod bundle;
pub(crate) mod descend;
pub(crate) mod family;
pub(crate) mod reading;
pub(crate) mod scales;
mod tolerances;
