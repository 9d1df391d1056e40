//! All parameters by blocks, at a cost linear in their number: points are chosen so that few of them show at once.
//!
//! Where every unit of the first layer is saturated f depends on the second layer alone, whatever the errors of slopes
//! and shifts; where one unit is in its transition, on that unit alone besides. So the Jacobian is block triangular:
//! first the second layer, then the units one by one, and no matrix is larger than the larger of the blocks. What
//! errors of the values leave open comes from the same blocks, and from what the second layer's do to each unit.

mod core;
mod fit;
pub(crate) mod tolerances;
mod uncertainty;
mod unit;

pub(crate) use fit::{Blocks, fit};
