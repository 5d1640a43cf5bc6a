//! From rules to the kernel's filter program.
//!
//! The numbers of calls are cut into ranges with the same rule, and the program halves them until one is
//! left. A list of a few hundred comparisons would do as well, but the kernel runs the program once for
//! each call that it knows when it is installed, which took ten times as long.

use std::collections::BTreeMap;

use libc::{seccomp_data, sock_filter};

use super::rules::{Answer, Check, Half, Is, Rule, UNKNOWN};

/// What the kernel takes (`BPF_MAXINSNS`).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// 64 bits, little-endian: two flags above the number of the ELF machine.
const LITTLE_64: u32 = 0x8000_0000 | 0x4000_0000;

/// How the kernel names the processor that this is compiled for (`AUDIT_ARCH_*`).
pub(super) const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(62 | LITTLE_64)
} else if cfg!(target_arch = "aarch64") {
    Some(183 | LITTLE_64)
} else {
    None
};

#[allow(clippy::cast_possible_truncation)]
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
#[allow(clippy::cast_possible_truncation)]
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
#[allow(clippy::cast_possible_truncation)]
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
#[allow(clippy::cast_possible_truncation)]
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
#[allow(clippy::cast_possible_truncation)]
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
#[allow(clippy::cast_possible_truncation)]
const IF_ANY_OF: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;

/// Where the filter finds things in `struct seccomp_data`.
const NUMBER: u32 = offset(std::mem::offset_of!(seccomp_data, nr));
const MACHINE: u32 = offset(std::mem::offset_of!(seccomp_data, arch));
const ARGUMENTS: u32 = offset(std::mem::offset_of!(seccomp_data, args));
const ARGUMENT_BYTES: u32 = 8;

#[allow(clippy::cast_possible_truncation)]
const fn offset(bytes: usize) -> u32 {
    bytes as u32
}

/// The program that answers calls of this architecture by these rules, others on no list, and ends
/// processes that call in any other way.
pub(super) fn assemble(architecture: u32, rules: &BTreeMap<u32, Rule>) -> Vec<sock_filter> {
    let mut program = vec![
        plain(LOAD, MACHINE),
        branch(IF_EQUAL, architecture, 1, 0),
        answer(Answer::Kill),
        plain(LOAD, NUMBER),
    ];
    program.extend(search(&ranges(rules)));
    program
}

/// A rule, and the first number that it holds for; it does up to the next range.
type Range<'a> = (u32, std::borrow::Cow<'a, Rule>);

fn ranges(rules: &BTreeMap<u32, Rule>) -> Vec<Range<'_>> {
    use std::borrow::Cow;
    let unknown = || Cow::Owned(Rule::always(UNKNOWN));
    let mut ranges: Vec<Range<'_>> = vec![(0, unknown())];
    let mut next = 0;
    for (number, rule) in rules {
        if *number > next {
            ranges.push((next, unknown()));
        }
        ranges.push((*number, Cow::Borrowed(rule)));
        next = number + 1;
    }
    ranges.push((next, unknown()));
    // Of two at the same place the later one counts; of two alike the first is enough.
    ranges.dedup_by(|later, earlier| {
        let same_place = later.0 == earlier.0;
        if same_place {
            earlier.1 = later.1.clone();
        }
        same_place
    });
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    ranges
}

/// Finds the range of the number that was loaded. Never empty, and every way through it ends.
fn search(ranges: &[Range<'_>]) -> Vec<sock_filter> {
    let (lower, upper) = match ranges {
        [] => return vec![answer(Answer::Kill)],
        [(_, rule)] => return decide(rule),
        _ => ranges.split_at(ranges.len() / 2),
    };
    let below = search(lower);
    let mut program = jump_if_at_least(upper[0].0, below.len());
    program.extend(below);
    program.extend(search(upper));
    program
}

/// Skips so many instructions when the number is at least `least`.
fn jump_if_at_least(least: u32, skipped: usize) -> Vec<sock_filter> {
    match u8::try_from(skipped) {
        Ok(near) => vec![branch(IF_AT_LEAST, least, near, 0)],
        // Branches reach 255 instructions, plain jumps everywhere.
        Err(_) => vec![branch(IF_AT_LEAST, least, 0, 1), plain(JUMP, offset(skipped))],
    }
}

fn decide(rule: &Rule) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for case in &rule.cases {
        // Backwards: a check that fails skips all that follows of its case.
        let mut reversed = vec![answer(case.answer)];
        for check in case.checks.iter().rev() {
            // A case has a few checks, of two instructions each.
            let skipped = u8::try_from(reversed.len()).unwrap_or(u8::MAX);
            reversed.push(match check.is {
                Is::Equal(value) => branch(IF_EQUAL, value, 0, skipped),
                Is::AnyOf(bits) => branch(IF_ANY_OF, bits, 0, skipped),
            });
            reversed.push(plain(LOAD, place(check)));
        }
        program.extend(reversed.into_iter().rev());
    }
    program.push(answer(rule.otherwise));
    program
}

/// Both architectures that there are are little-endian.
const fn place(check: &Check) -> u32 {
    let half = match check.half {
        Half::Low => 0,
        Half::High => 4,
    };
    ARGUMENTS + check.argument * ARGUMENT_BYTES + half
}

fn answer(answer: Answer) -> sock_filter {
    let value = match answer {
        Answer::Allow => libc::SECCOMP_RET_ALLOW,
        Answer::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
        Answer::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    plain(RETURN, value)
}

const fn plain(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
