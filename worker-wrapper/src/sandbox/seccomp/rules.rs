//! What is answered to each call: the lists, and what depends on arguments.

use std::collections::BTreeMap;

use libc::{c_int, c_long};

use super::lists::{
    ALLOWED, ALLOWED_HERE, FATAL, FATAL_HERE, FATAL_IOCTLS, IOCTLS, NAMESPACES, PRCTLS, PROTOCOLS,
};

/// What a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is made.
    Allow,
    /// It fails with this error.
    Fail(c_int),
    /// The process ends with `SIGSYS`.
    Kill,
}

/// The answer to a call that is on no list.
pub(super) const UNKNOWN: Answer = Answer::Fail(libc::ENOSYS);

/// The answers to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The first case that holds decides.
    pub cases: Vec<Case>,
    /// When none holds.
    pub otherwise: Answer,
}

/// An answer, if all the checks hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// On the arguments.
    pub checks: Vec<Check>,
    /// The answer.
    pub answer: Answer,
}

/// A look at one half of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    /// From 0.
    pub argument: u32,
    /// Which half.
    pub half: Half,
    /// What is looked for.
    pub is: Is,
}

/// A filter sees 32 bits at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// The lower 32 bits.
    Low,
    /// The upper 32 bits.
    High,
}

/// What is looked for in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// This value.
    Equal(u32),
    /// One of these bits at least.
    AnyOf(u32),
}

impl Rule {
    /// The same answer, whatever the arguments.
    pub(super) const fn always(answer: Answer) -> Self {
        Self { cases: Vec::new(), otherwise: answer }
    }
}

/// The rule of each call that has another one than [`UNKNOWN`].
pub(super) fn rules() -> BTreeMap<u32, Rule> {
    let mut rules = BTreeMap::new();
    let mut set = |call: c_long, rule| {
        // Every number of a call is small and positive.
        if let Ok(call) = u32::try_from(call) {
            rules.insert(call, rule);
        }
    };
    for call in ALLOWED.iter().chain(ALLOWED_HERE) {
        set(*call, Rule::always(Answer::Allow));
    }
    for call in FATAL.iter().chain(FATAL_HERE) {
        set(*call, Rule::always(Answer::Kill));
    }
    let namespaces = low(0, Is::AnyOf(NAMESPACES.cast_unsigned()));
    let fork = Case { checks: vec![namespaces], answer: Answer::Kill };
    set(libc::SYS_clone, Rule { cases: vec![fork], otherwise: Answer::Allow });
    let ioctls = one_of(1, FATAL_IOCTLS.map(request), Answer::Kill).chain(one_of(
        1,
        IOCTLS.map(request),
        Answer::Allow,
    ));
    set(libc::SYS_ioctl, Rule { cases: ioctls.collect(), otherwise: UNKNOWN });
    let prctls = one_of(0, PRCTLS.map(c_int::cast_unsigned), Answer::Allow);
    set(libc::SYS_prctl, Rule { cases: prctls.collect(), otherwise: UNKNOWN });
    set(libc::SYS_prlimit64, reading_limits());
    let pairs = one_of(0, [libc::AF_UNIX.cast_unsigned()], Answer::Allow);
    set(libc::SYS_socketpair, Rule { cases: pairs.collect(), otherwise: UNKNOWN });
    set(libc::SYS_socket, sockets());
    rules
}

/// Limits can be read, but not set: a lower `RLIMIT_CORE` would let a core handler run.
fn reading_limits() -> Rule {
    let is_null = [Half::Low, Half::High].map(|half| Check { argument: 2, half, is: Is::Equal(0) });
    Rule { cases: vec![Case { checks: is_null.into(), answer: Answer::Allow }], otherwise: UNKNOWN }
}

/// Unix sockets, and IPv4 ones of the protocols that there are.
fn sockets() -> Rule {
    let family = |family: c_int| low(0, Is::Equal(family.cast_unsigned()));
    let mut cases = vec![Case { checks: vec![family(libc::AF_UNIX)], answer: Answer::Allow }];
    for protocol in PROTOCOLS {
        let protocol = low(2, Is::Equal(protocol.cast_unsigned()));
        cases.push(Case { checks: vec![family(libc::AF_INET), protocol], answer: Answer::Allow });
    }
    Rule { cases, otherwise: Answer::Fail(libc::EAFNOSUPPORT) }
}

fn one_of<const N: usize>(argument: u32, values: [u32; N], answer: Answer) -> impl Iterator<Item = Case> {
    values.into_iter().map(move |value| Case { checks: vec![low(argument, Is::Equal(value))], answer })
}

/// Arguments of the kernel's types `int` and `unsigned int`, whose upper half it ignores, and flags.
const fn low(argument: u32, is: Is) -> Check {
    Check { argument, half: Half::Low, is }
}

/// The kernel looks at 32 bits of an `ioctl` request.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn request(value: libc::Ioctl) -> u32 {
    value as u32
}
