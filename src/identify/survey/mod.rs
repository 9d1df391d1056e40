//! What f looks like: its accuracy and scale, its range, the coordinates to work in, how it behaves far out.

pub(crate) mod clipping;
pub(crate) mod far;
pub(crate) mod frame;
pub(crate) mod landscape;
pub(crate) mod line;
pub(crate) mod probe;
pub(crate) mod reduce;
pub(crate) mod step;
pub(crate) mod tolerances;
