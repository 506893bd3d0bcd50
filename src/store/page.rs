//! Pages of a listing.

use data_encoding::BASE64URL_NOPAD;

use crate::error::{Code, Error, Result};

/// Where a listing goes on: the adapter's own key bytes, opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl Cursor {
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// # Errors
    /// `BAD_REQUEST` for text that no listing has given out.
    pub fn decode(text: &str) -> Result<Self> {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| {
                Error::new(
                    Code::BadRequest,
                    "the cursor is not one that a listing gave out",
                )
            })
    }
}

/// A request for one page.
#[derive(Clone, Debug)]
pub struct Page {
    /// 1 to [`Page::MAX`].
    pub limit: usize,
    pub cursor: Option<Cursor>,
}

impl Page {
    pub const MAX: usize = 200;
    pub const DEFAULT: usize = 50;

    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            cursor: None,
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::first(Self::DEFAULT)
    }
}

/// One page, and where the next begins (`None` after the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

impl<T> Paged<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}
