//! The root folder of a sandbox: an empty memory file system, into which only what is listed is
//! mounted, read-only.
//!
//! The wrapper lays everything out as a table; the child works through it. Copies of the mounts are
//! taken while the child still is the wrapper's user, so that the wrapper may keep its folders private.
//! What belongs to one attempt is not in the table: see [`super::place`].

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    os::{fd::RawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    Error, controls,
    namespaces::Identity,
    step::Step,
    syscall::{self, Errno},
};

/// Something of the machine that is shown inside, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Outside.
    pub source: PathBuf,
    /// Inside; absolute.
    pub target: String,
    /// What it is for.
    pub kind: Kind,
}

/// What a shown path is for; decides the mount's flags and the Landlock rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Can be read and executed.
    Code,
    /// Can be read.
    Data,
    /// A harmless character device: can be read and written.
    Device,
}

impl Shown {
    /// A path that has the same name inside.
    pub(super) fn same(path: &Path, kind: Kind) -> Self {
        Self { source: path.to_owned(), target: path.to_string_lossy().into_owned(), kind }
    }
}

/// The five devices that programs expect, bound one by one: `mknod` is not for user namespaces.
pub(super) fn devices() -> impl Iterator<Item = Shown> {
    ["null", "zero", "full", "random", "urandom"]
        .into_iter()
        .map(|name| Shown::same(&Path::new("/dev").join(name), Kind::Device))
}

/// A mount to copy and attach.
pub(super) struct Tree {
    source: CString,
    target: CString,
    attributes: libc::mount_attr,
    /// The copy, once the child has taken it.
    copy: RawFd,
}

/// Something to create in the new root. Paths are relative to it.
enum Node {
    Folder(CString),
    File(CString, Vec<u8>),
    Link(CString, CString),
}

/// The whole root folder, ready for the child.
pub(super) struct Table {
    nodes: Vec<Node>,
    trees: Vec<Tree>,
    disk_options: CString,
}

/// Memory that the folders and names of the root may take.
const ROOT_OPTIONS: &CStr = c"size=1m,nr_inodes=1024,mode=0755";
/// A folder that every machine has, to mount the new root on; only this mount namespace sees that.
const MOUNT_POINT: &CStr = c"/tmp";
/// Nothing in the writable folders can be executed.
const DISK_FLAGS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// What `hidepid` and `subset` leave of `/proc`: the task's own processes.
const PROC_OPTIONS: &CStr = c"subset=pid,hidepid=invisible";

/// Empty folders that are always there.
const FOLDERS: [&str; 11] = [
    "dev",
    "etc",
    "out",
    "proc",
    "task",
    "task/bundle",
    "task/files",
    "task/inputs",
    "tmp",
    "trace",
    "trace/bin",
];
/// What an interpreter that waits for its order runs.
pub(super) const START: &str = "/trace/start.py";
/// So that looking up a user, a group or `localhost` works without a network.
const FILES: [(&str, &str); 5] = [
    ("trace/start.py", include_str!("start.py")),
    ("etc/passwd", "task:x:1000:1000::/tmp:/nonexistent\n"),
    ("etc/group", "task:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost trace\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];
/// Links that programs expect.
const LINKS: [(&str, &str); 5] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/shm", "/tmp"),
];

impl Table {
    /// Lays out a root that shows these paths; `links` are names in it that lead to others.
    pub(super) fn new(
        shown: &[Shown],
        links: &[(String, String)],
        disk_bytes: u64,
        max_files: u32,
        identity: Identity,
    ) -> Result<Self, Error> {
        let mut folders: BTreeSet<String> = FOLDERS.iter().map(|folder| (*folder).to_owned()).collect();
        let mut files: Vec<Node> = Vec::new();
        let mut trees = Vec::with_capacity(shown.len());
        for path in shown {
            let target = relative(&path.target);
            let is_folder = check_source(path, identity)?;
            folders.extend(parents(target));
            if is_folder {
                folders.insert(target.to_owned());
            } else {
                files.push(Node::File(c_string(target)?, Vec::new()));
            }
            trees.push(Tree::new(path)?);
        }
        for (path, content) in FILES {
            files.push(Node::File(c_string(path)?, content.as_bytes().to_vec()));
        }
        let fixed = LINKS.iter().map(|(path, target)| (*path, *target));
        for (path, target) in fixed.chain(links.iter().map(|(p, t)| (relative(p), t.as_str()))) {
            folders.extend(parents(path));
            files.push(Node::Link(c_string(path)?, c_string(target)?));
        }
        let mut nodes = folders
            .into_iter()
            .map(|folder| c_string(&folder).map(Node::Folder))
            .collect::<Result<Vec<_>, _>>()?;
        nodes.append(&mut files);
        let disk_options = c_string(&format!(
            "size={},nr_inodes={},mode=0755",
            controls::disk_bytes(disk_bytes),
            controls::disk_files(max_files)
        ))?;
        Ok(Self { nodes, trees, disk_options })
    }

    /// What a failed step was done to.
    pub(super) fn subject(&self, step: Step, index: u32) -> String {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let path = match step {
            Step::CloneTree => self.trees.get(index).map(|tree| &tree.source),
            Step::Attach => self.trees.get(index).map(|tree| &tree.target),
            Step::Node => self.nodes.get(index).map(|node| match node {
                Node::Folder(path) | Node::File(path, _) | Node::Link(path, _) => path,
            }),
            _ => None,
        };
        path.map_or_else(String::new, |path| path.to_string_lossy().into_owned())
    }

    /// In the child, as the wrapper's user: takes a copy of every mount.
    pub(super) fn copy_trees(&mut self) -> Result<(), (u32, Errno)> {
        copy_trees(&mut self.trees)
    }

    /// In the child, as the sandbox's user: mounts an empty root and goes there.
    pub(super) fn mount_root(&self) -> Result<(), Errno> {
        syscall::mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        syscall::mount(Some(c"root"), MOUNT_POINT, Some(c"tmpfs"), flags, Some(ROOT_OPTIONS))?;
        syscall::enter(MOUNT_POINT)
    }

    /// In the child: creates folders, files and links.
    pub(super) fn create_nodes(&self) -> Result<(), (u32, Errno)> {
        for (index, node) in (0..).zip(&self.nodes) {
            match node {
                Node::Folder(path) => syscall::make_folder(path, 0o755),
                Node::File(path, content) => syscall::make_file(path, content),
                Node::Link(path, target) => syscall::make_link(path, target),
            }
            .map_err(|errno| (index, errno))?;
        }
        Ok(())
    }

    /// In the child: attaches the copies, read-only.
    pub(super) fn attach_trees(&self) -> Result<(), (u32, Errno)> {
        attach_trees(&self.trees)
    }

    /// In the child: mounts `/out` and `/tmp`, two folders of one file system with one size, and
    /// returns a descriptor of `/out` that outlives the mount. The second covers the file system itself.
    pub(super) fn mount_disk(&self) -> Result<RawFd, Errno> {
        syscall::mount(
            Some(c"disk"),
            c"tmp",
            Some(c"tmpfs"),
            controls::disk_flags(DISK_FLAGS),
            Some(&self.disk_options),
        )?;
        syscall::make_folder(c"tmp/out", 0o755)?;
        syscall::make_folder(c"tmp/tmp", 0o755)?;
        syscall::mount(Some(c"tmp/out"), c"out", None, libc::MS_BIND, None)?;
        syscall::mount(Some(c"tmp/tmp"), c"tmp", None, libc::MS_BIND, None)?;
        syscall::open(c"out", libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
    }

    /// In the child, process 1 of its namespace: mounts `/proc`.
    pub(super) fn mount_proc() -> Result<(), Errno> {
        if !controls::stands(controls::Protection::OwnProc) {
            return Ok(());
        }
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        syscall::mount(Some(c"proc"), c"proc", Some(c"proc"), flags, Some(PROC_OPTIONS))
    }

    /// In the child: makes the root read-only and leaves the machine's behind.
    pub(super) fn seal() -> Result<(), Errno> {
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
        syscall::mount(None, c".", None, controls::root_flags(flags | libc::MS_NOEXEC), None)?;
        syscall::pivot_to_current()?;
        syscall::detach(c".")?;
        syscall::enter(c"/")
    }
}

/// In the child, and in a visit: takes a copy of each.
pub(super) fn copy_trees(trees: &mut [Tree]) -> Result<(), (u32, Errno)> {
    for (index, tree) in (0..).zip(trees) {
        tree.copy = syscall::clone_tree(&tree.source).map_err(|errno| (index, errno))?;
    }
    Ok(())
}

/// In the child, and in a visit: attaches the copies, read-only, and closes them.
pub(super) fn attach_trees(trees: &[Tree]) -> Result<(), (u32, Errno)> {
    for (index, tree) in (0..).zip(trees) {
        syscall::set_attributes(tree.copy, &tree.attributes)
            .and_then(|()| syscall::attach(tree.copy, &tree.target))
            .map_err(|errno| (index, errno))?;
        syscall::close(tree.copy);
    }
    Ok(())
}

/// In a visit: gives `/out` and `/tmp` another size. One file system is behind both.
pub(super) fn resize_disk(options: &CStr) -> Result<(), Errno> {
    syscall::mount(None, c"tmp", None, DISK_FLAGS | libc::MS_REMOUNT, Some(options))
}

/// The options of the writable folders that have this size.
pub(super) fn disk_size(bytes: u64) -> Result<CString, Error> {
    c_string(&format!("size={bytes}"))
}

impl Tree {
    /// For a path that was checked; its target is taken from the root of the sandbox.
    pub(super) fn new(shown: &Shown) -> Result<Self, Error> {
        Ok(Self {
            source: c_string(&shown.source.to_string_lossy())?,
            target: c_string(relative(&shown.target))?,
            attributes: shown.kind.attributes(),
            copy: -1,
        })
    }

    /// The path outside, and the path inside.
    pub(super) fn names(&self) -> (&CStr, &CStr) {
        (&self.source, &self.target)
    }

    /// Closes a copy that was not attached.
    pub(super) fn forget_copy(&mut self) {
        if self.copy >= 0 {
            syscall::close(self.copy);
            self.copy = -1;
        }
    }
}

impl Kind {
    fn attributes(self) -> libc::mount_attr {
        let more = match self {
            Self::Code => libc::MOUNT_ATTR_NODEV,
            Self::Data => libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC,
            Self::Device => libc::MOUNT_ATTR_NOEXEC,
        };
        libc::mount_attr {
            attr_set: controls::shown_attributes(libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | more),
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        }
    }
}

/// Whether the path is a folder, after making sure that the sandbox's user can read it.
pub(super) fn check_source(shown: &Shown, identity: Identity) -> Result<bool, Error> {
    let refused = |reason| Error::Source { path: shown.source.clone(), reason };
    let metadata = std::fs::metadata(&shown.source)
        .map_err(|source| Error::io(format!("look at {}", shown.source.display()), source))?;
    let for_others = if metadata.is_dir() { 0o005 } else { 0o004 };
    if !identity.is_wrapper() && metadata.mode() & for_others != for_others {
        return Err(refused("other users must be able to read it (chmod -R o+rX)"));
    }
    if !shown.target.starts_with('/') || shown.target.split('/').skip(1).any(|s| matches!(s, "" | "." | ".."))
    {
        return Err(refused("its name inside is not a plain absolute path"));
    }
    Ok(metadata.is_dir())
}

fn relative(target: &str) -> &str {
    target.trim_start_matches('/')
}

/// Every folder above a relative path.
fn parents(path: &str) -> impl Iterator<Item = String> {
    path.match_indices('/').map(|(end, _)| path[..end].to_owned())
}

/// A text for the kernel.
pub(super) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Nul(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: u64 = 1 << 20;
    const NOBODY: Identity = Identity::Nobody { outside: 0x7000_0000 };

    #[test]
    fn folders_come_before_what_lies_in_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lib.so"), "x").unwrap();
        let shown = Shown {
            source: folder.path().join("lib.so"),
            target: "/usr/lib/deep/lib.so".to_owned(),
            kind: Kind::Code,
        };
        let table = Table::new(&[shown], &[], DISK, 10, NOBODY).unwrap();
        let mut seen = BTreeSet::new();
        for node in &table.nodes {
            let path = match node {
                Node::Folder(path) | Node::File(path, _) | Node::Link(path, _) => path.to_str().unwrap(),
            };
            for parent in parents(path) {
                assert!(seen.contains(&parent), "{parent} must exist before {path}");
            }
            assert!(seen.insert(path.to_owned()), "{path} is created twice");
        }
        assert!(seen.contains("usr/lib/deep/lib.so"));
    }

    #[test]
    fn a_private_folder_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let shown =
            Shown { source: folder.path().to_owned(), target: "/task/bundle".to_owned(), kind: Kind::Data };
        assert!(matches!(
            Table::new(&[shown], &[], DISK, 10, NOBODY),
            Err(Error::Source { path, .. }) if path == folder.path()
        ));
    }

    #[test]
    fn a_target_can_not_leave_the_root() {
        for target in ["task", "/", "/../etc", "/task//x", "/task/./x", "/task/"] {
            let shown = Shown { source: "/dev/null".into(), target: target.to_owned(), kind: Kind::Data };
            assert!(Table::new(&[shown], &[], DISK, 10, NOBODY).is_err(), "{target}");
        }
    }
}
