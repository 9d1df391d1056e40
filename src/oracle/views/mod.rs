//! Black boxes seen through another: about a centre, within a domain, averaged.

pub(crate) mod averaged;
pub(crate) mod centred;
pub(crate) mod domain;
