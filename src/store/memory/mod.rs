//! The memory adapter: the oracle of the conformance tests.
