//! What a pool hands out: a bundler for one build, and a place for a new one.
//! Both find their way back however the build or the start ends.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Kept, Pool, Spot};
use crate::bundle::warm::bundler::Bundler;

/// A bundler that works for one build. Dropped, because the build was cancelled
/// or gave way, it comes to the end of what it was ordered by itself and then
/// waits for the next build ([`Kept::settle`]).
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

    /// Gives it back for the next build. What went wrong with those before it
    /// is forgotten only now: one may well come up and not live through a build.
    pub fn keep(mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.hush();
            if self.pool.inner.put(self.spot, bundler) {
                self.pool.inner.table().failures.forget(self.spot);
            }
        }
    }

    /// Ends it: it is of no more use.
    pub fn end(mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.hush();
            self.pool.inner.end(*bundler);
            self.pool.inner.clear(self.spot);
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
            self.pool.settle(self.spot, bundler);
        }
    }
}

impl<B: Kept> Pool<B> {
    /// Lets a bundler that was left in the middle of a build come to its end. Its
    /// spot is taken meanwhile: whoever comes next waits for it.
    fn settle(&self, spot: Spot, mut bundler: Box<B>) {
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(async move {
            let settled = tokio::select! {
                settled = bundler.settle() => settled,
                () = inner.closing.cancelled() => false,
            };
            if settled {
                inner.put(spot, bundler);
            } else {
                inner.clear(spot);
                bundler.end(&inner.closing).await;
            }
        });
    }
}

/// A place in the pool for a bundler that is starting. Dropped, it is free.
pub struct Place<B: Kept = Bundler> {
    pool: Pool<B>,
    spot: Spot,
    key: String,
    filled: bool,
}

impl<B: Kept> Place<B> {
    pub(super) fn of(pool: &Pool<B>, spot: Spot, key: &str) -> Self {
        Self {
            pool: pool.clone(),
            spot,
            key: key.to_owned(),
            filled: false,
        }
    }

    /// Puts the bundler that has come up into its place.
    pub fn fill(mut self, bundler: B) {
        self.filled = true;
        self.pool.inner.put(self.spot, Box::new(bundler));
    }

    /// No bundler could be made; `why` is for whoever reads a build's log.
    pub fn fail(self, why: String) {
        let inner = &self.pool.inner;
        let now = inner.clock.now();
        inner.table().failures.add(self.spot, &self.key, why, now);
    }
}

impl<B: Kept> Drop for Place<B> {
    fn drop(&mut self) {
        if !self.filled {
            self.pool.inner.clear(self.spot);
        }
    }
}
