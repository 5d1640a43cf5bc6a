//! Thin wrappers around system calls, for the child.
//!
//! Every function here may run in the copy of a multi-threaded process, where another thread may have
//! held any lock at the moment of the copy: no function allocates, locks or panics. All arguments
//! were made ready before the copy.

use std::{ffi::CStr, mem, os::fd::RawFd, ptr};

use libc::{c_char, c_int, c_long, c_uint, c_ulong};

/// An error number.
pub(super) type Errno = c_int;

/// The highest descriptor that `close_range` takes.
const LAST: c_uint = c_uint::MAX;

fn check(result: c_long) -> Result<c_long, Errno> {
    // SAFETY: the address of this thread's own errno is always valid.
    if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result) }
}

fn done(result: c_long) -> Result<(), Errno> {
    check(result).map(drop)
}

/// Narrows a descriptor that the kernel returned; they are far below `RawFd::MAX`.
#[allow(clippy::cast_possible_truncation)]
const fn descriptor(result: c_long) -> RawFd {
    result as RawFd
}

/// Puts a copy of `from` at `to`, replacing what was there.
pub(super) fn place(from: RawFd, to: RawFd, flags: c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_dup3, from, to, flags) })
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: c_uint) -> Result<(), Errno> {
    // SAFETY: takes numbers only; no object of this process that owns a descriptor is used again.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, LAST, 0) })
}

/// Lets `exec` close every descriptor from `first` on.
pub(super) fn close_on_exec_from(first: c_uint) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, LAST, libc::CLOSE_RANGE_CLOEXEC) })
}

/// Lets `exec` keep this descriptor.
pub(super) fn keep_on_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, 0) })
}

/// Closes one descriptor.
pub(super) fn close(fd: RawFd) {
    // SAFETY: takes a number only; the caller opened it.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Gives every signal its default action and unblocks all.
pub(super) fn reset_signals() -> Result<(), Errno> {
    // The kernel's `struct sigaction` and its signal set, all zero: the default action, nothing blocked.
    const SET_BYTES: usize = 8;
    let default = [0u64; 4];
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: `default` is as long as the kernel's structure and outlives the call.
            done(unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), SET_BYTES)
            })?;
        }
    }
    // SAFETY: the first eight bytes of `default` are an empty signal set.
    done(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            default.as_ptr(),
            ptr::null::<u64>(),
            SET_BYTES,
        )
    })
}

/// Starts a session.
pub(super) fn new_session() -> Result<(), Errno> {
    // SAFETY: takes nothing.
    done(unsafe { libc::syscall(libc::SYS_setsid) })
}

/// Files are created without write permission for others.
pub(super) fn set_umask(mask: libc::mode_t) {
    // SAFETY: takes a number only, never fails.
    unsafe { libc::syscall(libc::SYS_umask, mask) };
}

/// Moves this process to new namespaces.
pub(super) fn unshare(flags: c_int) -> Result<(), Errno> {
    // SAFETY: takes a number only; this process has one thread.
    done(unsafe { libc::syscall(libc::SYS_unshare, flags) })
}

/// Enters a namespace of this kind.
pub(super) fn enter_namespace(namespace: RawFd, kind: c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_setns, namespace, kind) })
}

/// Names the host of this UTS namespace.
pub(super) fn set_host_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the pointer and the length belong to one live string.
    done(unsafe { libc::syscall(libc::SYS_sethostname, name.as_ptr(), name.to_bytes().len()) })
}

/// Drops all supplementary groups.
pub(super) fn clear_groups() -> Result<(), Errno> {
    // SAFETY: a null list of length 0.
    done(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) })
}

/// Becomes this user and group for good. Raw system calls: glibc would ask its other threads, which
/// do not exist here.
pub(super) fn become_user(uid: libc::uid_t, gid: libc::gid_t) -> Result<(), Errno> {
    // SAFETY: take numbers only.
    done(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    done(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

/// `prctl` with numbers only.
pub(super) fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> Result<(), Errno> {
    // SAFETY: the callers use options whose arguments are numbers.
    done(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0, 0) })
}

/// Gives up every capability of the effective, permitted and inheritable sets.
pub(super) fn drop_capability_sets() -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: header and data have the kernel's layout (version, pid; twice three words) and are live.
    done(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) })
}

/// Sets a resource limit of this process.
pub(super) fn set_limit(resource: c_uint, limit: &libc::rlimit64) -> Result<(), Errno> {
    let limit: *const libc::rlimit64 = limit;
    // SAFETY: a live structure of the kernel's layout; no old value is asked for.
    done(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit, ptr::null_mut::<libc::rlimit64>()) })
}

/// Takes a private copy of the mount at `path`, with all below it.
pub(super) fn clone_tree(path: &CStr) -> Result<RawFd, Errno> {
    // AT_RECURSIVE and O_CLOEXEC are positive constants.
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE.cast_unsigned();
    // SAFETY: a live NUL-terminated path.
    check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) }).map(descriptor)
}

/// Sets attributes of a copied mount and of all below it.
pub(super) fn set_attributes(tree: RawFd, attributes: &libc::mount_attr) -> Result<(), Errno> {
    let attributes: *const libc::mount_attr = attributes;
    // SAFETY: a live structure and its size; the path is empty and NUL-terminated.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            attributes,
            mem::size_of::<libc::mount_attr>(),
        )
    })
}

/// Attaches a copied mount at `path`.
pub(super) fn attach(tree: RawFd, path: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths are live and NUL-terminated.
    done(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree,
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
}

/// `mount`; `None` is a null pointer.
pub(super) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: c_ulong,
    options: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null, where `mount` allows it, or a live NUL-terminated string.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount,
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            pointer(options),
        )
    })
}

/// Detaches the mount at `path`.
pub(super) fn detach(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a live NUL-terminated path.
    done(unsafe { libc::syscall(libc::SYS_umount2, path.as_ptr(), libc::MNT_DETACH) })
}

/// Makes the current folder the root and puts the old root on top of it.
pub(super) fn pivot_to_current() -> Result<(), Errno> {
    // SAFETY: live NUL-terminated paths.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
}

/// Changes the working folder.
pub(super) fn enter(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a live NUL-terminated path.
    done(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) })
}

/// Creates a folder.
pub(super) fn make_folder(path: &CStr, mode: libc::mode_t) -> Result<(), Errno> {
    // SAFETY: a live NUL-terminated path.
    done(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode) })
}

/// Creates a file with this content.
pub(super) fn make_file(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let fd = open(path, flags)?;
    let written = write(fd, content);
    close(fd);
    written
}

/// Writes all of `content` at once.
pub(super) fn write(fd: RawFd, content: &[u8]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length belong to one live slice.
    match check(unsafe { libc::syscall(libc::SYS_write, fd, content.as_ptr(), content.len()) }) {
        Ok(bytes) if usize::try_from(bytes) == Ok(content.len()) => Ok(()),
        Ok(_) => Err(libc::ENOSPC),
        Err(errno) => Err(errno),
    }
}

/// Waits for this long; a signal may end it early.
pub(super) fn pause(time: &libc::timespec) {
    let time: *const libc::timespec = time;
    // SAFETY: a live structure; what is left of the time is not asked for.
    unsafe { libc::syscall(libc::SYS_nanosleep, time, ptr::null_mut::<libc::timespec>()) };
}

/// Creates a symbolic link.
pub(super) fn make_link(path: &CStr, target: &CStr) -> Result<(), Errno> {
    // SAFETY: live NUL-terminated paths.
    done(unsafe { libc::syscall(libc::SYS_symlinkat, target.as_ptr(), libc::AT_FDCWD, path.as_ptr()) })
}

/// Opens a file or folder; a new file may be read by everyone.
pub(super) fn open(path: &CStr, flags: c_int) -> Result<RawFd, Errno> {
    // SAFETY: a live NUL-terminated path.
    check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) })
        .map(descriptor)
}

/// An IPv4 socket.
pub(super) fn socket(kind: c_int) -> Result<RawFd, Errno> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0) })
        .map(descriptor)
}

/// Brings an interface up.
pub(super) fn bring_up(socket: RawFd, interface: &libc::ifreq) -> Result<(), Errno> {
    let interface: *const libc::ifreq = interface;
    // SAFETY: a live structure of the layout that SIOCSIFFLAGS reads.
    done(unsafe { libc::syscall(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, interface) })
}

/// Binds and listens.
pub(super) fn listen(socket: RawFd, address: &libc::sockaddr_in, backlog: c_int) -> Result<(), Errno> {
    let address: *const libc::sockaddr_in = address;
    // SAFETY: a live address and its size.
    done(unsafe { libc::syscall(libc::SYS_bind, socket, address, mem::size_of::<libc::sockaddr_in>()) })?;
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_listen, socket, backlog) })
}

/// Receives into `buffer`; 0 is the end.
pub(super) fn receive(socket: RawFd, buffer: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the pointer and the length belong to one live, exclusively borrowed slice.
    let received = check(unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            socket,
            buffer.as_mut_ptr(),
            buffer.len(),
            flags,
            ptr::null_mut::<libc::sockaddr>(),
            ptr::null_mut::<libc::socklen_t>(),
        )
    })?;
    usize::try_from(received).map_err(|_| libc::EIO)
}

/// Sends one message.
pub(super) fn send(socket: RawFd, message: &[u8]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length belong to one live slice.
    done(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket,
            message.as_ptr(),
            message.len(),
            libc::MSG_NOSIGNAL,
            ptr::null::<libc::sockaddr>(),
            0,
        )
    })
}

/// A message that was laid out beforehand, descriptors included.
pub(super) fn send_message(socket: RawFd, message: &libc::msghdr) -> Result<(), Errno> {
    let message: *const libc::msghdr = message;
    // SAFETY: the caller keeps everything that the header points to alive for the call.
    done(unsafe { libc::syscall(libc::SYS_sendmsg, socket, message, libc::MSG_NOSIGNAL) })
}

/// `struct landlock_path_beneath_attr`, which the kernel packs.
#[repr(C, packed)]
pub(super) struct PathBeneath {
    /// What may be done.
    pub allowed: u64,
    /// The folder.
    pub parent: RawFd,
}

/// Adds a folder to a Landlock ruleset.
pub(super) fn landlock_allow(ruleset: RawFd, rule: &PathBeneath) -> Result<(), Errno> {
    const PATH_BENEATH: c_int = 1;
    let rule: *const PathBeneath = rule;
    // SAFETY: a live structure of the kernel's packed layout.
    done(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, rule, 0) })
}

/// Enforces a Landlock ruleset on this process.
pub(super) fn landlock_enforce(ruleset: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) })
}

/// Installs a system call filter.
pub(super) fn install_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let header = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).map_err(|_| libc::E2BIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    let header: *const libc::sock_fprog = &header;
    // SAFETY: the header and the program are live; the kernel only reads both.
    done(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, header) })
}

/// Becomes the program; returns only if that fails.
///
/// # Safety
/// Both lists hold pointers to live NUL-terminated strings and end in a null pointer.
pub(super) unsafe fn exec(
    path: &CStr,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> Errno {
    // SAFETY: the path is live, the lists are as the caller promises.
    let failed = unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), arguments, environment) };
    check(failed).err().unwrap_or(libc::EIO)
}

/// Ends this process at once, without running anything of the copied program.
pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: `_exit` runs no handlers and does not return.
    unsafe { libc::_exit(status) }
}
