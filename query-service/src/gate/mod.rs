//! The SQL gate: what an engine executes is the plan that was verified, and nothing else.
//!
//! ```text
//! text ─ statement::read ─► Statement ─ (granted tables are opened) ─ plan ─► VerifiedPlan ─ execute
//! ```
//! [`Statement`] and [`VerifiedPlan`] have private fields: the one proves that the text is a single
//! read which names granted tables only, the other that its plan consists of allowed nodes, allowed
//! functions and our own tables.

pub(crate) mod functions;
mod plan;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    error::DataFusionError,
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};
use trace_contracts::Name;

pub(crate) use statement::Statement;

/// Why a text is not executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Too long, or too much in it.
    #[error("{0}")]
    TooLarge(String),
    /// It is not SQL.
    #[error("this is not SQL that can be read: {0}")]
    Syntax(String),
    /// It is SQL, and not a single plain read.
    #[error("{0}")]
    NotARead(String),
    /// It names a table that is not granted, whether or not there is one.
    #[error("table `{table}` is not among the datasets of this token: {granted}")]
    Table {
        /// What was named, shortened.
        table: String,
        /// What would be allowed.
        granted: String,
    },
    /// It uses a function that is not allowed.
    #[error("function `{0}` is not allowed; the functions that are allowed are listed in docs/sql.md")]
    Function(String),
    /// It can't be planned: a column that does not exist, types that don't fit.
    #[error("{}", .0.strip_backtrace())]
    Plan(DataFusionError),
}

/// A plan that passed every check, with the session that it was planned in.
pub(crate) struct VerifiedPlan {
    plan: LogicalPlan,
    session: SessionState,
    tables: Vec<Name>,
}

impl VerifiedPlan {
    /// Plans `statement` over the tables that `session` holds, and verifies the plan.
    pub(crate) async fn new(statement: Statement, session: SessionState) -> Result<Self, Error> {
        let tables = statement.tables().to_vec();
        let plan = session.statement_to_plan(statement.into_inner()).await.map_err(plan::error)?;
        plan::verify(&plan)?;
        Ok(Self { plan, session, tables })
    }

    /// The tables that it reads.
    pub(crate) fn tables(&self) -> &[Name] {
        &self.tables
    }

    /// The plan as text, for `trace/fuzz` to judge by itself.
    #[cfg(fuzzing)]
    pub(crate) fn shown(&self) -> String {
        self.plan.display_indent().to_string()
    }

    /// Executes this very plan.
    pub(crate) async fn execute(self) -> Result<SendableRecordBatchStream, DataFusionError> {
        execute_stream(self.physical().await?, self.session.task_ctx())
    }

    /// The optimized physical form of this very plan.
    pub(crate) async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let optimized = self.session.optimize(&self.plan)?;
        let planner = self.session.query_planner();
        planner.create_physical_plan(&optimized, &self.session).await.map_err(plan::unplannable)
    }
}
