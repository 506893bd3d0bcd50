//! Pages of a listing: `?limit=&cursor=` in, `{"<plural>": [...],
//! "next_cursor": ...}` out.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::Query;
use crate::error::{Error, Result};
use crate::http::error::ApiError;
use crate::store::{Cursor, Page};

/// The parameters of every listing, for `params(PagingParams)`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PagingParams {
    /// How many entries, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Takes [`PagingParams`]: 422 for a limit out of range, 400 for a cursor that
/// no listing has given out.
#[derive(Clone, Debug)]
pub struct Paging(pub Page);

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(params) = Query::<PagingParams>::from_request_parts(parts, state).await?;
        let limit = params.limit.unwrap_or(Page::DEFAULT);
        if !(1..=Page::MAX).contains(&limit) {
            return Err(
                Error::invalid("limit", format!("limit must be from 1 to {}", Page::MAX)).into(),
            );
        }
        let cursor = params.cursor.as_deref().map(Cursor::decode).transpose()?;
        Ok(Paging(Page { limit, cursor }))
    }
}

/// Declares the answer of a listing: `listing!(ProjectList, projects:
/// ProjectDto)` is a struct with `projects` and `next_cursor`, made from a
/// [`Paged<ProjectDto>`](crate::store::Paged).
#[macro_export]
macro_rules! listing {
    ($name:ident, $plural:ident: $item:ty) => {
        #[doc = concat!("A page of ", stringify!($plural), ".")]
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            pub $plural: Vec<$item>,
            /// Where the next page begins; null on the last.
            pub next_cursor: Option<String>,
        }

        impl From<$crate::store::Paged<$item>> for $name {
            fn from(page: $crate::store::Paged<$item>) -> Self {
                Self {
                    $plural: page.items,
                    next_cursor: page.next.map(|cursor| cursor.encode()),
                }
            }
        }
    };
}
