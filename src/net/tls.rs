//! The one TLS provider of the process: ring.

use rustls::crypto::ring::default_provider;

/// Tells rustls which provider its clients have; `reqwest` asks for it. To be
/// called before a client is made, any number of times.
pub fn choose_provider() {
    // An error means that it was chosen already.
    let _ = default_provider().install_default();
}
