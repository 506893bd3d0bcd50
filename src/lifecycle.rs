//! Starting, stopping, and telling the service manager.
