//! The registry proxy: what an install reaches, what it does not, and what it
//! never learns.

mod fake;
mod gate;
mod installs;
mod walls;
