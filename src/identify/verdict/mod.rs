//! Fresh queries, what they leave open, and how a run ends.

pub(crate) mod certify;
pub(crate) mod outcome;
pub(crate) mod outputs;
pub mod remedy;
pub mod solution;
pub(crate) mod tolerances;
pub(crate) mod uncertainty;
