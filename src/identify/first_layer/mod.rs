//! The directions of the first layer.

pub(crate) mod hyperplanes;
pub(crate) mod lines;
pub(crate) mod nearest;
pub(crate) mod place;
pub(crate) mod saturator;
pub(crate) mod tolerances;
pub(crate) mod unit;
pub(crate) mod units;
pub(crate) mod wide_stack;
pub(crate) mod widths;
