//! What a pool hands out: a bundler for one build, and a place for a new one.
//! Both find their way back however the build or the start ends.

use std::ops::{Deref, DerefMut};

use super::{Kept, Pool, Spot};
use crate::bundle::warm::bundler::Bundler;
use crate::clock::Timestamp;

/// A bundler that works for one build. Dropped without [`Lease::keep`], it is
/// ended: whoever did not come to the end of a build has left it half done.
pub struct Lease<B: Kept = Bundler> {
    pool: Pool<B>,
    spot: Spot,
    bundler: Option<Box<B>>,
}

impl<B: Kept> Lease<B> {
    pub(super) fn of(pool: &Pool<B>, spot: Spot, bundler: Box<B>) -> Self {
        Self {
            pool: pool.clone(),
            spot,
            bundler: Some(bundler),
        }
    }

    /// Gives it back for the next build.
    pub fn keep(mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.hush();
            self.pool.inner.put(self.spot, bundler);
        }
    }
}

impl<B: Kept> Deref for Lease<B> {
    type Target = B;

    fn deref(&self) -> &B {
        let bundler = self.bundler.as_deref();
        bundler.unwrap_or_else(|| unreachable!("only taken when the lease ends"))
    }
}

impl<B: Kept> DerefMut for Lease<B> {
    fn deref_mut(&mut self) -> &mut B {
        let bundler = self.bundler.as_deref_mut();
        bundler.unwrap_or_else(|| unreachable!("only taken when the lease ends"))
    }
}

impl<B: Kept> Drop for Lease<B> {
    fn drop(&mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.hush();
            self.pool.inner.end(*bundler);
            self.pool.inner.clear(self.spot);
        }
    }
}

/// A place in the pool for a bundler that is starting. Dropped, it is free.
pub struct Place<B: Kept = Bundler> {
    pool: Pool<B>,
    spot: Spot,
    filled: bool,
}

impl<B: Kept> Place<B> {
    pub(super) fn of(pool: &Pool<B>, spot: Spot) -> Self {
        Self {
            pool: pool.clone(),
            spot,
            filled: false,
        }
    }

    /// Puts the bundler that has come up into its place.
    pub fn fill(mut self, bundler: B) {
        self.filled = true;
        self.pool.inner.table().unfit.remove(&self.spot);
        self.pool.inner.put(self.spot, Box::new(bundler));
    }

    /// No bundler could be made for `key`.
    pub fn unfit(self, key: &str, why: String, now: Timestamp) {
        self.pool.inner.table().mark(self.spot, key, why, now);
    }
}

impl<B: Kept> Drop for Place<B> {
    fn drop(&mut self) {
        if !self.filled {
            self.pool.inner.clear(self.spot);
        }
    }
}
