//! From a checkout to a bundle.

pub mod sandbox;
