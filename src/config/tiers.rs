//! The profile and its engines: which one was chosen for each tier, which
//! combinations cannot work, and which this build has.

use crate::error::{Code, Error, Result};

/// `HIVESYNC_PROFILE`: which engines the tiers have unless they are chosen alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One process and one data folder.
    Embedded,
    /// Several processes on PostgreSQL, Redis and S3.
    Standard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreTier {
    Redb,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueTier {
    Redb,
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EphemeralTier {
    Sled,
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobsTier {
    Local,
    S3,
}

/// The engine of each tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiers {
    pub profile: Profile,
    pub store: StoreTier,
    pub queue: QueueTier,
    pub ephemeral: EphemeralTier,
    pub blobs: BlobsTier,
}

impl Profile {
    /// The names of its engines: store, queue, ephemeral, blobs.
    pub(super) fn engines(self) -> [&'static str; 4] {
        match self {
            Profile::Embedded => ["redb", "redb", "sled", "local"],
            Profile::Standard => ["postgres", "redis", "redis", "s3"],
        }
    }
}

impl Tiers {
    /// Refuses what cannot work, then what this build does not have.
    ///
    /// # Errors
    /// `INVALID_INPUT` in one line: which setting, why, and what to do.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: &'static str| Err(Error::new(Code::InvalidInput, text));
        match (self.store, self.queue) {
            (StoreTier::Postgres, QueueTier::Redb) => {
                return refuse(
                    "QUEUE=redb cannot serve STORE=postgres: a job and its queue entry must commit \
                     together, and redb is closed to other hosts; set QUEUE=redis, or STORE=redb",
                );
            }
            (StoreTier::Redb, QueueTier::Redis) => {
                return refuse(
                    "QUEUE=redis cannot serve STORE=redb: workers of other processes could not read \
                     the jobs they are handed; set QUEUE=redb, or STORE=postgres",
                );
            }
            _ => {}
        }
        if self.profile == Profile::Standard {
            return refuse(
                "HIVESYNC_PROFILE=standard is refused: this build has no PostgreSQL, Redis and S3 \
                 adapters; set HIVESYNC_PROFILE=embedded (the default) to keep everything in DATA_DIR",
            );
        }
        if self.store == StoreTier::Postgres {
            return refuse(
                "STORE=postgres is refused: this build has no PostgreSQL adapter; set STORE=redb (the default)",
            );
        }
        if self.ephemeral == EphemeralTier::Redis {
            return refuse(
                "EPHEMERAL=redis is refused: this build has no Redis adapter; set EPHEMERAL=sled (the default)",
            );
        }
        if self.blobs == BlobsTier::S3 {
            return refuse(
                "BLOBS=s3 is refused: this build has no S3 adapter; set BLOBS=local (the default)",
            );
        }
        Ok(())
    }
}
