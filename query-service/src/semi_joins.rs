//! A rule of the logical optimizer: semi-joins move below inner joins.
//!
//! `WHERE o.id IN (SELECT …)` over `orders o JOIN items i` becomes a semi-join above that join, though it
//! looks at `orders` alone. Which rows it keeps does not depend on the other side, so it can thin out
//! `orders` before the join instead of the join's rows after it. DataFusion moves filters this way and not
//! semi-joins.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, JoinType, tree_node::Transformed},
    error::Result,
    logical_expr::{Expr, Join, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// The rule, by its name, before which this one comes: it puts projections between joins.
const BEFORE: &str = "optimize_projections";

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, with this one among them.
pub(crate) fn pushed_down(mut rules: Vec<Rule>) -> Vec<Rule> {
    let place = rules.iter().position(|rule| rule.name() == BEFORE).unwrap_or(rules.len());
    rules.insert(place, Arc::new(PushDownSemiJoins));
    rules
}

#[derive(Debug)]
struct PushDownSemiJoins;

impl OptimizerRule for PushDownSemiJoins {
    fn name(&self) -> &str {
        "push_down_semi_joins"
    }

    /// One that moved may move on.
    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(semi) = &plan else { return Ok(Transformed::no(plan)) };
        let Some((inner, keys)) = movable(semi) else { return Ok(Transformed::no(plan)) };
        let Some(side) = side_of(&keys, inner) else { return Ok(Transformed::no(plan)) };
        let thinned = |input: &Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
            let left = Arc::clone(input);
            let schema = Arc::clone(left.schema());
            Ok(Arc::new(LogicalPlan::Join(Join { left, schema, ..semi.clone() })))
        };
        let mut moved = inner.clone();
        match side {
            Side::Left => moved.left = thinned(&inner.left)?,
            Side::Right => moved.right = thinned(&inner.right)?,
        }
        Ok(Transformed::yes(LogicalPlan::Join(moved)))
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The inner join right below a semi-join, and the columns of it that the semi-join looks at. Nothing where
/// it looks at more than columns.
fn movable(semi: &Join) -> Option<(&Join, Vec<&Column>)> {
    let LogicalPlan::Join(inner) = &*semi.left else { return None };
    if semi.join_type != JoinType::LeftSemi || semi.filter.is_some() || inner.join_type != JoinType::Inner {
        return None;
    }
    let keys = semi.on.iter().map(|(key, _)| match key {
        Expr::Column(column) => Some(column),
        _ => None,
    });
    Some((inner, keys.collect::<Option<_>>()?))
}

/// The one side that has all of these columns.
fn side_of(keys: &[&Column], join: &Join) -> Option<Side> {
    let has_all = |schema: &DFSchema| keys.iter().all(|key| schema.has_column(key));
    match (has_all(join.left.schema()), has_all(join.right.schema())) {
        (true, false) => Some(Side::Left),
        (false, true) => Some(Side::Right),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use serde_json::json;

    use super::*;
    use crate::testing::{Warehouse, batch};

    fn numbers(columns: &[(&str, &[Option<i64>])]) -> datafusion::arrow::array::RecordBatch {
        let column = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        batch(columns.iter().map(|(name, values)| (*name, column(values))).collect())
    }

    async fn shop() -> Warehouse {
        let orders = numbers(&[
            ("o_id", &[Some(1), Some(2), Some(3), None]),
            ("o_buyer", &[Some(7), Some(8), Some(7), Some(8)]),
        ]);
        let items = numbers(&[
            ("i_order", &[Some(1), Some(1), Some(2), Some(3), None]),
            ("i_count", &[Some(10), Some(20), Some(30), None, Some(50)]),
        ]);
        let wanted = numbers(&[
            ("w_id", &[Some(1), Some(1), Some(3), None]),
            ("w_buyer", &[Some(7), Some(7), None, Some(8)]),
        ]);
        Warehouse::new(&[("orders", &[orders]), ("items", &[items]), ("wanted", &[wanted])]).await
    }

    /// How deep the semi-join is in a plan: the number of other joins above it.
    fn joins_above(plan: &str) -> usize {
        let joins: Vec<_> = plan.lines().filter(|line| line.contains("HashJoin")).collect();
        joins.iter().position(|line| line.contains("Semi")).unwrap_or_else(|| panic!("a semi-join: {plan}"))
    }

    #[tokio::test]
    async fn one_that_looks_at_one_side_moves_there() {
        let shop = shop().await;
        for (sql, rows) in [
            (
                "SELECT o_id, i_count FROM orders JOIN items ON o_id = i_order \
                    WHERE o_id IN (SELECT w_id FROM wanted) ORDER BY 1, 2 NULLS FIRST",
                json!([[1, 10], [1, 20], [3, null]]),
            ),
            (
                "SELECT o_id, i_count FROM items JOIN orders ON o_id = i_order \
                    WHERE EXISTS (SELECT 1 FROM wanted WHERE w_buyer = o_buyer AND w_id = o_id) ORDER BY 2",
                json!([[1, 10], [1, 20]]),
            ),
            (
                "SELECT a.o_id FROM orders a JOIN orders b ON a.o_buyer = b.o_buyer JOIN items ON a.o_id = i_order \
                    WHERE a.o_id IN (SELECT w_id FROM wanted) ORDER BY 1",
                json!([[1], [1], [1], [1], [3], [3]]),
            ),
        ] {
            assert_eq!(shop.ask(sql).await.unwrap(), rows, "{sql}");
            let plan = shop.plan(sql).await;
            assert!(joins_above(&plan) > 0, "{plan}");
        }
    }

    #[tokio::test]
    async fn one_that_looks_at_both_sides_stays() {
        let shop = shop().await;
        let sql = "SELECT o_id FROM orders JOIN items ON o_id = i_order WHERE EXISTS \
            (SELECT 1 FROM wanted WHERE w_buyer = o_buyer AND w_id * 10 = i_count) ORDER BY 1";
        assert_eq!(shop.ask(sql).await.unwrap(), json!([[1]]));
        assert_eq!(joins_above(&shop.plan(sql).await), 0);
    }

    /// A row that an outer join makes up is there or not by what the join above it finds.
    #[tokio::test]
    async fn none_moves_below_an_outer_join() {
        let shop = shop().await;
        let sql = "SELECT o_id, i_count FROM orders LEFT JOIN items ON o_id = i_order AND i_count > 10 \
            WHERE o_id IN (SELECT w_id FROM wanted) ORDER BY 1, 2";
        assert_eq!(shop.ask(sql).await.unwrap(), json!([[1, 20], [3, null]]));
        assert_eq!(joins_above(&shop.plan(sql).await), 0);
    }
}
