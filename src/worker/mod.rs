//! The loop that claims jobs, keeps their leases and runs them.
