//! The adapter over `object_store`.
