//! The logical optimizer's merge of projections, where it can be trusted.
//!
//! `OptimizeProjections` drops one of two consecutive projections whose expressions are written the same, as
//! if one of them said nothing. But in `SELECT t + 1 AS t FROM (SELECT t + 1 AS t …)` each adds one, and
//! `SELECT b AS a, a AS b` swaps twice (apache/datafusion#24686 takes the shortcut out, in a later version).
//! So no two that follow on each other are written the same when that rule sees them: a lower one has its first
//! computed expression under its name twice or three times over, in turns, which means the same. What the
//! rule itself merges has each name once, and can't be taken for the next one either. Merging takes the
//! names off again, so that nothing of this is left in what is executed.

use std::sync::Arc;

use datafusion::{
    common::tree_node::Transformed,
    error::Result,
    logical_expr::{Expr, LogicalPlan, Projection, expr::Alias},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// The rule that merges.
const MERGING: &str = "optimize_projections";

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, with the one that tells projections apart before the one that merges them.
pub(crate) fn careful(rules: Vec<Rule>) -> Vec<Rule> {
    let careful = |rule: Rule| match rule.name() {
        MERGING => vec![Arc::new(TellApart) as Rule, rule],
        _ => vec![rule],
    };
    rules.into_iter().flat_map(careful).collect()
}

#[derive(Debug)]
struct TellApart;

impl OptimizerRule for TellApart {
    fn name(&self) -> &str {
        "tell_projections_apart"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(upper) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Projection(lower) = &*upper.input else { return Ok(Transformed::no(plan)) };
        let below = if let LogicalPlan::Projection(lowest) = &*lower.input { names(lowest) } else { 0 };
        let wanted = if below == 2 { 3 } else { 2 };
        let is_told_apart = first_computed(&lower.expr).is_none() || names(lower) == wanted;
        if names(upper) <= 1 && is_told_apart {
            return Ok(Transformed::no(plan));
        }
        let input = Arc::new(LogicalPlan::Projection(named(lower, wanted)?));
        let upper = named(upper, 1)?;
        let upper = Projection::try_new_with_schema(upper.expr, input, upper.schema)?;
        Ok(Transformed::yes(LogicalPlan::Projection(upper)))
    }
}

/// The first expression that is more than a column. Where there is none, nothing is lost with one of two.
fn first_computed(expressions: &[Expr]) -> Option<usize> {
    expressions.iter().position(|expression| !matches!(expression, Expr::Column(_)))
}

/// How many times over that has its name; zero where it has none, or there is none.
fn names(projection: &Projection) -> usize {
    first_computed(&projection.expr).map_or(0, |index| times(&projection.expr[index]))
}

fn times(expression: &Expr) -> usize {
    match expression {
        Expr::Alias(alias) => same_name_below(alias).map_or(1, |_| 1 + times(&alias.expr)),
        _ => 0,
    }
}

fn same_name_below(alias: &Alias) -> Option<&Expr> {
    match &*alias.expr {
        Expr::Alias(below)
            if below.name == alias.name && below.relation == alias.relation && alias.metadata.is_none() =>
        {
            Some(&alias.expr)
        }
        _ => None,
    }
}

/// The same projection, with that name so many times over.
fn named(projection: &Projection, wanted: usize) -> Result<Projection> {
    let mut expressions = projection.expr.clone();
    if let Some(index) = first_computed(&expressions) {
        let mut expression = expressions[index].clone();
        while let Expr::Alias(alias) = &expression
            && let Some(below) = same_name_below(alias)
        {
            expression = below.clone();
        }
        let (relation, name) = expression.qualified_name();
        // One is what it is given by its author, if any.
        for _ in times(&expression).max(usize::from(wanted == 1))..wanted {
            expression = expression.alias_qualified(relation.clone(), name.clone());
        }
        expressions[index] = expression;
    }
    Projection::try_new_with_schema(
        expressions,
        Arc::clone(&projection.input),
        Arc::clone(&projection.schema),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::Warehouse;

    const ONE_AND_TWO: &str = "(VALUES (1, 2)) AS v(a, b)";

    #[tokio::test]
    async fn each_of_consecutive_projections_counts() {
        let warehouse = Warehouse::new(&[]).await;
        let plus = |times: usize| {
            let mut sql = format!("SELECT a AS t FROM {ONE_AND_TWO}");
            for _ in 0..times {
                sql = format!("SELECT t + 1 AS t FROM ({sql})");
            }
            sql
        };
        for times in [2, 3, 4, 6, 12] {
            assert_eq!(warehouse.ask(&plus(times)).await.unwrap(), json!([[1 + times]]), "{times} times");
        }
        for (sql, row) in [
            // What was merged already is written like the next one.
            (
                format!(
                    "SELECT t + 1 AS t FROM (SELECT t + 1 AS t FROM (SELECT t + 1 + 1 AS t FROM ({})))",
                    plus(1)
                ),
                json!([6]),
            ),
            // What is used twice is not merged.
            (
                format!(
                    "SELECT t + t AS t FROM (SELECT t + t AS t FROM (SELECT t + t AS t FROM ({})))",
                    plus(1)
                ),
                json!([16]),
            ),
            (format!("SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM {ONE_AND_TWO})"), json!([1, 2])),
            (
                format!(
                    "SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM (SELECT b AS a, a AS b FROM {ONE_AND_TWO}))"
                ),
                json!([2, 1]),
            ),
            // Names that nobody gave.
            (format!("SELECT t, t + 1 FROM (SELECT t, t + 1 FROM ({}))", plus(1)), json!([2, 3])),
            // In a subquery of an expression.
            (
                format!("SELECT (SELECT t + 1 AS t FROM (SELECT t + 1 AS t FROM ({}))) AS n", plus(0)),
                json!([3]),
            ),
        ] {
            assert_eq!(warehouse.ask(&sql).await.unwrap(), json!([row]), "{sql}");
        }
    }

    #[tokio::test]
    async fn they_are_still_merged_into_one() {
        let warehouse = Warehouse::new(&[("flights", &[crate::testing::flights()])]).await;
        let sql = "SELECT t + 1 AS t FROM (SELECT t + 1 AS t FROM (SELECT flight + 1 AS t FROM flights))";
        let plan = warehouse.plan(sql).await;
        assert!(plan.matches("Projection").count() <= 1, "{plan}");
        assert!(!plan.contains("as t as t"), "{plan}");
    }
}
