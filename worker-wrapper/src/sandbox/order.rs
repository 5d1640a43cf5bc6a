//! What a waiting sandbox is told, once: its program, the arguments and the environment.
//!
//! An order is one message: its length, the number of arguments and of variables (three 32-bit numbers of
//! this machine), then each text with the NUL that ends it. The first argument is the program. Two read
//! it: [`Inbox`] in the child, which may not allocate, and `start.py` in an interpreter that waits.

use std::{
    ffi::{CStr, CString, c_char},
    os::fd::RawFd,
    ptr,
};

use super::{
    Error,
    syscall::{self, Errno},
};

/// What an order may hold in all. `start.py` has the same number.
pub(super) const MAX_BYTES: usize = 192 * 1024;
/// Arguments and variables together.
const MAX_TEXTS: usize = 512;
/// Three numbers.
const HEAD_BYTES: usize = 12;

/// An order, ready to be sent.
pub(super) struct Order(Vec<u8>);

impl Order {
    /// For this program and its arguments, with these variables (`NAME=value`).
    pub(super) fn new(arguments: &[CString], environment: &[CString]) -> Result<Self, Error> {
        let texts = || arguments.iter().chain(environment);
        let size = HEAD_BYTES + texts().map(|text| text.as_bytes_with_nul().len()).sum::<usize>();
        if texts().count() > MAX_TEXTS || size > MAX_BYTES {
            let (what, value) = ("arguments and environment in bytes", size as u64);
            return Err(Error::Limit { what, value, reason: "at most 192 KiB in 512 texts are passed" });
        }
        let mut bytes = Vec::with_capacity(size);
        for number in [size, arguments.len(), environment.len()] {
            bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes());
        }
        texts().for_each(|text| bytes.extend(text.as_bytes_with_nul()));
        Ok(Self(bytes))
    }

    /// The message.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The program's path inside, for messages.
    pub(super) fn program(&self) -> String {
        let text = self.0.get(HEAD_BYTES..).and_then(|texts| CStr::from_bytes_until_nul(texts).ok());
        text.map_or_else(String::new, |text| text.to_string_lossy().into_owned())
    }

    #[cfg(test)]
    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Room for one order, made before the copy.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// To the arguments, a null pointer, to the variables, a null pointer.
    pointers: Vec<*const c_char>,
    arguments: usize,
}

// SAFETY: the pointers are null until the child has read an order, and it has one thread.
unsafe impl Send for Inbox {}

/// The order is no order.
const MALFORMED: Errno = libc::EBADMSG;

impl Inbox {
    /// Empty.
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; MAX_BYTES], pointers: vec![ptr::null(); MAX_TEXTS + 2], arguments: 0 }
    }

    /// In the child: waits for the order and reads it. The end of the socket is `ECONNRESET`: nobody wants
    /// this sandbox any more.
    pub(super) fn take(&mut self, socket: RawFd) -> Result<(), Errno> {
        let length = loop {
            match syscall::receive(socket, &mut self.bytes, libc::MSG_TRUNC) {
                Err(libc::EINTR) => {}
                other => break other?,
            }
        };
        match length {
            0 => Err(libc::ECONNRESET),
            length => self.read(length),
        }
    }

    /// Finds the texts in the first `length` bytes.
    fn read(&mut self, length: usize) -> Result<(), Errno> {
        let message = self.bytes.get(..length).ok_or(libc::E2BIG)?;
        let (head, mut rest) = message.split_at_checked(HEAD_BYTES).ok_or(MALFORMED)?;
        let (Some(size), Some(arguments), Some(variables)) =
            (number(head, 0), number(head, 4), number(head, 8))
        else {
            return Err(MALFORMED);
        };
        if size != length || arguments == 0 {
            return Err(MALFORMED);
        }
        if arguments > MAX_TEXTS || variables > MAX_TEXTS - arguments {
            return Err(libc::E2BIG);
        }
        // Two lists, each with the null pointer that it was made with behind it.
        let (first, second) = self.pointers.split_at_mut_checked(arguments + 1).ok_or(libc::E2BIG)?;
        let places = first.iter_mut().take(arguments).chain(second.iter_mut().take(variables));
        for place in places {
            let text = CStr::from_bytes_until_nul(rest).map_err(|_| MALFORMED)?;
            *place = text.as_ptr();
            rest = rest.get(text.count_bytes() + 1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        self.arguments = arguments;
        Ok(())
    }

    /// In the child: becomes the program of the order that was taken; returns only if that fails.
    pub(super) fn exec(&self) -> Errno {
        let (Some(arguments), Some(environment)) =
            (self.pointers.get(..), self.pointers.get(self.arguments + 1..))
        else {
            return MALFORMED;
        };
        match arguments.first() {
            Some(program) if self.arguments > 0 && !program.is_null() => {
                // SAFETY: `read` has made every pointer lead to a NUL-terminated text in `bytes`, which is
                // not changed any more, and left a null pointer behind each of the two lists.
                unsafe { syscall::exec(CStr::from_ptr(*program), arguments.as_ptr(), environment.as_ptr()) }
            }
            _ => MALFORMED,
        }
    }
}

/// The 32-bit number at this place.
fn number(head: &[u8], at: usize) -> Option<usize> {
    let bytes = head.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_ne_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<CString> {
        texts.iter().map(|text| CString::new(*text).unwrap()).collect()
    }

    fn read(message: &[u8]) -> Result<(Vec<String>, Vec<String>), Errno> {
        let mut inbox = Inbox::new();
        let length = message.len().min(MAX_BYTES);
        inbox.bytes[..length].copy_from_slice(&message[..length]);
        inbox.read(message.len())?;
        let list = |from: usize| {
            let found = inbox.pointers[from..].iter().take_while(|pointer| !pointer.is_null());
            // SAFETY: `read` has made them lead into the inbox, which lives.
            found.map(|pointer| unsafe { CStr::from_ptr(*pointer) }.to_str().unwrap().to_owned()).collect()
        };
        Ok((list(0), list(inbox.arguments + 1)))
    }

    #[test]
    fn what_is_written_is_read() {
        let order = Order::new(&texts(&["/task/bundle/main", "", "b"]), &texts(&["A=1", "B="])).unwrap();
        let (arguments, environment) = read(order.as_bytes()).unwrap();
        assert_eq!(arguments, ["/task/bundle/main", "", "b"]);
        assert_eq!(environment, ["A=1", "B="]);
    }

    #[test]
    fn the_largest_order_is_read_and_a_larger_one_is_not_made() {
        let full = |bytes: usize| Order::new(&texts(&["p", &"x".repeat(bytes - HEAD_BYTES - 3)]), &[]);
        let order = full(MAX_BYTES).unwrap();
        assert_eq!(order.as_bytes().len(), MAX_BYTES);
        assert_eq!(read(order.as_bytes()).unwrap().0.len(), 2);
        assert!(matches!(full(MAX_BYTES + 1), Err(Error::Limit { .. })));
        let many = vec![CString::default(); MAX_TEXTS];
        assert!(Order::new(&many, &[]).is_ok());
        assert!(matches!(Order::new(&many, &texts(&["A=1"])), Err(Error::Limit { .. })));
    }

    #[test]
    fn every_order_that_was_changed_is_refused_or_read_within_its_bounds() {
        let good = Order::new(&texts(&["/p", "a"]), &texts(&["A=1"])).unwrap();
        let good = good.as_bytes();
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(read(&[good, b"x"].concat()), Err(MALFORMED));
        for at in 0..HEAD_BYTES {
            for value in [0, 1, 2, 5, 0x7f, 0xff] {
                let mut changed = good.to_vec();
                changed[at] = value;
                if changed != good {
                    // Other counts may divide the same texts in another way, and no more than that.
                    let read = read(&changed);
                    assert!(
                        read.as_ref().is_err_and(|errno| [MALFORMED, libc::E2BIG].contains(errno))
                            || read.as_ref().is_ok_and(|(a, e)| a.len() + e.len() == 3),
                        "byte {at} is {value}: {read:?}"
                    );
                }
            }
        }
        assert_eq!(read(&vec![0; MAX_BYTES + 1]), Err(libc::E2BIG));
    }
}
