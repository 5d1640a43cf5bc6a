//! The decision, and reading what it is made from.

use std::collections::{BTreeSet, HashMap};

use sqlx::{PgConnection, PgPool};
use trace_contracts::{
    EgressGrant, Name, OrgId,
    destination::Destination,
    wire::egress::{EgressEffect, EgressRuleInfo},
};

use crate::{
    config::Egress,
    db::{self, egress::RuleRow},
};

/// The rules of an org.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<EgressRuleInfo>,
}

/// What the rules say of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It may be reached, by this rule.
    Allowed(&'a EgressRuleInfo),
    /// This rule forbids it.
    Denied(&'a EgressRuleInfo),
    /// No rule is about it.
    Unlisted,
}

impl Policy {
    /// A policy of these rules.
    #[must_use]
    pub const fn new(rules: Vec<EgressRuleInfo>) -> Self {
        Self { rules }
    }

    /// Whether a DAG may reach a destination. A denial beats every permission, however exact either is.
    #[must_use]
    pub fn decide(&self, dag: &Name, destination: &Destination) -> Verdict<'_> {
        let about = |effect| {
            self.rules.iter().find(|rule| {
                rule.effect == effect
                    && rule.dag.as_ref().is_none_or(|only| only == dag)
                    && rule.to.matches(destination)
            })
        };
        match (about(EgressEffect::Deny), about(EgressEffect::Allow)) {
            (Some(rule), _) => Verdict::Denied(rule),
            (None, Some(rule)) => Verdict::Allowed(rule),
            (None, None) => Verdict::Unlisted,
        }
    }

    /// Those of these grants that a DAG may have now.
    #[must_use]
    pub fn allowed(&self, dag: &Name, declared: &[EgressGrant]) -> Vec<EgressGrant> {
        let may = |grant: &&EgressGrant| matches!(self.decide(dag, &grant.destination), Verdict::Allowed(_));
        declared.iter().filter(may).cloned().collect()
    }
}

/// The policies of orgs. One that is not in it allows nothing.
#[derive(Debug, Default)]
pub struct Policies(HashMap<OrgId, Policy>);

impl Policies {
    /// What holds now, in one statement; in none where nobody asks or nothing leads out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_pool(db: &PgPool, way: Egress, orgs: &BTreeSet<OrgId>) -> Result<Self, db::Error> {
        if orgs.is_empty() || way == Egress::None {
            return Ok(Self::default());
        }
        Self::of(&mut *db.acquire().await?, way, orgs).await
    }

    /// The same on a connection.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(conn: &mut PgConnection, way: Egress, orgs: &BTreeSet<OrgId>) -> Result<Self, db::Error> {
        if orgs.is_empty() || way == Egress::None {
            return Ok(Self::default());
        }
        let orgs: Vec<i64> = orgs.iter().map(|org| org.get()).collect();
        let mut policies: HashMap<OrgId, Policy> = HashMap::new();
        for RuleRow { org, info } in db::egress::in_force(conn, &orgs).await? {
            policies.entry(org).or_default().rules.push(info);
        }
        Ok(Self(policies))
    }

    /// Those of these grants that a DAG of the org may have now.
    #[must_use]
    pub fn allowed(&self, org: OrgId, dag: &Name, declared: &[EgressGrant]) -> Vec<EgressGrant> {
        self.0.get(&org).map(|policy| policy.allowed(dag, declared)).unwrap_or_default()
    }

    /// The policy of one org.
    #[must_use]
    pub fn into_one(mut self, org: OrgId) -> Policy {
        self.0.remove(&org).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use trace_contracts::{EgressRuleId, UserId};

    use super::*;

    fn policy(rules: &[(EgressEffect, &str, Option<&str>)]) -> Policy {
        let info = |(number, (effect, to, dag)): (i64, &(EgressEffect, &str, Option<&str>))| EgressRuleInfo {
            rule: EgressRuleId::from_db(number),
            effect: *effect,
            to: to.parse().unwrap(),
            dag: dag.map(|dag| dag.parse().unwrap()),
            set_by: UserId::from_db(1),
            set_at: DateTime::UNIX_EPOCH,
        };
        Policy::new((1..).zip(rules).map(info).collect())
    }

    fn said(policy: &Policy, dag: &str, destination: &str) -> String {
        match policy.decide(&dag.parse().unwrap(), &destination.parse().unwrap()) {
            Verdict::Allowed(rule) => format!("allowed by {}", rule.rule),
            Verdict::Denied(rule) => format!("denied by {}", rule.rule),
            Verdict::Unlisted => "unlisted".to_owned(),
        }
    }

    #[test]
    fn a_denial_beats_every_permission_and_nothing_is_allowed_by_itself() {
        use EgressEffect::{Allow, Deny};
        let policy = policy(&[
            (Allow, "*.example.com:443", None),
            (Deny, "pay.example.com:443", None),
            (Allow, "pay.example.com:443", Some("billing")),
            (Allow, "api.example.org:443", Some("billing")),
            (Allow, "api.example.net:443", None),
            (Deny, "*.example.net:443", Some("billing")),
        ]);
        for (dag, destination, expected) in [
            ("d", "api.example.com:443", "allowed by e1"),
            ("d", "a.b.example.com:443", "allowed by e1"),
            ("d", "example.com:443", "unlisted"),
            ("d", "api.example.com:80", "unlisted"),
            ("d", "pay.example.com:443", "denied by e2"),
            ("billing", "pay.example.com:443", "denied by e2"),
            ("billing", "api.example.org:443", "allowed by e4"),
            ("d", "api.example.org:443", "unlisted"),
            ("d", "api.example.net:443", "allowed by e5"),
            ("billing", "api.example.net:443", "denied by e6"),
        ] {
            assert_eq!(said(&policy, dag, destination), expected, "{dag} {destination}");
        }
        assert_eq!(said(&Policy::default(), "d", "api.example.com:443"), "unlisted");
    }

    #[test]
    fn grants_keep_what_is_allowed_with_its_budgets() {
        let policy = policy(&[(EgressEffect::Allow, "a.example.com:443", None)]);
        let grant =
            |to: &str| EgressGrant { destination: to.parse().unwrap(), max_bytes: 7, max_requests: 3 };
        let declared = [grant("a.example.com:443"), grant("b.example.com:443")];
        let allowed = policy.allowed(&"d".parse().unwrap(), &declared);
        assert_eq!(allowed, declared[..1]);
        let of = |orgs: Policies| orgs.allowed(OrgId::from_db(2), &"d".parse().unwrap(), &declared);
        assert!(of(Policies(HashMap::from([(OrgId::from_db(1), policy.clone())]))).is_empty());
        assert_eq!(of(Policies(HashMap::from([(OrgId::from_db(2), policy)]))).len(), 1);
    }
}
