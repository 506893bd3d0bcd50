//! HiveSync: previews of React Native, Expo and web projects from one binary.
//!
//! The map of the modules, and who may use whom:
//!
//! ```text
//! domain, clock, error, disk   plain values and what they mean; used by everyone
//! config, data_dir, lifecycle  what the operator decides; where files lie; the stop
//! store, ephemeral, blobs      the ports, their adapters in the same folder
//! net                          which addresses may be spoken to, and how
//! git, bundle                  sources in, bundles out
//! services                     the business rules, over the ports
//! jobs, http                   the two ways in: the queue and the network
//! worker, cli                  the processes
//! app                          wires adapters into ports
//! ```
//!
//! Two edges look upwards and are none: services, jobs and http name
//! [`app::App`] as the state that they are given, and services name the types
//! of the jobs that they enqueue. Only `app` names an adapter. Any other edge
//! that goes up fails `tests/layering.rs`.
//!
//! `stop_points` is for tests, and no release build has it.

/// Marks a place at which the crash tests may end or hold the process; nothing
/// in a release build.
macro_rules! stop_point {
    ($point:ident) => {
        #[cfg(debug_assertions)]
        $crate::stop_points::reach($crate::stop_points::Point::$point);
    };
}

pub mod app;
pub mod blobs;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod disk;
pub mod domain;
pub mod ephemeral;
pub mod error;
pub mod git;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod net;
pub mod services;
#[cfg(debug_assertions)]
pub mod stop_points;
pub mod store;
pub mod worker;
