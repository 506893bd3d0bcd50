//! What is held of the pool: a bundler for the length of a build, and a place
//! for one that is starting.

use std::ops::{Deref, DerefMut};

use super::{Bundlers, Spot};
use crate::bundle::warm::bundler::Bundler;

/// A bundler that works for one build. Dropped without [`Lease::keep`], it is
/// ended: whoever did not come to the end of a build has left it half done.
pub struct Lease {
    pub(super) pool: Bundlers,
    pub(super) spot: Spot,
    /// `None` once the lease has ended.
    pub(super) bundler: Option<Box<Bundler>>,
}

impl Lease {
    /// Gives it back for the next build.
    pub fn keep(mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.speak_to(None);
            self.pool.inner.put(self.spot, bundler);
        }
    }
}

impl Deref for Lease {
    type Target = Bundler;

    fn deref(&self) -> &Bundler {
        let bundler = self.bundler.as_deref();
        bundler.unwrap_or_else(|| unreachable!("only taken when the lease ends"))
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Bundler {
        let bundler = self.bundler.as_deref_mut();
        bundler.unwrap_or_else(|| unreachable!("only taken when the lease ends"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(bundler) = self.bundler.take() {
            bundler.speak_to(None);
            self.pool.inner.end(bundler);
            self.pool.inner.clear(self.spot);
        }
    }
}

/// A place in the pool for a bundler that is starting. Dropped, it is free.
pub struct Place {
    pub(super) pool: Bundlers,
    pub(super) spot: Spot,
    pub(super) number: u64,
    pub(super) filled: bool,
}

impl Place {
    /// Of no other place of this process: for the names of folders.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Puts the bundler there, ready for its first build.
    pub fn fill(mut self, bundler: Bundler) {
        self.filled = true;
        self.pool.inner.put(self.spot, Box::new(bundler));
    }

    /// No bundler can be made for `key`.
    pub fn unfit(self, key: &str) {
        let mut table = self.pool.inner.table();
        table.unfit.insert(self.spot, key.to_owned());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.filled {
            self.pool.inner.clear(self.spot);
        }
    }
}
