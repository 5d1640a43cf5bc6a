//! Checks on the logical plan: only reads of our tables by allowed means.

use datafusion::{
    catalog::default_table_source::source_as_provider,
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, expr::WindowFunctionDefinition},
};

use trace_controls::{Protection, limited, stands};

use super::{Error, functions};
use crate::provider::GrantedTable;

/// Nodes of one plan. Common table expressions that use each other multiply them.
const MAX_NODES: usize = 2_000;

/// Fails at the first node or expression that is not allowed.
pub(super) fn verify(plan: &LogicalPlan) -> Result<(), Error> {
    let mut nodes = 0;
    let mut verdict = Ok(());
    plan.apply_with_subqueries(|node| {
        nodes += 1;
        verdict = check_count(nodes).and_then(|()| check_node(node)).and_then(|()| check_expressions(node));
        Ok(if verdict.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })
    .map_err(error)?;
    verdict
}

/// The one mapping of what the planner says.
pub(super) fn error(error: DataFusionError) -> Error {
    let message = error.strip_backtrace();
    let unknown = message.split_once("Invalid function '").and_then(|(_, rest)| rest.split_once('\''));
    match unknown {
        Some((name, _)) => Error::Function(name.chars().take(80).collect()),
        None => Error::Plan(error),
    }
}

/// The physical planner's own failures quote whole plans, row filters included.
pub(super) fn unplannable(error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::Plan(_) | DataFusionError::Internal(_) => DataFusionError::Plan(
            "the query can't be executed as it is written; try another form of it".to_owned(),
        ),
        _ => error,
    }
}

fn check_count(nodes: usize) -> Result<(), Error> {
    if nodes as u64 > limited(Protection::SqlBounds, MAX_NODES as u64) {
        return Err(Error::TooLarge(format!("the query plans to more than {MAX_NODES} steps; simplify it")));
    }
    Ok(())
}

fn check_node(node: &LogicalPlan) -> Result<(), Error> {
    use LogicalPlan as L;
    if !stands(Protection::SqlPlan) {
        return Ok(());
    }
    match node {
        L::Projection(_)
        | L::Filter(_)
        | L::Window(_)
        | L::Aggregate(_)
        | L::Sort(_)
        | L::Join(_)
        | L::Union(_)
        | L::EmptyRelation(_)
        | L::Subquery(_)
        | L::SubqueryAlias(_)
        | L::Limit(_)
        | L::Values(_)
        | L::Distinct(_)
        | L::Unnest(_) => Ok(()),
        L::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).map_err(error)?;
            if provider.is::<GrantedTable>() {
                Ok(())
            } else {
                Err(Error::NotARead(format!("`{}` is not a granted table", scan.table_name)))
            }
        }
        L::Repartition(_)
        | L::Statement(_)
        | L::Explain(_)
        | L::Analyze(_)
        | L::Extension(_)
        | L::Dml(_)
        | L::Ddl(_)
        | L::Copy(_)
        | L::DescribeTable(_)
        | L::RecursiveQuery(_) => {
            Err(Error::NotARead("the plan does more than read; send one SELECT".to_owned()))
        }
    }
}

fn check_expressions(node: &LogicalPlan) -> Result<(), Error> {
    let mut verdict = Ok(());
    node.apply_expressions(|expression| {
        expression.apply(|expression| {
            verdict = check_expression(expression);
            Ok(if verdict.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    })
    .map_err(error)?;
    verdict
}

fn check_expression(expression: &Expr) -> Result<(), Error> {
    let (name, allowed) = match expression {
        Expr::ScalarFunction(call) => (call.name(), functions::is_scalar(call.name())),
        Expr::AggregateFunction(call) => (call.func.name(), functions::is_aggregate(call.func.name())),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(f) => (f.name(), functions::is_aggregate(f.name())),
            WindowFunctionDefinition::WindowUDF(f) => (f.name(), functions::is_window(f.name())),
        },
        Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => ("->", false),
        Expr::ScalarVariable(..) => return Err(Error::NotARead("a variable is not allowed".to_owned())),
        Expr::Placeholder(_) => return Err(Error::NotARead("a placeholder is not allowed".to_owned())),
        _ => return Ok(()),
    };
    if allowed { Ok(()) } else { Err(Error::Function(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_physical_planner_quote_nothing() {
        let quoting = || "FilterExec: origin = JFK".to_owned();
        for error in [DataFusionError::Plan(quoting()), DataFusionError::Internal(quoting())] {
            let shown = unplannable(error.context("SanityCheckPlan")).to_string();
            assert!(!shown.contains("JFK"), "{shown}");
        }
        let kept = unplannable(DataFusionError::Execution("no such zone".to_owned())).to_string();
        assert!(kept.contains("no such zone"), "what the query's own values cause is said: {kept}");
    }
}
