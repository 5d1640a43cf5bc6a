//! What launchers share whose code runs elsewhere, under the platform's runner: the ticket that it is given, the rate
//! at which runners are started, what they report, and what that means.

mod ended;
mod rate;
mod reports;
#[cfg(test)]
pub(in crate::launcher) mod scripted;
mod ticket;

pub(in crate::launcher) use self::{
    ended::{LAST_REPORTS, Left, Limits, SILENT, ended, judge, reported},
    rate::Rate,
    reports::{BUFFER_BYTES, Reports},
    ticket::ticket,
};
