//! Hermes, the JavaScript engine of most React Native apps: compiling a
//! finished bundle to the bytecode that it runs without parsing.
//!
//! ```text
//! engine       whether a project uses it
//! compiler     the compiler that the project has installed
//! compile      running that in a cell, and what came of it
//! bytecode     the header of what it writes
//! ```
//!
//! The compiler is a part of the project's dependencies, as strange as the rest
//! of them. It sees the JavaScript and nothing else of the project, and what it
//! has written is believed only as far as its header can be checked: that it is
//! bytecode, of the format's version that it names, whole, and made of this
//! JavaScript.

mod bytecode;
mod compile;
mod compiler;
mod engine;

pub use compile::{Bench, Source, describe, part_name};
pub use compiler::{Compiler, Missing};
pub use engine::is_used;
