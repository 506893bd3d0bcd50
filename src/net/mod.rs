//! Where this server may be sent by its users and by the code that it builds:
//! which addresses are open to them, how names become addresses, and by what TLS
//! is spoken.

pub mod address;
pub mod resolve;
pub mod tls;
