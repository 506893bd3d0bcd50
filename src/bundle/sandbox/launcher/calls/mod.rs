//! The system calls that a build may not make, as a seccomp filter. Bundlers
//! and package managers use hundreds of others, so this names what is refused:
//! the ways into other processes and the kernel, new namespaces, and sockets.
//!
//! A refused call fails like one that this machine does not allow, so that a
//! program which merely tries goes on.

pub(super) mod modes;
mod others;
mod sockets;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use serde::{Deserialize, Serialize};

pub(in crate::bundle::sandbox) use sockets::Sockets;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Calls {
    pub(in crate::bundle::sandbox) sockets: Sockets,
    /// See [`modes`].
    pub(in crate::bundle::sandbox) guard_modes: bool,
}

/// Refused with "operation not permitted".
const EPERM: &[i64] = &[
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // other views of the machine
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    // Landlock knows the opened file, not the path.
    libc::SYS_truncate,
    // parts of the kernel with a history
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Messages that may carry descriptors: of a file that only such a message
    // holds nobody knows. The filter cannot see whether one does.
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_vhangup,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Refused as if the kernel did not know them: their callers have another way.
const ENOSYS: &[i64] = &[
    // Its flags lie in memory, where a filter cannot see them.
    libc::SYS_clone3,
    // Its timers send any signal, and so wake what was paused.
    libc::SYS_timer_create,
    // Its sockets and files pass by every other check here.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Memory that is in no process's account, and in part outlives them all.
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // The same of other programs that run as this user.
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_unlink,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
];

/// Refused as what these files cannot do: their callers read and write then.
/// They lend pages to pipes and sockets, where a small part of a page keeps the
/// whole of it, up to two megabytes, out of everybody's account.
const EINVAL: &[i64] = &[
    libc::SYS_splice,
    libc::SYS_vmsplice,
    libc::SYS_tee,
    libc::SYS_sendfile,
];

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Memory that is shared and no file's: like that of `shmget`, it stays where
/// no process shows it, and only the machine's sum would bound it.
const SHARED_MEMORY: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

/// Of `fcntl`; the same on every architecture.
const F_SETSIG: i32 = 10;

/// Of `close_range`.
const CLOSE_RANGE_UNSHARE: i32 = 2;

/// TIOCSTI and TIOCLINUX, which type for whoever sits at the terminal.
const TERMINAL: [u64; 2] = [0x5412, 0x541c];

/// The kernel of `x86_64` may know each call by a second number.
#[cfg(target_arch = "x86_64")]
const SECOND_NUMBER: Option<i64> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const SECOND_NUMBER: Option<i64> = None;

impl Calls {
    /// Holds this process, and all that it starts, to the filter.
    pub(super) fn apply(self) -> io::Result<()> {
        for (rules, errno) in self.filters().map_err(io::Error::other)? {
            let program = program(rules, errno).map_err(io::Error::other)?;
            apply_filter(&program).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// What is refused, and with which error.
    fn filters(self) -> Result<[(Rules, i32); 4], seccompiler::BackendError> {
        let mut ignored = sockets::ignored()?;
        if self.guard_modes {
            ignored.extend(modes::ignored()?);
        }
        Ok([
            (self.refused()?, libc::EPERM),
            (always(ENOSYS), libc::ENOSYS),
            (always(EINVAL), libc::EINVAL),
            (ignored, 0),
        ])
    }

    fn refused(self) -> Result<Rules, seccompiler::BackendError> {
        let mut rules = always(EPERM);
        let mut add = |call: i64, when: Vec<Vec<SeccompCondition>>| {
            rules.insert(call, any(when)?);
            Ok::<(), seccompiler::BackendError>(())
        };
        let mut cloned = Vec::new();
        for flag in NAMESPACES {
            let flag = number(flag);
            cloned.push(vec![argument(0, SeccompCmpOp::MaskedEq(flag), flag)?]);
        }
        // A thread with descriptors of its own, which its process does not show.
        let (thread, files) = (number(libc::CLONE_THREAD), number(libc::CLONE_FILES));
        let own_files = SeccompCmpOp::MaskedEq(thread | files);
        cloned.push(vec![argument(0, own_files, thread)?]);
        add(libc::SYS_clone, cloned)?;
        // The same for the thread that calls.
        let own_files = number(CLOSE_RANGE_UNSHARE);
        let unshares = argument(2, SeccompCmpOp::MaskedEq(own_files), own_files)?;
        add(libc::SYS_close_range, vec![vec![unshares]])?;
        let memory = number(SHARED_MEMORY);
        let shared = argument(3, SeccompCmpOp::MaskedEq(memory), memory)?;
        add(libc::SYS_mmap, vec![vec![shared]])?;
        let mut terminal = Vec::new();
        for command in TERMINAL {
            terminal.push(vec![argument(1, SeccompCmpOp::Eq, command)?]);
        }
        add(libc::SYS_ioctl, terminal)?;
        let equals = |position, value: i32| argument(position, SeccompCmpOp::Eq, number(value));
        // It would close the process to a server of the same user.
        add(
            libc::SYS_prctl,
            vec![vec![equals(0, libc::PR_SET_DUMPABLE)?]],
        )?;
        // The second has a signal of the build's choice sent whenever a folder
        // changes: it would wake what was paused.
        let requests = [libc::F_SETPIPE_SZ, F_SETSIG];
        let refused = requests.map(|request| Ok(vec![equals(1, request)?]));
        add(
            libc::SYS_fcntl,
            refused.into_iter().collect::<Result<_, _>>()?,
        )?;
        rules.extend(others::refused()?);
        rules.extend(self.sockets.refused()?);
        if self.guard_modes {
            rules.extend(modes::refused()?);
        }
        Ok(rules)
    }
}

/// Rules for calls of which any of these lines holds.
fn any(when: Vec<Vec<SeccompCondition>>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    when.into_iter().map(SeccompRule::new).collect()
}

/// By the call's number; no condition: always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn always(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// A constant of C's as the kernel gets it.
fn number(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}

fn argument(
    position: u8,
    op: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(position, SeccompCmpArgLen::Dword, op, value)
}

fn program(mut rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    if let Some(second) = SECOND_NUMBER {
        let again: Vec<_> = rules
            .iter()
            .map(|(call, when)| (call | second, when.clone()))
            .collect();
        rules.extend(again);
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_filter_compiles() {
        for sockets in [Sockets::Usual, Sockets::Tcp, Sockets::None] {
            for guard_modes in [false, true] {
                let calls = Calls {
                    sockets,
                    guard_modes,
                };
                for (rules, errno) in calls.filters().expect("sound rules") {
                    let size = program(rules, errno).expect("a program").len();
                    assert!(size < 4096, "{size} instructions");
                }
            }
        }
    }
}
