//! Calls that change a process of somebody's choice, or look into it. Where
//! builds run as the server's own user the kernel lets them name the server,
//! its warden and whatever else that user runs: how much each may use up, which
//! processors it runs on, and how urgently. A build may say that of itself only.
//!
//! Signals are not among them: there Landlock looks at whom they are for (Linux
//! 6.12), and before that no filter could tell the build's processes from others.

use seccompiler::{BackendError, SeccompCmpOp};

use super::{Rules, any, argument, number};

/// Their first argument is the process or thread; zero is the caller.
const BY_NUMBER: &[i64] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_get_robust_list,
];

/// Their first argument says what their second is the number of: a process, or
/// a group or a user, to which the server may belong. The value is that of a
/// process.
const BY_KIND: &[(i64, i32)] = &[
    (libc::SYS_setpriority, 0),
    // IOPRIO_WHO_PROCESS.
    (libc::SYS_ioprio_set, 1),
];

pub(super) fn refused() -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let another = |position| argument(position, SeccompCmpOp::Ne, 0);
    for call in BY_NUMBER {
        rules.insert(*call, any(vec![vec![another(0)?]])?);
    }
    for (call, process) in BY_KIND {
        let kind = argument(0, SeccompCmpOp::Ne, number(*process))?;
        rules.insert(*call, any(vec![vec![kind], vec![another(1)?]])?);
    }
    // By a handle, and never of oneself.
    rules.insert(libc::SYS_process_mrelease, Vec::new());
    Ok(rules)
}
