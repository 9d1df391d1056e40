//! The second layer, from gradients and Hessians, or from values alone.

pub(crate) mod factors;
pub(crate) mod grown;
pub(crate) mod held;
pub(crate) mod lesson;
pub(crate) mod peel;
pub(crate) mod ridge;
pub(crate) mod rows;
pub(crate) mod saturated;
pub(crate) mod sight;
pub(crate) mod space;
pub(crate) mod span;
pub(crate) mod spanned;
pub(crate) mod split;
pub(crate) mod tolerances;
pub(crate) mod weights;
pub(crate) mod whole;
