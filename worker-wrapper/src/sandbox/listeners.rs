//! Loopback listeners inside the empty network, whose descriptors are passed out.
//!
//! The child opens them before it gives up its capabilities; the wrapper accepts on them. Nothing else
//! leads out of that network: it has no other interface.

use std::{
    io::{self, IoSliceMut},
    mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

use super::{
    descriptors::CONTROL,
    syscall::{self, Errno},
};

/// At most as many listeners as there are upstreams.
const MOST: usize = 4;
/// Those, and the output folder.
const PASSED: usize = MOST + 1;
/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 64;

/// The ports to listen on.
#[derive(Debug, Clone, Default)]
pub(super) struct Ports(Vec<u16>);

impl Ports {
    /// These ports; more than there are upstreams are not opened.
    pub(super) fn new(mut ports: Vec<u16>) -> Self {
        ports.truncate(MOST);
        Self(ports)
    }
}

/// What the child hands to the wrapper.
pub(super) struct Passed {
    /// The folder `/out`.
    pub output: OwnedFd,
    /// The listeners, in the order of the ports.
    pub listeners: Vec<OwnedFd>,
}

/// In the child: brings up `lo`.
pub(super) fn bring_up_loopback() -> Result<(), Errno> {
    // SAFETY: all zero is a valid `ifreq`.
    let mut interface: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in interface.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    interface.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let socket = syscall::socket(libc::SOCK_DGRAM)?;
    let result = syscall::bring_up(socket, &interface);
    syscall::close(socket);
    result
}

/// In the child: opens the listeners; they lie in the first places of the result, `-1` follows.
pub(super) fn open(ports: &Ports) -> Result<[RawFd; MOST], Errno> {
    let mut opened = [-1; MOST];
    for (place, port) in opened.iter_mut().zip(&ports.0) {
        let socket = syscall::socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: libc::INADDR_LOOPBACK.to_be() },
            sin_zero: [0; 8],
        };
        syscall::listen(socket, &address, BACKLOG)?;
        *place = socket;
    }
    Ok(opened)
}

/// Room for one control message with all descriptors, aligned as the kernel's header.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

/// In the child: passes the output folder and the listeners to the wrapper and closes them here.
pub(super) fn pass(output: RawFd, listeners: &[RawFd; MOST]) -> Result<(), Errno> {
    let mut descriptors = [output; PASSED];
    let mut count = 1;
    for listener in listeners.iter().filter(|fd| **fd >= 0) {
        descriptors[count] = *listener;
        count += 1;
    }
    let bytes = (count * size_of::<RawFd>()) as libc::c_uint;
    let mut control = ControlBuffer([0; 64]);
    let mut content = [READY];
    let mut part = libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: pure arithmetic on a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(bytes) } as usize;
    // SAFETY: the control buffer is live, aligned, zeroed and larger than one header with five
    // descriptors, so the first header and its data lie inside it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes) as usize;
        ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), bytes as usize);
    }
    syscall::send_message(CONTROL, &message)?;
    for fd in &descriptors[..count] {
        syscall::close(*fd);
    }
    Ok(())
}

/// The content of the message that carries the descriptors.
const READY: u8 = b'r';

/// What the wrapper reads from the child.
pub(super) enum Message {
    /// The descriptors.
    Ready(Passed),
    /// Anything else that it sent.
    Other(Vec<u8>),
    /// The child has become the program, or is gone.
    End,
}

/// In the wrapper: the next message of the child. Waits as long as the socket's timeout says.
pub(super) fn receive(control: BorrowedFd<'_>) -> io::Result<Message> {
    let mut content = [0u8; 256];
    let mut parts = [IoSliceMut::new(&mut content)];
    let mut space = nix::cmsg_space!([RawFd; PASSED]);
    let message =
        recvmsg::<UnixAddr>(control.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control_message in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control_message {
            // SAFETY: the kernel has just made these descriptors, and nothing else owns them.
            descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let bytes = message.bytes;
    if bytes == 0 {
        return Ok(Message::End);
    }
    if content[..bytes] == [READY] && !descriptors.is_empty() {
        let output = descriptors.remove(0);
        return Ok(Message::Ready(Passed { output, listeners: descriptors }));
    }
    Ok(Message::Other(content[..bytes].to_vec()))
}
