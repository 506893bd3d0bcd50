//! Why a build goes without a bundler, for whoever reads its log.

use super::{Kept, Pool, Slot, Spot};

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// None are kept on this server.
    Off,
    /// None could be made, and why.
    Failed(String),
    /// One is only just starting.
    Starting,
    /// It works for another build.
    Busy,
    /// None was asked for yet, or the last one has gone.
    None,
}

impl<B: Kept> Pool<B> {
    /// Why there is no bundler of `spot` for a build of what `key` stands for.
    #[must_use]
    pub fn absence(&self, spot: Spot, key: &str) -> Absence {
        if self.inner.limits.count == 0 {
            return Absence::Off;
        }
        let table = self.inner.table();
        match (table.slots.get(&spot), table.failures.why(spot, key)) {
            (Some(Slot::Starting), _) => Absence::Starting,
            (Some(Slot::Idle(..) | Slot::Busy | Slot::Doomed), _) => Absence::Busy,
            (None, Some(why)) => Absence::Failed(why.to_owned()),
            (None, None) => Absence::None,
        }
    }
}
