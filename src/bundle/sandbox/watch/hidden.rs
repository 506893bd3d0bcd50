//! What a build holds that is in no process's memory and in no folder: files
//! that have lost their names, memory that is shared, and what waits in pipes
//! and sockets.
//!
//! The kernel tells of some of it only that it is there. For that an upper
//! bound is taken, which the system calls that a build may not make keep low
//! (see `launcher/calls/`): no descriptor travels in a message, so that each
//! open file is to be found in a process; no buffer is enlarged; and no page is
//! lent to a pipe. What an honest build has of it is free of charge.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::param::page_size;

use super::processes::Family;
use super::sockets::{self, Held};
use crate::bundle::sandbox::Access;
use crate::bundle::sandbox::cell::Cell;
use crate::bundle::sandbox::isolated::SYSTEM;
use crate::bundle::sandbox::toolchain::Toolchain;
use crate::domain::preview::SandboxLevel;

/// So many pipes, and so many sockets, cost nothing.
const FREE_PIPES: u64 = 256;
pub(super) const FREE_SOCKETS: u64 = 256;
const FREE_DESCRIPTORS: u64 = 16 << 10;
/// An open file, with what the kernel keeps behind it.
const DESCRIPTOR: u64 = 4096;
/// What the kernel keeps of a mapping is less, but to be told of each takes time.
const FREE_MAPPINGS: u64 = 256 << 10;
const MAPPING: u64 = 4096;
/// Pages that a pipe holds at most, as long as it is not enlarged.
const PIPE_PAGES: u64 = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Bytes of deleted files that are open.
    pub(super) disk: u64,
    /// Deleted files that are mapped and not open: there is no telling how
    /// large they are.
    pub(super) mapped: u64,
    /// There is memory that stays when nobody has it mapped in: how much, only
    /// the machine as a whole knows.
    pub(super) shared: bool,
    /// A process does not let itself be looked into.
    pub(super) opaque: bool,
}

/// Where the processes of a build are.
#[derive(Debug, Default)]
pub(super) struct Place {
    network: Network,
    /// What they can write, as they see it.
    writable: Vec<PathBuf>,
    /// The system's programs and the toolchain, which they cannot write.
    programs: Vec<PathBuf>,
}

/// In which network their sockets are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Network {
    Own,
    #[default]
    Machines,
}

/// What has been found so far.
#[derive(Debug)]
struct Search<'a> {
    place: &'a Place,
    hidden: Hidden,
    descriptors: u64,
    mappings: u64,
    deleted: HashSet<(u64, u64)>,
    mapped: HashSet<(u64, u64)>,
    pipes: HashSet<(u64, u64)>,
    sockets: HashSet<u64>,
}

/// What `family` holds. The search ends where there is more than `enough`
/// memory: whoever has a million descriptors must not keep the watch busy.
pub(super) fn held_by(family: &Family, place: &Place, enough: u64) -> Hidden {
    let mut search = Search::at(place);
    for member in family.members() {
        search.descriptors(member.id, member.is_ours);
        // They map what they are made of, which an upgrade may have deleted.
        if !member.is_ours {
            search.mappings(member.id, enough);
        }
        if search.memory(0) > enough {
            break;
        }
    }
    let ids = || family.members().iter().rev().map(|member| member.id);
    let sockets = match place.network {
        Network::Own => sockets::apart(ids()),
        Network::Machines => sockets::among(&search.sockets),
    };
    search.end(&sockets)
}

impl<'a> Search<'a> {
    fn at(place: &'a Place) -> Self {
        Self {
            place,
            hidden: Hidden::default(),
            descriptors: 0,
            mappings: 0,
            deleted: HashSet::new(),
            mapped: HashSet::new(),
            pipes: HashSet::new(),
            sockets: HashSet::new(),
        }
    }

    fn descriptors(&mut self, id: i32, is_ours: bool) {
        let folder = format!("/proc/{id}/fd");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                // The launcher and bubblewrap may close themselves.
                if error.kind() == ErrorKind::PermissionDenied && !is_ours {
                    self.hidden.opaque |= is_closed(id);
                }
                return;
            }
        };
        for entry in entries.flatten() {
            self.descriptors += 1;
            // Through the link, to the open file itself.
            let Ok(meta) = fs::metadata(entry.path()) else {
                continue;
            };
            let (kind, place) = (meta.file_type(), (meta.dev(), meta.ino()));
            if kind.is_socket() {
                self.sockets.insert(meta.ino());
            } else if kind.is_fifo() {
                self.pipes.insert(place);
            } else if kind.is_file() && meta.nlink() == 0 && self.deleted.insert(place) {
                let bytes = meta.blocks() * 512;
                match fs::read_link(entry.path()) {
                    Ok(name) if is_memfd(&name) => self.hidden.memory += bytes,
                    _ => self.hidden.disk += bytes,
                }
            }
        }
    }

    fn mappings(&mut self, id: i32, enough: u64) {
        let Ok(maps) = fs::File::open(format!("/proc/{id}/maps")) else {
            return;
        };
        // A line at a time: a build may have them as many and as long as it likes.
        let lines = BufReader::new(maps).split(b'\n').map_while(Result::ok);
        for line in lines {
            self.mappings += 1;
            if self.memory(0) > enough {
                return;
            }
            // Names are free: a file that only seems deleted costs who calls it so.
            if !line.ends_with(b" (deleted)") {
                continue;
            }
            let line = String::from_utf8_lossy(&line);
            let Some(mapping) = Mapping::of(&line) else {
                continue;
            };
            let file = format!("/proc/{id}/map_files/{}", mapping.range);
            match (fs::metadata(file), mapping.is_shared_memory()) {
                (Ok(meta), _) if meta.nlink() > 0 => {}
                (Ok(meta), is_memory) => {
                    if self.deleted.insert((meta.dev(), meta.ino())) {
                        let bytes = meta.blocks() * 512;
                        let held = &mut self.hidden;
                        *(if is_memory {
                            &mut held.memory
                        } else {
                            &mut held.disk
                        }) += bytes;
                    }
                }
                // Root alone is shown the files themselves.
                (Err(_), true) => self.hidden.shared = true,
                (Err(_), false) => {
                    if self.place.may_have_made(mapping.path()) {
                        self.mapped.insert(mapping.file);
                    }
                }
            }
        }
    }

    /// With this many bytes in sockets.
    fn memory(&self, sockets: u64) -> u64 {
        let over = |count: usize, free: u64| (count as u64).saturating_sub(free);
        let pipe = PIPE_PAGES * page_size() as u64;
        self.hidden.memory
            + sockets
            + over(self.pipes.len(), FREE_PIPES) * pipe
            + self.descriptors.saturating_sub(FREE_DESCRIPTORS) * DESCRIPTOR
            + self.mappings.saturating_sub(FREE_MAPPINGS) * MAPPING
    }

    fn end(self, sockets: &Held) -> Hidden {
        Hidden {
            memory: self.memory(sockets.bytes()),
            mapped: self.mapped.difference(&self.deleted).count() as u64,
            ..self.hidden
        }
    }
}

impl Place {
    pub(super) fn of(cell: &Cell) -> Self {
        let writable = cell.mounts().iter();
        let writable = writable.filter(|mount| mount.access == Access::ReadWrite);
        let toolchain = cell.sandbox().toolchain().map(Toolchain::binds);
        let system = SYSTEM.into_iter().map(PathBuf::from);
        Self {
            network: match cell.level() {
                SandboxLevel::Isolated => Network::Own,
                SandboxLevel::Restricted | SandboxLevel::None => Network::Machines,
            },
            writable: writable.map(|mount| cell.inside(&mount.host)).collect(),
            programs: system.chain(toolchain.unwrap_or_default()).collect(),
        }
    }

    /// Whether a deleted file of this name can be one of the build's. Programs
    /// are not: when they are upgraded, whatever runs maps deleted files.
    fn may_have_made(&self, path: &Path) -> bool {
        let is_in = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        is_in(&self.writable) || !is_in(&self.programs)
    }
}

/// What a process that does not let its own user look into it has in `/proc` is
/// root's, except the folder itself.
fn is_closed(id: i32) -> bool {
    let owner = |path: String| fs::metadata(path).map(|meta| meta.uid()).ok();
    let user = owner(format!("/proc/{id}"));
    user.is_some() && owner(format!("/proc/{id}/fd")).is_some_and(|owner| Some(owner) != user)
}

/// A line of `/proc/<id>/maps` with a deleted file:
/// `range rights offset device inode name (deleted)`.
struct Mapping<'a> {
    range: &'a str,
    /// The device and the number of the file there.
    file: (u64, u64),
    /// With blanks, if it has some.
    name: &'a str,
}

impl<'a> Mapping<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let range = words.next()?;
        let (major, minor) = words.nth(2)?.split_once(':')?;
        let number = |text| u32::from_str_radix(text, 16).ok();
        let device = rustix::fs::makedev(number(major)?, number(minor)?);
        let inode = words.next()?.parse().ok()?;
        let name = words.next()?.trim_start();
        Some(Self {
            range,
            file: (device, inode),
            name: name.strip_suffix(" (deleted)").unwrap_or(name),
        })
    }

    fn path(&self) -> &'a Path {
        Path::new(self.name)
    }

    /// Memory that processes share goes by the name of this device.
    fn is_shared_memory(&self) -> bool {
        self.name == "/dev/zero" || self.name.starts_with("/SYSV") || is_memfd(self.name.as_ref())
    }
}

/// The kernel shows `/memfd:name (deleted)`, where the name is free.
fn is_memfd(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
}

/// Shared memory on this whole machine.
pub(super) fn shared_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Shmem:"))
        .map_or(0, super::processes::kilobytes)
}

#[cfg(test)]
mod tests {
    use super::super::processes::family;
    use super::super::shell;
    use super::*;

    /// What a shell holds after `script`.
    fn held_after(script: &str) -> Hidden {
        let (mut shell, pid) = shell::after(script);
        let held = held_by(&family(pid, 0, 100), &Place::default(), u64::MAX);
        drop(shell.stdin.take());
        shell.wait().expect("ended");
        held
    }

    #[test]
    fn a_deleted_file_that_is_open_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gone").display().to_string();
        let held = held_after(&format!(
            "exec 3> '{path}'; head -c 3000000 /dev/zero >&3; rm '{path}'"
        ));
        assert!(held.disk >= 3_000_000, "{held:?}");
        assert_eq!((held.memory, held.mapped, held.opaque), (0, 0, false));
    }

    #[test]
    fn a_few_pipes_cost_nothing_and_many_do() {
        let pipes = |count: u32| {
            held_after(&format!(
                "for n in $(seq {count}); do exec {{fd}}<> <(:); done"
            ))
        };
        assert_eq!(pipes(20).memory, 0);
        let over = pipes(300).memory / (PIPE_PAGES * page_size() as u64);
        assert!((40..60).contains(&over), "{over} pipes");
    }

    #[test]
    fn a_mapping_is_read() {
        let line = "7f00-7f01 rw-s 00001000 fe:00 1234   /dev/zero (deleted)";
        let mapping = Mapping::of(line).expect("a mapping");
        assert_eq!(mapping.range, "7f00-7f01");
        assert_eq!(mapping.file, (rustix::fs::makedev(0xfe, 0), 1234));
        assert!(mapping.is_shared_memory());
        assert!(Mapping::of("7f00-7f01 rw-s").is_none());
        let line = "7f00-7f01 r-xp 00000000 fe:00 1   /usr/lib of mine/a (deleted)";
        let mapping = Mapping::of(line).expect("a mapping");
        assert_eq!(mapping.path(), Path::new("/usr/lib of mine/a"));
    }

    #[test]
    fn what_an_upgrade_deletes_is_nobodys() {
        let place = Place {
            writable: vec!["/usr/data/work".into()],
            programs: vec!["/usr".into()],
            ..Place::default()
        };
        let made = |path: &str| place.may_have_made(path.as_ref());
        assert!(made("/work/project/a") && made("/usr/data/work/a"));
        assert!(made("/usrs/a") && made("/dev/shm/a"));
        assert!(!made("/usr/lib/libc.so.6") && !made("/usr/data/a"));
    }
}
