//! Black boxes seen through another: on a subspace, about a centre, within a domain, averaged.

pub(crate) mod averaged;
pub(crate) mod centred;
pub(crate) mod domain;
pub(crate) mod restricted;
