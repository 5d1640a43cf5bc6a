//! From text to one plain read over granted tables.

use std::{collections::BTreeMap, ops::ControlFlow};

use datafusion::{
    common::TableReference,
    sql::{
        parser::{DFParserBuilder, Statement as Parsed},
        resolve::resolve_table_references,
        sqlparser::{
            ast::{self, Expr, Query, Select, SetExpr, TableFactor, Value, Visit, Visitor},
            dialect::GenericDialect,
            tokenizer::{Token, Tokenizer},
        },
    },
};
use trace_contracts::{Name, wire::limit};
use trace_controls::{Protection, limited, stands};

use super::Error;
use crate::catalog::EngineTable;

/// Tokens of one statement, blanks left out. Bounds the length of every chain of operators, and with
/// it the stack that walking one takes.
const MAX_TOKENS: usize = 10_000;
/// Nested parentheses and subqueries, as the parser counts them.
const MAX_NESTING: usize = 64;
/// Nested expressions.
const MAX_EXPRESSION_DEPTH: usize = 256;
/// Branches of one set operation.
const MAX_BRANCHES: usize = 256;
/// Tables, subqueries and joins in `FROM` clauses, in all.
const MAX_RELATIONS: usize = 64;

/// One `SELECT` (or `WITH`, `VALUES`, a set operation) that names granted tables only.
#[derive(Debug)]
pub(crate) struct Statement {
    parsed: Parsed,
    tables: Vec<Name>,
}

impl Statement {
    /// Reads `unverified_sql`, whose tables must be keys of `granted`.
    pub(crate) fn read(unverified_sql: &str, granted: &BTreeMap<Name, EngineTable>) -> Result<Self, Error> {
        let parsed = parse(unverified_sql)?;
        if stands(Protection::SqlStatement) {
            check(&parsed)?;
        }
        let tables = tables(&parsed, granted)?;
        Ok(Self { parsed, tables })
    }

    /// The granted tables that it names.
    pub(crate) fn tables(&self) -> &[Name] {
        &self.tables
    }

    pub(super) fn into_inner(self) -> Parsed {
        self.parsed
    }
}

fn check(parsed: &Parsed) -> Result<(), Error> {
    let Parsed::Statement(statement) = parsed else { return Err(not_a_read("this statement")) };
    let ast::Statement::Query(query) = statement.as_ref() else {
        return Err(not_a_read(verb(statement)));
    };
    match query.visit(&mut Checker::default()) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A bound on the size of a statement.
fn most(bound: usize) -> usize {
    limited(Protection::SqlBounds, bound as u64) as usize
}

fn parse(unverified_sql: &str) -> Result<Parsed, Error> {
    if unverified_sql.len() > limit::SQL_BYTES {
        return Err(Error::TooLarge(format!("a statement has at most {} bytes", limit::SQL_BYTES)));
    }
    let tokens = Tokenizer::new(&GenericDialect, unverified_sql)
        .tokenize_with_location()
        .map_err(|error| Error::Syntax(error.to_string()))?;
    if tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count() > most(MAX_TOKENS) {
        return Err(Error::TooLarge(format!("a statement has at most {MAX_TOKENS} words and signs")));
    }
    let syntax = |error: datafusion::error::DataFusionError| Error::Syntax(error.strip_backtrace());
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(most(MAX_NESTING))
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(syntax)?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(Error::NotARead("the text holds no statement; send one SELECT".to_owned())),
        (Some(_), more) => Err(Error::NotARead(format!("send one statement, not {}", more + 1))),
    }
}

/// The granted tables that the statement names; an error at the first that is not granted. Names
/// with a schema or a catalog in front are never granted, and neither is a file's name.
fn tables(parsed: &Parsed, granted: &BTreeMap<Name, EngineTable>) -> Result<Vec<Name>, Error> {
    let (references, _) = resolve_table_references(parsed, true).map_err(super::plan::error)?;
    references.into_iter().map(|reference| granted_table(&reference, granted)).collect()
}

fn granted_table(reference: &TableReference, granted: &BTreeMap<Name, EngineTable>) -> Result<Name, Error> {
    let bare = if let TableReference::Bare { table } = reference { table.parse::<Name>().ok() } else { None };
    bare.filter(|name| granted.contains_key(name)).ok_or_else(|| Error::Table {
        table: reference.to_string().chars().filter(|c| !c.is_control()).take(120).collect(),
        granted: names(granted),
    })
}

fn names(granted: &BTreeMap<Name, EngineTable>) -> String {
    if granted.is_empty() {
        return "none".to_owned();
    }
    granted.keys().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

fn not_a_read(what: &str) -> Error {
    Error::NotARead(format!("{what} is not allowed; send one SELECT, WITH … SELECT or VALUES"))
}

/// The first words of a statement, for the error.
fn verb(statement: &ast::Statement) -> &'static str {
    use ast::Statement as S;
    match statement {
        S::Insert(_) => "INSERT",
        S::Update(_) => "UPDATE",
        S::Delete(_) => "DELETE",
        S::Copy { .. } => "COPY",
        S::Explain { .. } | S::ExplainTable { .. } => "EXPLAIN or DESCRIBE",
        S::Set(_) => "SET",
        S::Prepare { .. } | S::Execute { .. } | S::Deallocate { .. } => "PREPARE",
        S::ShowVariable { .. } | S::ShowVariables { .. } | S::ShowTables { .. } | S::ShowColumns { .. } => {
            "SHOW"
        }
        S::CreateTable(_) | S::CreateView(_) => "CREATE",
        S::Drop { .. } => "DROP",
        _ => "this statement",
    }
}

/// Walks the query and stops at the first thing that is more than a plain read.
#[derive(Default)]
struct Checker {
    depth: usize,
    relations: usize,
}

type Flow = ControlFlow<Error>;

fn refuse(what: &str) -> Flow {
    ControlFlow::Break(not_a_read(what))
}

impl Visitor for Checker {
    type Break = Error;

    fn pre_visit_statement(&mut self, _statement: &ast::Statement) -> Flow {
        refuse("a statement inside a query")
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return refuse("WITH RECURSIVE");
        }
        if !query.locks.is_empty() {
            return refuse("FOR UPDATE");
        }
        let clauses = query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some();
        if clauses || !query.pipe_operators.is_empty() {
            return refuse("a clause after the query");
        }
        check_body(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return refuse("SELECT INTO");
        }
        let hive = !select.lateral_views.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty();
        if hive
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || select.select_modifiers.is_some()
        {
            return refuse("a clause of another SQL dialect");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        self.relations += 1;
        if self.relations > most(MAX_RELATIONS) {
            return ControlFlow::Break(Error::TooLarge(format!(
                "a statement reads from at most {MAX_RELATIONS} tables"
            )));
        }
        check_factor(factor)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        self.depth += 1;
        if self.depth > most(MAX_EXPRESSION_DEPTH) {
            let detail = format!(
                "expressions are nested at most {MAX_EXPRESSION_DEPTH} deep; use IN (…) instead of a long chain"
            );
            return ControlFlow::Break(Error::TooLarge(detail));
        }
        check_expression(expr)
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> Flow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> Flow {
        match &value.value {
            Value::Placeholder(_) => refuse("a placeholder"),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// `@name` and `@@name` are variables in some dialects.
fn check_expression(expr: &Expr) -> Flow {
    let first = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.first(),
        _ => None,
    };
    if first.is_some_and(|name| name.quote_style.is_none() && name.value.starts_with('@')) {
        return refuse("a variable");
    }
    ControlFlow::Continue(())
}

/// The branches of a set operation. A chain of them leans to the left, so only that side is walked
/// in a loop.
fn check_body(body: &SetExpr) -> Flow {
    let mut body = body;
    let mut branches = 1;
    loop {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                branches += 1;
                if branches > most(MAX_BRANCHES) {
                    let detail = format!("a set operation has at most {MAX_BRANCHES} branches; use VALUES");
                    return ControlFlow::Break(Error::TooLarge(detail));
                }
                check_body(right)?;
                body = left;
            }
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => return ControlFlow::Continue(()),
            SetExpr::Table(_) => return refuse("TABLE"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return refuse("a statement that writes");
            }
        }
    }
}

fn check_factor(factor: &TableFactor) -> Flow {
    match factor {
        TableFactor::Table { args: Some(_), .. }
        | TableFactor::TableFunction { .. }
        | TableFactor::Function { .. } => refuse("a table function"),
        TableFactor::Table { version: Some(_), .. } => refuse("a table version"),
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
            refuse("TABLESAMPLE")
        }
        TableFactor::Table { with_hints, partitions, json_path, index_hints, with_ordinality, .. } => {
            let plain = with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty();
            if plain && json_path.is_none() && !with_ordinality {
                ControlFlow::Continue(())
            } else {
                refuse("a table option")
            }
        }
        TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => {
            ControlFlow::Continue(())
        }
        _ => refuse("this kind of table expression"),
    }
}
