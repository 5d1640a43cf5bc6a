//! The physical optimizer's filter pushdown, where it can be trusted.
//!
//! It finds the columns of a predicate by name, and in this version of DataFusion by nothing else:
//! where a schema has two columns of one name, a predicate on the second is taken for one on the
//! first, moves to the other's table, and drops rows (apache/datafusion#25259 lists the cases and
//! maps by position, in a later version). So the rule runs only on plans in which a name can mean one
//! column: no node has a name twice, the inputs of a node share none, and no expression is given a
//! name that its input has for something else. All other plans stay as they are; the logical
//! optimizer, which knows whose column it is, has moved predicates to their tables already.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, aggregates::AggregateExec, projection::ProjectionExec},
};

/// What the names of the rules begin with.
const RULE: &str = "FilterPushdown";

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules, with those that push filters down made careful.
pub(crate) fn careful(rules: Vec<Rule>) -> Vec<Rule> {
    let careful = |rule: Rule| match rule.name().starts_with(RULE) {
        true => Arc::new(Careful(rule)) as Rule,
        false => rule,
    };
    rules.into_iter().map(careful).collect()
}

#[derive(Debug)]
struct Careful(Rule);

impl PhysicalOptimizerRule for Careful {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if names_are_clear(&plan)? { self.0.optimize(plan, config) } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether a name means the same column wherever it is seen on the way of a predicate.
fn names_are_clear(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut clear = true;
    plan.apply(|node| {
        clear = names_are_clear_at(node);
        Ok(if clear { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(clear)
}

fn names_are_clear_at(node: &Arc<dyn ExecutionPlan>) -> bool {
    let inputs: Vec<_> = node.children().into_iter().map(|child| child.schema()).collect();
    let from_below = inputs.iter().flat_map(|schema| schema.fields()).map(|field| field.name().as_str());
    let own = node.schema();
    are_distinct(from_below)
        && are_distinct(own.fields().iter().map(|field| field.name().as_str()))
        && computed(node).iter().all(|(expression, name)| {
            let known = inputs.iter().any(|schema| schema.index_of(name).is_ok());
            !known || expression.downcast_ref::<Column>().is_some_and(|column| column.name() == name)
        })
}

/// What a node computes, and the names that it gives it.
fn computed(node: &Arc<dyn ExecutionPlan>) -> Vec<(Arc<dyn PhysicalExpr>, String)> {
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        return projection.expr().iter().map(|to| (Arc::clone(&to.expr), to.alias.clone())).collect();
    }
    node.downcast_ref::<AggregateExec>().map_or_else(Vec::new, |node| node.group_expr().expr().to_vec())
}

fn are_distinct<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| seen.insert(name))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use serde_json::json;

    use super::*;
    use crate::testing::{Warehouse, batch};

    fn numbers(columns: &[(&str, [i64; 3])]) -> RecordBatch {
        let column = |values: &[i64; 3]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        batch(columns.iter().map(|(name, values)| (*name, column(values))).collect())
    }

    async fn shop() -> Warehouse {
        let orders = numbers(&[("id", [1, 2, 3]), ("amount", [100, 200, 300])]);
        let payments = numbers(&[("id", [1, 2, 3]), ("amount", [30, 20, 10])]);
        let customers = numbers(&[("customer", [1, 2, 3]), ("city", [7, 8, 9])]);
        Warehouse::new(&[("orders", &[orders]), ("payments", &[payments]), ("customers", &[customers])]).await
    }

    /// The cases of apache/datafusion#25259: with the rule as it comes, each of them loses its row.
    #[tokio::test]
    async fn no_row_is_lost_where_names_meet() {
        let shop = shop().await;
        for (sql, rows) in [
            (
                "SELECT o.amount, p.amount FROM orders o JOIN payments p ON o.id = p.id \
                    JOIN customers c ON p.id = c.customer ORDER BY p.amount LIMIT 1",
                json!([[300, 10]]),
            ),
            (
                "SELECT c.city FROM customers c JOIN (SELECT o.amount, p.amount AS paid, p.id FROM orders o \
                    JOIN payments p ON o.id = p.id) s ON s.paid = c.customer * 10 WHERE c.city = 7",
                json!([[7]]),
            ),
            (
                "SELECT s.n FROM customers c JOIN (SELECT p.amount AS id, count(*) AS n FROM orders o \
                    JOIN payments p ON o.id = p.id GROUP BY o.amount, p.amount) s ON s.id = c.customer * 10 \
                    WHERE c.city = 9",
                json!([[1]]),
            ),
            (
                "SELECT s.id FROM (SELECT amount AS id, id AS amount FROM payments) s JOIN customers c \
                    ON s.amount = c.customer WHERE c.city = 9",
                json!([[10]]),
            ),
        ] {
            assert_eq!(shop.ask(sql).await.unwrap(), rows, "{sql}");
        }
    }

    #[tokio::test]
    async fn what_a_join_finds_reaches_the_other_scan_where_names_are_clear() {
        let shop = shop().await;
        let dynamic = "DynamicFilter";
        let clear = "SELECT amount FROM customers JOIN orders ON id = customer WHERE city = 7";
        let plan = shop.plan(clear).await;
        assert!(plan.contains(dynamic), "{plan}");
        assert_eq!(shop.ask(clear).await.unwrap(), json!([[100]]));
        let unclear = "SELECT o.amount FROM orders o JOIN payments p ON o.id = p.id WHERE p.amount = 30";
        let plan = shop.plan(unclear).await;
        assert!(!plan.contains(dynamic), "{plan}");
        assert_eq!(shop.ask(unclear).await.unwrap(), json!([[100]]));
    }

    /// What a join finds would tell a row filter's scan nothing, and its rows nothing.
    #[tokio::test]
    async fn nothing_found_reaches_below_a_guard() {
        let mut shop = shop().await;
        shop.filter("orders", "amount", trace_contracts::grant::FilterValue::Int(200));
        let sql = "SELECT amount FROM customers JOIN orders ON id = customer WHERE city > 7";
        let plan = shop.plan(sql).await;
        let (_, below) = plan.split_once("Guard").expect(&plan);
        assert!(!below.contains("DynamicFilter"), "{plan}");
        assert_eq!(shop.ask(sql).await.unwrap(), json!([[200]]));
    }
}
