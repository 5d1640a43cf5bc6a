//! What a vector is: an attack, the denial that is expected of it, and the control that shows that it
//! can succeed.

use std::{fmt, future::Future, pin::Pin};

use trace_controls::Protection;

use crate::{round::End, scene::Scene};

/// One attack.
#[derive(Clone, Copy)]
pub struct Vector {
    /// Unique. Of a Python attack, the name that it is registered under.
    pub name: &'static str,
    /// Which plane is attacked.
    pub plane: Plane,
    /// What is tried, for the table in the docs.
    pub tries: &'static str,
    /// How.
    pub attack: Attack,
    /// Each of these is the right denial, and nothing else is.
    pub denials: &'static [Denial],
    /// What shows that the vector can succeed.
    pub control: Control,
}

/// A plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    /// The sandbox of a task.
    Sandbox,
    /// Bundles and files.
    Bundle,
    /// Tokens, on every plane that reads them.
    Token,
    /// SQL, and what it reads.
    Sql,
    /// The object store.
    Storage,
    /// The way out.
    Egress,
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sandbox => "sandbox",
            Self::Bundle => "bundle",
            Self::Token => "token",
            Self::Sql => "sql",
            Self::Storage => "storage",
            Self::Egress => "egress",
        })
    }
}

impl Plane {
    /// A vector on this plane.
    pub const fn vector(
        self,
        name: &'static str,
        tries: &'static str,
        attack: Attack,
        denials: &'static [Denial],
        control: Control,
    ) -> Vector {
        Vector { name, plane: self, tries, attack, denials, control }
    }
}

/// How an attack is made.
#[derive(Clone, Copy)]
pub enum Attack {
    /// A Python function in a process of its own, in a task that many vectors share. It tells what it saw.
    Shared,
    /// The same, in a task that has inputs: see [`inputs`](crate::inputs).
    Reader,
    /// The same, in a task whose inputs are in more folders than one session holds.
    Crowded,
    /// The same, in a task that is granted destinations: see [`reaching`](crate::reaching).
    Reaching,
    /// A Python function that is the whole of a task.
    Alone(Task),
    /// A bundle made by hand. The task that it belongs to would do nothing.
    Bundle(fn(&Scene<'_>) -> Vec<u8>, Witness),
    /// Anything else, by a user of the platform from outside.
    Outside(fn(Scene<'_>) -> Story<'_>),
}

/// What an attack from outside comes to; an error means that it could not be tried.
pub type Story<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Seen>> + 'a>>;

/// A task with one attack.
#[derive(Clone, Copy)]
pub struct Task {
    /// As in the DAG file.
    pub resources: &'static str,
    /// As in the DAG file.
    pub timeout: &'static str,
    /// Who says what happened.
    pub witness: Witness,
}

/// Who says what an attack came to.
#[derive(Clone, Copy)]
pub enum Witness {
    /// How the attempt ended: `outcome memory`; a success is a success of the attack.
    Outcome,
    /// A look from outside, after the end.
    Look(fn(&Scene<'_>, &End) -> anyhow::Result<Seen>),
}

/// A denial that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Exactly.
    pub how: &'static str,
    /// Somewhere in the details; empty: anything.
    pub saying: &'static str,
}

/// A denial of exactly this kind, such as `errno EPERM`, `killed SIGSYS` or `outcome memory`.
pub const fn denial(how: &'static str) -> Denial {
    Denial { how, saying: "" }
}

/// A denial of this kind that says this, somewhere in its details.
pub const fn saying(how: &'static str, saying: &'static str) -> Denial {
    Denial { how, saying }
}

/// What shows that a vector can succeed.
#[derive(Debug, Clone, Copy)]
pub enum Control {
    /// It succeeds once this alone is switched off.
    Off(Protection),
    /// Each of these denies it by itself: it succeeds once all of them are off.
    Layers(&'static [Protection]),
    /// It succeeds, with everything standing, on a target that was planted within its reach. For
    /// protections that are the absence of a thing.
    Planted,
    /// There is none, for this reason.
    Without(&'static str),
}

/// What is said of an attack that could not be tried; by the UDF, too.
const UNTRIED: &str = "could not be tried";

/// What an attack came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Seen {
    /// Whether it reached its goal.
    pub got: bool,
    /// In a word that is compared.
    pub how: String,
    /// In words that are shown.
    pub detail: String,
}

impl Seen {
    /// The attack reached its goal.
    pub fn got(detail: impl Into<String>) -> Self {
        Self { got: true, how: "got".to_owned(), detail: detail.into() }
    }

    /// Something refused it.
    pub fn refused(how: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { got: false, how: how.into(), detail: detail.into() }
    }

    /// It could not be tried, which is neither a success nor a denial.
    pub fn untried(detail: impl Into<String>) -> Self {
        Self::refused(UNTRIED, detail)
    }

    /// Whether something denied it, whatever that was.
    pub fn is_a_denial(&self) -> bool {
        !self.got && self.how != UNTRIED
    }
}

impl Vector {
    /// Whether this is a denial by what should deny it.
    pub fn is_denied(&self, seen: &Seen) -> bool {
        let right = |denial: &Denial| denial.how == seen.how && seen.detail.contains(denial.saying);
        !seen.got && self.denials.iter().any(right)
    }

    /// The denials that are expected, for people.
    pub fn expected(&self) -> String {
        let one = |denial: &Denial| match denial.saying {
            "" => denial.how.to_owned(),
            saying => format!("{}: …{saying}…", denial.how),
        };
        self.denials.iter().map(one).collect::<Vec<_>>().join(" or ")
    }
}

impl Attack {
    /// Whether it is a function of the attacking UDF.
    pub const fn is_python(&self) -> bool {
        matches!(self, Self::Shared | Self::Reader | Self::Crowded | Self::Reaching | Self::Alone(_))
    }
}

impl Control {
    /// What has to be off for it; `None` where there is no control.
    pub fn off(&self) -> Option<&[Protection]> {
        match self {
            Self::Off(one) => Some(std::slice::from_ref(one)),
            Self::Layers(all) => Some(all),
            Self::Planted => Some(&[]),
            Self::Without(_) => None,
        }
    }

    /// What denies it by itself, where several do.
    pub fn layers(&self) -> &[Protection] {
        if let Self::Layers(all) = self { all } else { &[] }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let names = |all: &[Protection]| all.iter().map(|one| one.name()).collect::<Vec<_>>().join(" + ");
        match self {
            Self::Off(one) => format!("`{}` off", one.name()),
            Self::Layers(all) => format!("`{}` off", names(all)),
            Self::Planted => "planted target".to_owned(),
            Self::Without(why) => format!("none: {why}"),
        }
    }
}
