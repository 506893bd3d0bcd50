//! Calls that change the mode or the attributes of a file. By a path they reach
//! whatever the build's user owns, wherever it lies: to Landlock they are no
//! writes. Where that is the server's user they would close its folders to it,
//! or open its secrets to every other user of the machine; a user that an
//! earlier project had still owns that one's caches.
//!
//! The mode of a file that the build has opened is its own affair, as long as
//! its owner keeps every right: some of what it may read is for all builds.
//! Build tools in Node are led there (`assets/sandbox/modes.cjs`), and others
//! mostly ask for what is left to the owner (`umask`).

use rustix::fs::Mode;
use seccompiler::{BackendError, SeccompCmpOp, SeccompCondition};

use super::{Rules, any, argument};

/// What the build's new files have for anybody but their owner: nothing.
pub(in crate::bundle::sandbox::launcher) const UMASK: Mode = Mode::from_raw_mode(0o077);

/// Where the mode stands.
const BY_PATH: &[(i64, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    (libc::SYS_fchmodat, 2),
    (libc::SYS_fchmodat2, 2),
];

/// All rights to the owner and none to others, which harms nobody: as it is
/// said, of a file, of a folder.
const HARMLESS: [u64; 3] = [0o700, 0o100_700, 0o040_700];

/// Access lists are attributes, too.
const ATTRIBUTES: &[i64] = &[
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // setxattrat, removexattrat and file_setattr have these numbers everywhere.
    463,
    466,
    469,
];

/// Refused as forbidden.
pub(super) fn refused() -> Result<Rules, BackendError> {
    let mut rules = super::always(ATTRIBUTES);
    for (call, position) in BY_PATH {
        let other = |mode: &u64| argument(*position, SeccompCmpOp::Ne, *mode);
        let any_other: Result<Vec<_>, _> = HARMLESS.iter().map(other).collect();
        rules.insert(*call, any(vec![any_other?])?);
    }
    Ok(rules)
}

/// Not done, though the caller hears that it was: nothing that a build does
/// depends on it, and `cp`, `tar` and git ask for it all the time.
pub(super) fn ignored() -> Result<Rules, BackendError> {
    let lacks = |bit| argument(1, SeccompCmpOp::MaskedEq(bit), 0);
    let has = |bit| argument(1, SeccompCmpOp::MaskedEq(bit), bit);
    let lines: [SeccompCondition; 5] = [
        lacks(0o400)?,
        lacks(0o200)?,
        lacks(0o100)?,
        has(0o020)?,
        has(0o002)?,
    ];
    let lines = lines.into_iter().map(|line| vec![line]).collect();
    Ok(Rules::from([(libc::SYS_fchmod, any(lines)?)]))
}
