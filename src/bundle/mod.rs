//! From a checkout to a bundle.
//!
//! ```text
//! detect         what kind of project it is, and how it is built
//! deps           its dependencies, from the cache or the registry
//! expo, react_native, web, static_site
//!                one each: runs the bundler and says what the bundle holds
//! package        the zip
//! bounds         how much of what was built goes into it
//! workbench      the folders of one build, and its cell in the sandbox
//! stop           what may end a build before it is done
//! transform, file_maps
//!                what the bundlers keep between builds of a project
//! hermes         finished JavaScript as Hermes bytecode
//! warm           bundlers that stay, for the next build of a project
//! json           strangers' JSON, within bounds
//! sandbox        the wall around every command of a build
//! registry       the one way out of an install, to package registries
//! npmrc          what the operator says about them
//! log, redact    the build log
//! trouble        which of its lines tell why a build has failed
//! ```

pub mod bounds;
pub mod deps;
pub mod detect;
pub mod expo;
mod file_maps;
pub mod hermes;
pub mod json;
pub mod log;
pub mod npmrc;
pub mod package;
pub mod product;
pub mod react_native;
pub mod redact;
pub mod registry;
pub mod sandbox;
pub mod static_site;
pub mod stop;
pub mod transform;
pub mod tree;
pub mod trouble;
pub mod warm;
pub mod web;
pub mod workbench;
