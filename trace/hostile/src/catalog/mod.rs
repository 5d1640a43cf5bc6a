//! All vectors, a file for each plane or part of one.

mod bundle;
mod egress;
mod sandbox;
mod shared;
mod sql;
mod storage;
mod token;

use crate::vector::Vector;

/// Every vector, plane by plane.
pub fn all() -> Vec<Vector> {
    [
        shared::VECTORS,
        sandbox::VECTORS,
        bundle::VECTORS,
        token::VECTORS,
        sql::VECTORS,
        storage::VECTORS,
        egress::VECTORS,
    ]
    .concat()
}
