//! The sled adapter.
