//! What must be refused: each case with a clear error, nothing written and
//! nobody let in.

mod archives;
#[path = "../common/sources.rs"]
mod sources;
