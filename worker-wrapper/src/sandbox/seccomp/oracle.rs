//! The filter answers what three separate filters, made by another compiler, answer together.
//!
//! Those three say the same in the plainest way, one of them for each kind of answer, and the kernel takes
//! the strictest. Both sides are run by an interpreter of filter programs, for every call and for the
//! arguments that make a difference.

use std::collections::BTreeMap;

use libc::{c_int, c_long, sock_filter};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::{
    lists::{ALLOWED, ALLOWED_HERE, FATAL, FATAL_HERE, FATAL_IOCTLS, IOCTLS, NAMESPACES, PRCTLS, PROTOCOLS},
    program::{ARCHITECTURE, MAX_INSTRUCTIONS, assemble},
    rules::rules,
};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Built<T> = Result<T, seccompiler::BackendError>;

#[test]
fn one_filter_answers_what_three_plain_ones_do() {
    let three = three_filters().unwrap().map(|program| program.iter().map(instruction).collect::<Vec<_>>());
    let one = assemble(ARCHITECTURE.unwrap(), &rules());
    let mut answers = BTreeMap::new();
    for call in calls() {
        let expected = strictest(three.iter().map(|program| run(program, &call)));
        let answer = run(&one, &call);
        assert_eq!(answer, expected, "{call:?} is answered {answer:#x} instead of {expected:#x}");
        *answers.entry(answer).or_insert(0) += 1;
    }
    // Each kind of answer was given; otherwise this would have compared little.
    assert_eq!(answers.len(), 4, "{answers:x?}");
}

#[test]
fn another_architecture_ends_the_process() {
    let program = assemble(ARCHITECTURE.unwrap(), &rules());
    let call = Call { machine: 3, number: 1, arguments: [0; 6] };
    assert_eq!(run(&program, &call), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn no_call_takes_many_steps() {
    let program = assemble(ARCHITECTURE.unwrap(), &rules());
    assert!(program.len() < MAX_INSTRUCTIONS, "{} instructions", program.len());
    let steps = calls().map(|call| trace(&program, &call).1).max();
    assert!(steps.is_some_and(|steps| steps < 40), "{steps:?} steps");
}

/// A call as a filter sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    machine: u32,
    number: u32,
    arguments: [u64; 6],
}

/// Every number that there is and some that there are not; where arguments count, all that do.
fn calls() -> impl Iterator<Item = Call> {
    const X32: u32 = 0x4000_0000;
    let numbers = (0..700).chain(X32..X32 + 700).chain([u32::MAX]);
    let values = values();
    let by_arguments = [
        libc::SYS_clone,
        libc::SYS_ioctl,
        libc::SYS_prctl,
        libc::SYS_prlimit64,
        libc::SYS_socketpair,
        libc::SYS_socket,
    ];
    let machine = ARCHITECTURE.unwrap();
    numbers.flat_map(move |number| {
        let counts = by_arguments.iter().any(|call| u32::try_from(*call) == Ok(number));
        let arguments = if counts { sweeps(&values) } else { vec![[0; 3], [u64::MAX; 3]] };
        arguments.into_iter().map(move |[a, b, c]| Call {
            machine,
            number,
            arguments: [a, b, c, 0, u64::MAX, 7],
        })
    })
}

/// Each of the first three arguments takes every value, while the others take a few.
fn sweeps(values: &[u64]) -> Vec<[u64; 3]> {
    const FEW: [u64; 6] = [0, 1, 2, 6, 17, 1 << 32];
    let mut sweeps = Vec::new();
    for value in values {
        for one in FEW {
            for other in FEW {
                sweeps.extend([[*value, one, other], [one, *value, other], [one, other, *value]]);
            }
        }
    }
    sweeps
}

/// Everything that a rule names, what lies beside it, and the same with the upper half set.
fn values() -> Vec<u64> {
    let mut values: Vec<u64> = (0..8).collect();
    values.extend([libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK].map(number));
    values.extend(PROTOCOLS.map(number));
    values.extend(IOCTLS.map(request));
    values.extend(FATAL_IOCTLS.map(request));
    values.extend(PRCTLS.map(number));
    values.extend((0..64).map(|bit| 1 << bit));
    values.push(number(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND));
    values.push(number(NAMESPACES));
    values.extend(values.clone().into_iter().step_by(7).map(|value| value | 1 << 32));
    values.sort_unstable();
    values.dedup();
    values
}

/// As the kernel chooses: the action decides, as a signed number, and of equal ones the newest filter.
fn strictest(answers: impl DoubleEndedIterator<Item = u32>) -> u32 {
    let action = |answer: &u32| (answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
    answers.rev().min_by_key(action).unwrap()
}

fn run(program: &[sock_filter], call: &Call) -> u32 {
    trace(program, call).0
}

/// The answer, and after how many steps.
fn trace(program: &[sock_filter], call: &Call) -> (u32, usize) {
    const MACHINE_AT: u32 = 4;
    const ARGUMENTS_AT: u32 = 16;
    let word = |at: u32| match at {
        0 => call.number,
        MACHINE_AT => call.machine,
        _ => {
            let argument = call.arguments[(at - ARGUMENTS_AT) as usize / 8];
            (if at.is_multiple_of(8) { argument & 0xffff_ffff } else { argument >> 32 }) as u32
        }
    };
    let (mut accumulator, mut at) = (0u32, 0usize);
    for step in 1.. {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let jump = |holds| usize::from(if holds { jt } else { jf });
        match u32::from(code) {
            0x20 => accumulator = word(k),
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x54 => accumulator &= k,
            0x06 => return (k, step),
            other => panic!("the interpreter does not know {other:#x}"),
        }
    }
    unreachable!("a filter ends");
}

fn instruction(from: &seccompiler::sock_filter) -> sock_filter {
    let seccompiler::sock_filter { code, jt, jf, k } = *from;
    sock_filter { code, jt, jf, k }
}

fn three_filters() -> Built<[BpfProgram; 3]> {
    let fatal =
        SeccompFilter::new(fatal_rules()?, SeccompAction::Allow, SeccompAction::KillProcess, target()?)?;
    let allowed = SeccompFilter::new(allowed_rules()?, errno(libc::ENOSYS), SeccompAction::Allow, target()?)?;
    let sockets =
        SeccompFilter::new(foreign_sockets()?, SeccompAction::Allow, errno(libc::EAFNOSUPPORT), target()?)?;
    Ok([sockets.try_into()?, fatal.try_into()?, allowed.try_into()?])
}

fn allowed_rules() -> Built<Rules> {
    let mut rules: Rules = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, vec![])).collect();
    let no_namespace = condition(0, Length::Qword, Is::MaskedEq(number(NAMESPACES)), 0)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![no_namespace])?]);
    rules.insert(libc::SYS_ioctl, any_of(1, &IOCTLS.map(request))?);
    rules.insert(libc::SYS_prctl, any_of(0, &PRCTLS.map(number))?);
    let only_read = condition(2, Length::Qword, Is::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![only_read])?]);
    rules.insert(libc::SYS_socketpair, any_of(0, &[number(libc::AF_UNIX)])?);
    Ok(rules)
}

fn fatal_rules() -> Built<Rules> {
    let mut rules: Rules = FATAL.iter().chain(FATAL_HERE).map(|call| (*call, vec![])).collect();
    rules.insert(libc::SYS_ioctl, any_of(1, &FATAL_IOCTLS.map(request))?);
    let namespaces = (0..u64::BITS)
        .map(|bit| 1u64 << bit)
        .filter(|flag| number(NAMESPACES) & flag != 0)
        .map(|flag| SeccompRule::new(vec![condition(0, Length::Qword, Is::MaskedEq(flag), flag)?]))
        .collect::<Built<Vec<_>>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    Ok(rules)
}

fn foreign_sockets() -> Built<Rules> {
    let family = SeccompRule::new(vec![
        condition(0, Length::Dword, Is::Ne, number(libc::AF_UNIX))?,
        condition(0, Length::Dword, Is::Ne, number(libc::AF_INET))?,
    ])?;
    let mut protocol = vec![condition(0, Length::Dword, Is::Eq, number(libc::AF_INET))?];
    for known in PROTOCOLS {
        protocol.push(condition(2, Length::Dword, Is::Ne, number(known))?);
    }
    Ok([(libc::SYS_socket, vec![family, SeccompRule::new(protocol)?])].into())
}

fn any_of(argument: u8, values: &[u64]) -> Built<Vec<SeccompRule>> {
    values
        .iter()
        .map(|value| SeccompRule::new(vec![condition(argument, Length::Dword, Is::Eq, *value)?]))
        .collect()
}

fn condition(argument: u8, length: Length, is: Is, value: u64) -> Built<SeccompCondition> {
    SeccompCondition::new(argument, length, is, value)
}

fn target() -> Built<TargetArch> {
    std::env::consts::ARCH.try_into()
}

fn errno(number: c_int) -> SeccompAction {
    SeccompAction::Errno(number.cast_unsigned())
}

fn number(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// The kernel looks at 32 bits of an `ioctl` request.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn request(value: libc::Ioctl) -> u64 {
    u64::from(value as u32)
}
