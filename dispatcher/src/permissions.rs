//! Who may do what: one function decides, and what it gives is the only way on.

use std::marker::PhantomData;

use trace_contracts::{OrgId, Role, UserId};

use crate::users::Caller;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident, $text:literal, [$($role:ident),* $(,)?];)*) => {
        /// What a user may ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the audit log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        /// The one decision: whether a role may do an action. What is not listed is denied.
        const fn allows(role: Role, action: Action) -> bool {
            match action {
                $(Action::$name => matches!(role, $(Role::$role)|*),)*
            }
        }

        /// The actions as types, so that a permit for one can't pass for another's.
        pub mod action {
            $(
                $(#[$doc])*
                #[derive(Debug, Clone, Copy)]
                pub struct $name;

                impl super::Act for $name {
                    const ACTION: super::Action = super::Action::$name;
                }
            )*
        }
    };
}

actions! {
    /// See who one is.
    WhoAmI, "whoami", [Reader, Writer, Operator, Admin, Auditor];
    /// See DAGs, runs, tasks, logs, dead letters and the registry.
    View, "view", [Reader, Writer, Operator, Admin];
    /// Query the datasets that one may read.
    Query, "query", [Reader, Writer, Operator, Admin];
    /// Upload bundles and files.
    Upload, "blob.put", [Writer, Operator, Admin];
    /// Deploy a DAG.
    Deploy, "dag.deploy", [Writer, Operator, Admin];
    /// Start a run.
    Trigger, "run.trigger", [Writer, Operator, Admin];
    /// Cancel a run.
    Cancel, "run.cancel", [Operator, Admin];
    /// Take a task off the dead-letter list.
    Retry, "task.retry", [Operator, Admin];
    /// Let a role read a dataset.
    Grant, "dataset.grant", [Admin];
    /// Set the org's limits.
    SetLimits, "limits.set", [Admin];
    /// See what DAGs may reach outside.
    ListEgress, "egress.list", [Operator, Admin, Auditor];
    /// Let DAGs reach a destination outside, or keep them from it.
    SetEgress, "egress.set", [Admin];
    /// Take a rule of egress back.
    RemoveEgress, "egress.remove", [Admin];
    /// See where deliveries go, and what became of them.
    ListWebhooks, "webhook.list", [Operator, Admin, Auditor];
    /// Add a webhook, and see the key that signs for it, once.
    AddWebhook, "webhook.add", [Admin];
    /// Give a webhook a new key.
    RotateWebhook, "webhook.rotate", [Admin];
    /// Send to a disabled webhook again.
    EnableWebhook, "webhook.enable", [Admin];
    /// Remove a webhook.
    RemoveWebhook, "webhook.remove", [Admin];
    /// Have dead deliveries sent again.
    RedriveDeliveries, "delivery.redrive", [Admin];
    /// Read the audit log.
    ReadAudit, "audit.read", [Admin, Auditor];
    /// See the keys that sign capabilities. For this and what follows on keys and workers, the org has to be
    /// the platform's own.
    ListKeys, "key.list", [Admin];
    /// Let a new key sign.
    RotateKeys, "key.rotate", [Admin];
    /// Have nothing believed any more that a key signed.
    RevokeKeys, "key.revoke", [Admin];
    /// See what was done under capabilities that a key signed.
    ReadTouched, "key.touched", [Admin];
    /// Take a worker's or plane's identity away.
    RevokeWorker, "worker.revoke", [Admin];
    /// See who is in the org.
    ListUsers, "user.list", [Admin, Auditor];
    /// Take a user's authority away.
    SuspendUser, "user.suspend", [Admin];
    /// Let a suspended user in again.
    RestoreUser, "user.restore", [Admin];
}

/// An action as a type.
pub trait Act {
    /// Which one.
    const ACTION: Action;
}

/// Proof that a user may do `A`. Only [`permit`] makes one.
#[derive(Debug)]
pub struct Permit<A> {
    caller: Caller,
    action: PhantomData<fn() -> A>,
}

impl<A: Act> Permit<A> {
    /// Who may.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Their id.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.caller.user()
    }

    /// Their org, which bounds everything they may see.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.caller.org()
    }
}

/// The role may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the role `{role}` does not allow `{}`: ask an admin of your org for a role that does", .action.as_str())]
pub struct Denied {
    /// The caller's role.
    pub role: Role,
    /// What was asked for.
    pub action: Action,
}

/// Decides, and gives the permit.
///
/// # Errors
/// [`Denied`] unless the caller's role allows the action.
pub fn permit<A: Act>(caller: Caller) -> Result<Permit<A>, Denied> {
    if allows(caller.role(), A::ACTION) {
        Ok(Permit { caller, action: PhantomData })
    } else {
        Err(Denied { role: caller.role(), action: A::ACTION })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix as people read it: reader, writer, operator, admin, auditor.
    const MATRIX: &[(Action, [bool; 5])] = &[
        (Action::WhoAmI, [true, true, true, true, true]),
        (Action::View, [true, true, true, true, false]),
        (Action::Query, [true, true, true, true, false]),
        (Action::Upload, [false, true, true, true, false]),
        (Action::Deploy, [false, true, true, true, false]),
        (Action::Trigger, [false, true, true, true, false]),
        (Action::Cancel, [false, false, true, true, false]),
        (Action::Retry, [false, false, true, true, false]),
        (Action::Grant, [false, false, false, true, false]),
        (Action::SetLimits, [false, false, false, true, false]),
        (Action::ListEgress, [false, false, true, true, true]),
        (Action::SetEgress, [false, false, false, true, false]),
        (Action::RemoveEgress, [false, false, false, true, false]),
        (Action::ListWebhooks, [false, false, true, true, true]),
        (Action::AddWebhook, [false, false, false, true, false]),
        (Action::RotateWebhook, [false, false, false, true, false]),
        (Action::EnableWebhook, [false, false, false, true, false]),
        (Action::RemoveWebhook, [false, false, false, true, false]),
        (Action::RedriveDeliveries, [false, false, false, true, false]),
        (Action::ReadAudit, [false, false, false, true, true]),
        (Action::ListKeys, [false, false, false, true, false]),
        (Action::RotateKeys, [false, false, false, true, false]),
        (Action::RevokeKeys, [false, false, false, true, false]),
        (Action::ReadTouched, [false, false, false, true, false]),
        (Action::RevokeWorker, [false, false, false, true, false]),
        (Action::ListUsers, [false, false, false, true, true]),
        (Action::SuspendUser, [false, false, false, true, false]),
        (Action::RestoreUser, [false, false, false, true, false]),
    ];

    #[test]
    fn every_role_and_action_is_in_the_matrix_and_decided_by_it() {
        for action in Action::ALL {
            let rows: Vec<_> = MATRIX.iter().filter(|(listed, _)| listed == action).collect();
            assert_eq!(rows.len(), 1, "{action:?} must be in the matrix once");
            for (role, expected) in Role::ALL.into_iter().zip(rows[0].1) {
                assert_eq!(allows(role, *action), expected, "{role} {action:?}");
            }
        }
    }

    #[test]
    fn a_permit_carries_its_caller_and_a_refusal_says_what_to_do() {
        let caller = |role| Caller::for_tests(UserId::from_db(1), OrgId::from_db(2), role);
        let permit = permit::<action::Deploy>(caller(Role::Writer)).unwrap();
        assert_eq!((permit.user().get(), permit.org().get()), (1, 2));
        let denied = super::permit::<action::Grant>(caller(Role::Operator)).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the role `operator` does not allow `dataset.grant`: ask an admin of your org for a role that does"
        );
    }
}
