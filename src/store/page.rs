//! Pages of a listing.

use data_encoding::BASE64URL_NOPAD;

use crate::clock::Timestamp;
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
            .map_err(|_| foreign_cursor())
    }

    /// The place of a record in a listing by number.
    pub(super) fn at_number(number: i64) -> Self {
        Self(number.to_be_bytes().to_vec())
    }

    pub(super) fn number(&self) -> Result<i64> {
        let bytes = self.0.as_slice().try_into().map_err(|_| foreign_cursor())?;
        Ok(i64::from_be_bytes(bytes))
    }

    /// The place of a record in a listing by time and id.
    pub(super) fn at_time(time: Timestamp, id: &str) -> Self {
        let mut bytes = time.as_millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(id.as_bytes());
        Self(bytes)
    }

    pub(super) fn time(&self) -> Result<(Timestamp, &str)> {
        let (time, id) = self.0.split_first_chunk().ok_or_else(foreign_cursor)?;
        let id = std::str::from_utf8(id).map_err(|_| foreign_cursor())?;
        Ok((Timestamp::from_millis(i64::from_be_bytes(*time)), id))
    }
}

fn foreign_cursor() -> Error {
    Error::new(
        Code::BadRequest,
        "the cursor is not one that this listing gave out; begin without one",
    )
}

/// A request for one page.
#[derive(Clone, Debug)]
pub struct Page {
    /// 1 to [`Page::MAX`].
    pub limit: usize,
    pub cursor: Option<Cursor>,
}

impl Page {
    /// Items of a page at the most.
    pub const MAX: usize = 200;
    /// Items of a page where nobody says how many.
    pub const DEFAULT: usize = 50;

    /// The page from which a listing begins.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            cursor: None,
        }
    }

    /// Takes one page from `rest`, the listing from this page's start on, and
    /// looks one item further to know whether it ends here.
    pub(super) fn fill<T, E>(
        &self,
        rest: impl Iterator<Item = Result<T, E>>,
        cursor_at: impl Fn(&T) -> Cursor,
    ) -> Result<Paged<T>, E> {
        let limit = self.limit.clamp(1, Self::MAX);
        let mut items = rest.take(limit + 1).collect::<Result<Vec<T>, E>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor_at);
        Ok(Paged { items, next })
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
    /// A page of a list that is whole in memory.
    ///
    /// # Errors
    /// `BAD_REQUEST` for the cursor of another listing.
    pub fn of(items: Vec<T>, page: &Page) -> Result<Self> {
        let start = match &page.cursor {
            None => 0,
            Some(cursor) => usize::try_from(cursor.number()?).map_err(|_| foreign_cursor())?,
        };
        let end = start.saturating_add(page.limit);
        let next = (items.len() > end)
            .then(|| i64::try_from(end).ok().map(Cursor::at_number))
            .flatten();
        let items = items.into_iter().skip(start).take(page.limit).collect();
        Ok(Self { items, next })
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}
