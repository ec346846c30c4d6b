//! TODO

pub mod lambda;
