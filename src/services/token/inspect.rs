//! The payload inspector: what a token's first part says, for operators.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A payload laid open for a person, without its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecodedPayload {
    /// The JSON object as it was found, whatever its fields.
    pub payload: serde_json::Map<String, Value>,
    /// `None` when `ts` or `exp` is missing or no integer.
    pub issued_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub expired: Option<bool>,
}

/// Reads the payload part of a token. Nothing is verified: whoever has only
/// the payload cannot ask for a build with it.
///
/// # Errors
/// `INVALID_INPUT` for a full token (anything with a `.`), so that nobody gets
/// into the habit of pasting one, and for what is not base64 of a JSON object.
pub fn decode_payload(text: &str, now: Timestamp) -> Result<DecodedPayload> {
    let text = text.trim();
    if text.contains('.') {
        return Err(Error::invalid(
            "payload",
            "this is a full token; paste only the part before the `.`, and treat the token as leaked",
        ));
    }
    let bytes = [BASE64URL_NOPAD, BASE64URL, BASE64_NOPAD, BASE64]
        .iter()
        .find_map(|encoding| encoding.decode(text.as_bytes()).ok())
        .ok_or_else(|| Error::invalid("payload", "the payload is not base64"))?;
    let payload: serde_json::Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|_| Error::invalid("payload", "the payload is not a JSON object"))?;
    let time = |field: &str| {
        payload
            .get(field)
            .and_then(Value::as_i64)
            .map(Timestamp::from_secs)
    };
    let (issued_at, expires_at) = (time("ts"), time("exp"));
    Ok(DecodedPayload {
        expired: expires_at.map(|at| at <= now),
        issued_at,
        expires_at,
        payload,
    })
}
