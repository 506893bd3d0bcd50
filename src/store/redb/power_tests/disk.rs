//! A disk that keeps what was synced, and of what was written since only what
//! luck decides, sector by sector.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Everything fails until the power is back; unsynced writes are torn.
    Power,
    /// One sync fails, and the kernel forgets what it could not write.
    Sync,
    /// Writes fail until there is room again.
    Full,
}

impl Fault {
    pub(super) const ALL: [Fault; 3] = [Fault::Power, Fault::Sync, Fault::Full];
}

#[derive(Debug)]
enum Unsynced {
    Length(usize),
    Sector(usize, Vec<u8>),
}

#[derive(Debug)]
struct State {
    durable: Vec<u8>,
    /// As the process sees it.
    seen: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// The fault, and after how many writes and syncs it comes.
    armed: Option<(Fault, u64)>,
    fired: Option<Fault>,
    dice: Dice,
}

#[derive(Debug)]
pub(super) struct Disk(Mutex<State>);

impl Disk {
    pub(super) fn holding(bytes: Vec<u8>, dice: Dice) -> Self {
        Self(Mutex::new(State {
            durable: bytes.clone(),
            seen: bytes,
            unsynced: Vec::new(),
            armed: None,
            fired: None,
            dice,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, fault: Fault, after: u64) {
        self.state().armed = Some((fault, after));
    }

    /// The fault comes no more, or is over; answers whether it came. Lost power
    /// stays lost until [`Disk::power_on`].
    pub(super) fn disarm(&self) -> bool {
        let mut state = self.state();
        state.armed = None;
        let fired = state.fired;
        if fired != Some(Fault::Power) {
            state.fired = None;
        }
        fired.is_some()
    }

    pub(super) fn power_on(&self) {
        self.state().fired = None;
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().seen.clone()
    }
}

impl State {
    /// A write or a sync is asked for.
    fn tick(&mut self, sync: bool) -> io::Result<()> {
        if let Some((fault, left)) = &mut self.armed {
            // Only a sync can fail to sync.
            if *left == 0 && (sync || *fault != Fault::Sync) {
                self.fired = Some(*fault);
                if *fault == Fault::Sync {
                    self.armed = None;
                }
                if self.fired != Some(Fault::Full) {
                    self.forget();
                }
            } else {
                *left = left.saturating_sub(1);
            }
        }
        match self.fired {
            Some(Fault::Power) => Err(io::Error::other("there is no power")),
            Some(Fault::Sync) if sync => {
                self.fired = None;
                Err(io::Error::other("the disk has lost the write"))
            }
            Some(Fault::Full) if !sync => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    /// Of what was not synced some is on the disk, in no order; only the
    /// lengths are in theirs, and come before what is written behind them.
    fn forget(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let lengths = unsynced
            .iter()
            .filter(|entry| matches!(entry, Unsynced::Length(_)))
            .count() as u64;
        let mut kept_lengths = self.dice.below(lengths + 1);
        for entry in unsynced {
            match entry {
                Unsynced::Length(length) if kept_lengths > 0 => {
                    kept_lengths -= 1;
                    self.durable.resize(length, 0);
                }
                Unsynced::Sector(at, bytes) if self.dice.below(2) == 0 => {
                    if let Some(place) = self.durable.get_mut(at..at + bytes.len()) {
                        place.copy_from_slice(&bytes);
                    }
                }
                Unsynced::Length(_) | Unsynced::Sector(..) => {}
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

/// A disk as redb uses it.
#[derive(Debug)]
pub(super) struct Plug(pub(super) Arc<Disk>);

impl StorageBackend for Plug {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.state();
        if state.fired == Some(Fault::Power) {
            return Err(io::Error::other("there is no power"));
        }
        let from = usize::try_from(offset).expect("small");
        let bytes = state.seen.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.tick(false)?;
        let len = usize::try_from(len).expect("small");
        state.seen.resize(len, 0);
        state.unsynced.push(Unsynced::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.tick(true)?;
        state.unsynced.clear();
        let state = &mut *state;
        state.durable.clone_from(&state.seen);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.tick(false)?;
        let from = usize::try_from(offset).expect("small");
        state.seen[from..from + data.len()].copy_from_slice(data);
        let mut at = from;
        let mut rest = data;
        while !rest.is_empty() {
            let (sector, more) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            state.unsynced.push(Unsynced::Sector(at, sector.to_vec()));
            at += sector.len();
            rest = more;
        }
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
