//! All parameters to the accuracy of the values.

pub(crate) mod active;
pub(crate) mod grow;
pub(crate) mod growing;
pub(crate) mod projected;
pub(crate) mod refine;
pub(crate) mod sample;
pub(crate) mod tolerances;
