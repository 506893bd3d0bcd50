//! One representation as an answer: conditions (RFC 9110, section 13) and a
//! byte range (section 14).

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use tokio::task::JoinHandle;

use crate::blobs::extent::{Extent, Extents, Reader};
use crate::error::{Code, Context, Error, Result};
use crate::http::error::ApiError;

/// Bytes of a piece on its way from the disk to the network: few enough to be in
/// the processor's cache still when the network takes them.
const PIECE: usize = 256 * 1024;

/// What of a representation the client is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// It has this version already.
    NotModified,
    Whole,
    Part(Range<u64>),
    /// The range begins after the end.
    Unsatisfiable,
}

/// Reads the request's conditions for a representation of `size` bytes with
/// the strong entity tag `etag` (in its quotes).
///
/// A list of several ranges is answered with the whole, as section 14.2
/// allows.
#[must_use]
pub fn select(method: &Method, headers: &HeaderMap, etag: &str, size: u64) -> Selection {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    if let Some(known) = text(IF_NONE_MATCH) {
        let same = |tag: &str| matches!(tag.trim(), "*") || weak(tag.trim()) == etag;
        if known.split(',').any(same) {
            return Selection::NotModified;
        }
    }
    if method != Method::GET || text(IF_RANGE).is_some_and(|tag| tag.trim() != etag) {
        return Selection::Whole;
    }
    match text(RANGE).and_then(|range| parse_range(range, size)) {
        None => Selection::Whole,
        Some(range) if range.is_empty() => Selection::Unsatisfiable,
        Some(range) => Selection::Part(range),
    }
}

/// The tag without its mark of weakness.
fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n`. `None` for anything else, which is
/// ignored; empty when nothing of it lies within the size.
fn parse_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    // Numbers beyond u64 are beyond any size too.
    let number = |s: &str| s.parse::<u64>().unwrap_or(u64::MAX);
    match (first.trim(), last.trim()) {
        ("", n) if digits(n) => Some(size.saturating_sub(number(n))..size),
        (a, "") if digits(a) => Some(number(a)..size),
        (a, b) if digits(a) && digits(b) && number(a) <= number(b) => {
            Some(number(a)..number(b).saturating_add(1).min(size))
        }
        _ => None,
    }
    .map(|range| {
        if range.start >= range.end {
            0..0
        } else {
            range
        }
    })
}

/// The answer to a selection; `body` is asked for its bytes only when some are
/// sent. Content type and caching are the caller's to add.
pub async fn respond<F>(
    method: &Method,
    selection: Selection,
    etag: &str,
    size: u64,
    body: impl FnOnce(Range<u64>) -> F,
) -> Result<Response>
where
    F: Future<Output = Result<Body>>,
{
    let (status, range) = match selection {
        Selection::NotModified => (StatusCode::NOT_MODIFIED, 0..0),
        Selection::Whole => (StatusCode::OK, 0..size),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Selection::Unsatisfiable => return Ok(unsatisfiable(size)),
    };
    let sends = method != Method::HEAD && !range.is_empty();
    let body = if sends {
        body(range.clone()).await?
    } else {
        Body::empty()
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(ETAG, etag);
    }
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{size}", range.start);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

fn unsatisfiable(size: u64) -> Response {
    let error = Error::new(
        Code::RangeNotSatisfiable,
        format!("the range lies beyond the {size} bytes that there are"),
    );
    let mut response = ApiError(error).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}

/// The bytes of `range` from a local file.
pub fn stream(file: File, range: Range<u64>) -> Body {
    let file = Arc::new(file);
    extents([Extent { file, range }].into_iter().collect())
}

/// Bytes from local files. What the system's cache has is sent as it is read;
/// the rest is read where it may block, the next piece while the last is on its
/// way.
pub fn extents(bytes: Extents) -> Body {
    let mut reader = bytes.reader();
    match cached_piece(&mut reader) {
        Some(whole) if reader.left() == 0 => Body::from(whole),
        first => Body::from_stream(pieces(first, reader)),
    }
}

/// How the next piece comes.
enum Next {
    Read(Reader),
    /// It is being read by a thread that may block.
    Awaited(JoinHandle<Result<(Reader, Bytes)>>),
}

/// The rest after `first`.
fn pieces(first: Option<Bytes>, reader: Reader) -> impl Stream<Item = Result<Bytes>> {
    let first = stream::iter(first.map(Ok));
    first.chain(stream::try_unfold(Next::Read(reader), next_piece))
}

async fn next_piece(next: Next) -> Result<Option<(Bytes, Next)>> {
    let reading = match next {
        Next::Read(reader) if reader.left() == 0 => return Ok(None),
        Next::Read(mut reader) => match cached_piece(&mut reader) {
            Some(piece) => return Ok(Some((piece, Next::Read(reader)))),
            None => read_apart(reader),
        },
        Next::Awaited(reading) => reading,
    };
    let (reader, piece) = reading.await.or_internal("read a file")??;
    let next = if reader.left() > 0 {
        Next::Awaited(read_apart(reader))
    } else {
        Next::Read(reader)
    };
    Ok(Some((piece, next)))
}

/// The next piece, or as much of it as can be had at once; `None` for nothing.
fn cached_piece(reader: &mut Reader) -> Option<Bytes> {
    let mut piece = vec![0; length_of_next(reader)];
    let filled = reader.fill_cached(&mut piece);
    piece.truncate(filled);
    (filled > 0).then(|| Bytes::from(piece))
}

fn read_apart(mut reader: Reader) -> JoinHandle<Result<(Reader, Bytes)>> {
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; length_of_next(&reader)];
        // A file that became shorter is an error: the promised length cannot be
        // kept, so the connection is cut instead.
        let filled = reader.fill(&mut piece).or_internal("read a file")?;
        piece.truncate(filled);
        Ok((reader, Bytes::from(piece)))
    })
}

fn length_of_next(reader: &Reader) -> usize {
    usize::try_from(reader.left()).map_or(PIECE, |left| left.min(PIECE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(headers: &[(axum::http::HeaderName, &str)]) -> Selection {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        select(&Method::GET, &map, "\"tag\"", 100)
    }

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (text, expected) in [
            ("bytes=0-9", Selection::Part(0..10)),
            ("bytes=90-", Selection::Part(90..100)),
            ("bytes=-10", Selection::Part(90..100)),
            ("bytes=-1000", Selection::Part(0..100)),
            ("bytes=95-1000", Selection::Part(95..100)),
            ("Bytes = 1-1", Selection::Part(1..2)),
            ("bytes=99-99999999999999999999999", Selection::Part(99..100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=0-1,5-6", Selection::Whole),
            ("bytes=9-1", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("lines=0-1", Selection::Whole),
        ] {
            assert_eq!(chosen(&[(RANGE, text)]), expected, "{text}");
        }
    }

    #[test]
    fn conditions_come_before_the_range() {
        let part = Selection::Part(0..10);
        for (condition, value, expected) in [
            (IF_NONE_MATCH, "\"tag\"", Selection::NotModified),
            (IF_NONE_MATCH, "W/\"tag\"", Selection::NotModified),
            (IF_NONE_MATCH, "\"other\", \"tag\"", Selection::NotModified),
            (IF_NONE_MATCH, "*", Selection::NotModified),
            (IF_NONE_MATCH, "\"other\"", part.clone()),
            (IF_RANGE, "\"tag\"", part),
            (IF_RANGE, "W/\"tag\"", Selection::Whole),
            (IF_RANGE, "\"other\"", Selection::Whole),
        ] {
            let headers = [(condition.clone(), value), (RANGE, "bytes=0-9")];
            assert_eq!(chosen(&headers), expected, "{condition}: {value}");
        }
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        let selection = select(&Method::GET, &headers, "\"tag\"", 0);
        assert_eq!(selection, Selection::Unsatisfiable);
    }
}
