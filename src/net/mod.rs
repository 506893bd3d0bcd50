//! Where this server may be sent by its users and by the code that it builds:
//! which addresses are open to them, and how names become addresses.

pub mod address;
pub mod resolve;
