//! The redb adapter: the truth in one file.
