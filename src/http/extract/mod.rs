//! What handlers take from a request; every rejection has the API's error
//! shape.

pub mod caller;
pub mod client;
pub mod job;
pub mod json;
pub mod paging;
pub mod params;

pub use caller::{Bearer, Caller};
pub use client::{ClientAddr, Crowded, Peer, PublicUrl, phone_url, request_host};
pub use job::{AccessParam, JobReader};
pub use json::Json;
pub use paging::{Paging, PagingParams};
pub use params::{Path, Query};

use crate::error::Error;

/// The field that serde's message is about: the path, or for a missing field
/// the path and the name that stands in the message.
fn field_of(path: &str, message: &str) -> String {
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let path = if path == "." { "" } else { path };
    match (path, missing) {
        ("", Some(name)) => name.to_owned(),
        (path, Some(name)) => format!("{path}.{name}"),
        (path, None) => path.to_owned(),
    }
}

/// `INVALID_INPUT` from serde's path and message.
fn invalid_field(path: &str, message: &str) -> Error {
    let field = field_of(path, message);
    // The position in the text helps nobody who has the field's name.
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(text, _)| text);
    if field.is_empty() {
        Error::invalid("", message.to_owned())
    } else {
        Error::invalid(&field, format!("{field}: {message}"))
    }
}
