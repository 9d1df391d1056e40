//! The pipelines that stay near a point: for black boxes that may be asked in a small region only.
//!
//! Near a point, first-layer vectors a_i and entangled vectors v_l = A G b_l come together as rank-one
//! directions; the directions are found, attributed to their layers, and the network follows.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe, reduce | accuracy of f in the domain; its m0 dimensions | differences of values; gradients |
//! | directions | a_i and v_l | by jets: the third derivatives at a point are a sum of m0 + m1 cubes (`jet`); or as published, in the whitened span of Hessians (`hessians`) |
//! | attribution | which is which | the gradient is made of the v_l alone; far out, where that may be asked, only an a_i is parallel to it and survives in the Hessians (`attribution`) |
//! | base point | exactness | a steep gradient, then towards the inflection of either layer (`inflection`); mixed terms of the directions so far are taken out (`directions`, `mixed`) |
//! | scales | all scalars | ratios of the weights in the jet, then a fit (`scales`) |
//! | refine | all parameters | as in the wide pipeline, within the domain |
//! | repair | units that leave no trace in the jet | one more is fitted, then a superfluous one taken away (`repair`) |
//! | certify | | as in the wide pipeline, within the domain |

mod attribution;
mod directions;
mod fitted;
mod hessians;
mod inflection;
mod jet;
mod mixed;
mod outputs;
mod partition;
pub(crate) mod pipeline;
mod repair;
mod scales;
mod spare;
mod tolerances;
