//! Folders of inputs packed into as few session policies as hold them. Pure.

use std::collections::BTreeSet;

use trace_contracts::S3Prefix;
use trace_controls::{Protection, stands};

use super::{
    arn::{Partition, StoreNames},
    policy::{MAX_POLICY_CHARS, MAX_SESSIONS, SessionPolicy, ascii, exactly, listing, objects},
};

/// What an attempt gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The sessions. The first one writes.
    pub sessions: Vec<SessionPolicy>,
    /// Folders that no session reaches: their objects are read by address. They are never put together
    /// into a folder above them.
    pub left: BTreeSet<S3Prefix>,
}

/// A session that is being filled.
struct Open {
    read: Vec<S3Prefix>,
    write: Vec<S3Prefix>,
    chars: usize,
}

/// Fills the attempt's own session and up to seven more with inputs, the longest first, each where it
/// fits first. `None` when the attempt's own session is too long without any input.
pub(super) fn pack(store: &StoreNames, own: SessionPolicy, inputs: BTreeSet<S3Prefix>) -> Option<Packed> {
    let partition = &store.partition;
    if own.chars() > MAX_POLICY_CHARS {
        return None;
    }
    let empty = SessionPolicy::new(store, Vec::new(), Vec::new()).chars();
    let mut by_length: Vec<(usize, S3Prefix)> =
        inputs.into_iter().map(|input| (chars_of(partition, &input), input)).collect();
    by_length.sort_by(|(a, first), (b, second)| b.cmp(a).then_with(|| first.cmp(second)));
    let mut open = vec![Open { chars: own.chars(), read: own.read, write: own.write }];
    let mut left = BTreeSet::new();
    for (chars, input) in by_length {
        let fits = |session: &&mut Open| {
            session.chars + chars + session.chars_of_bucket(partition, &input) <= MAX_POLICY_CHARS
        };
        if let Some(session) = open.iter_mut().find(fits) {
            session.add(partition, chars, input);
            continue;
        }
        let mut another = Open { read: Vec::new(), write: Vec::new(), chars: empty };
        if open.len() < MAX_SESSIONS && fits(&&mut another) {
            another.add(partition, chars, narrow(input));
            open.push(another);
        } else {
            left.insert(input);
        }
    }
    let sessions = open.into_iter().map(|session| session.close(store)).collect();
    Some(Packed { sessions, left })
}

/// Always the folder itself. Room is never made by the folder of the whole run, in which others write too.
fn narrow(input: S3Prefix) -> S3Prefix {
    if stands(Protection::NarrowFolders) {
        return input;
    }
    let run = input.key_prefix().split_inclusive('/').take(3).collect::<String>();
    format!("s3://{}/{run}", input.bucket()).parse().unwrap_or(input)
}

impl Open {
    fn add(&mut self, partition: &Partition, chars: usize, input: S3Prefix) {
        self.chars += chars + self.chars_of_bucket(partition, &input);
        self.read.push(input);
    }

    /// The statement that lists the input's bucket, where there is none yet.
    fn chars_of_bucket(&self, partition: &Partition, input: &S3Prefix) -> usize {
        let known = self.read.iter().chain(&self.write).any(|prefix| prefix.bucket() == input.bucket());
        if known { 0 } else { listing(partition, input.bucket(), Vec::new()).to_string().len() + 1 }
    }

    fn close(mut self, store: &StoreNames) -> SessionPolicy {
        self.read.sort();
        SessionPolicy::new(store, self.read, self.write)
    }
}

/// What a folder adds to a policy: two texts in JSON, each with a comma.
fn chars_of(partition: &Partition, input: &S3Prefix) -> usize {
    let text = |text: String| ascii(&serde_json::Value::String(text).to_string()).len() + 1;
    text(objects(partition, input)) + text(exactly(input))
}

impl SessionPolicy {
    /// Two policies that reach together what this one does, for a store that finds this one too large.
    /// What the attempt writes stays in the first. `None` when there is nothing to move.
    #[must_use]
    pub fn halves(&self, store: &StoreNames) -> Option<(Self, Self)> {
        let (own, inputs): (Vec<S3Prefix>, Vec<S3Prefix>) =
            self.read.iter().cloned().partition(|prefix| self.write.contains(prefix));
        let stay = if self.write.is_empty() { inputs.len() / 2 } else { inputs.len().saturating_sub(1) / 2 };
        if inputs.is_empty() || (self.write.is_empty() && inputs.len() < 2) {
            return None;
        }
        let (stay, go) = inputs.split_at(stay);
        let first = Self::new(store, [&own[..], stay].concat(), self.write.clone());
        Some((first, Self::new(store, go.to_vec(), Vec::new())))
    }
}
