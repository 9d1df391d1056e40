//! Black boxes seen through another: on a subspace, about a centre, within a domain, averaged, without the link, shared among ranks.

pub(crate) mod averaged;
pub(crate) mod centred;
pub(crate) mod domain;
pub(crate) mod linked;
pub(crate) mod restricted;
pub(crate) mod shared;
