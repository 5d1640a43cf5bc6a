//! Addition, subtraction and multiplication of decimals, in the time that small ones take.
//!
//! Arrow computes a `decimal(p, s)` in 128 bits with a check for each step, and a checked 128-bit product is a
//! call of many instructions, also for factors such as 0.05. Most values fit in 64 bits; the product of two
//! of those is one instruction and can't overflow. A rule of the logical optimizer puts the functions here in
//! the place of such operators in projections and aggregates. They answer what Arrow answers, in the same
//! types, and fail where it fails; nobody can call them by a name.

use std::sync::{Arc, LazyLock};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Decimal128Array, types::Decimal128Type},
        compute::kernels::arity::try_binary,
        datatypes::{DECIMAL128_MAX_PRECISION, DataType},
        error::ArrowError,
    },
    common::{
        DFSchema, ScalarValue, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, TypeSignature, Volatility, expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, with this one after all others: they know operators, and not these functions.
pub(crate) fn quick(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.push(Arc::new(QuickDecimals));
    rules
}

#[derive(Debug)]
struct QuickDecimals;

impl OptimizerRule for QuickDecimals {
    fn name(&self) -> &str {
        "quick_decimals"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        let (schema, names) = (merge_schema(&plan.inputs()), NamePreserver::new(&plan));
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let quick = expression.transform_up(|expression| quickened(expression, &schema))?;
            Ok(quick.update_data(|expression| name.restore(expression)))
        })
    }
}

/// The function in the place of an operator on decimals.
fn quickened(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expression else {
        return Ok(Transformed::no(expression));
    };
    let Some(function) = Arithmetic::of(*op).map(Arithmetic::function) else {
        return Ok(Transformed::no(expression));
    };
    let operands = (left.get_type(schema)?, right.get_type(schema)?);
    let (DataType::Decimal128(..), DataType::Decimal128(..)) = &operands else {
        return Ok(Transformed::no(expression));
    };
    let same = function.return_type(&[operands.0, operands.1]).ok() == Some(expression.get_type(schema)?);
    if !same {
        return Ok(Transformed::no(expression));
    }
    Ok(Transformed::yes(function.call(vec![left.as_ref().clone(), right.as_ref().clone()])))
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

impl Arithmetic {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    fn function(self) -> Arc<ScalarUDF> {
        static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 3]> = LazyLock::new(|| {
            [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply]
                .map(|arithmetic| Arc::new(ScalarUDF::new_from_impl(DecimalFunction::new(arithmetic))))
        });
        Arc::clone(&FUNCTIONS[self as usize])
    }
}

/// The type of a result, and what the operands are multiplied by before they are added or subtracted, so that
/// their scales are the same.
struct Shape {
    data_type: DataType,
    factors: (i128, i128),
}

/// By the rules that Arrow has, which are Hive's.
fn shape(arithmetic: Arithmetic, left: &DataType, right: &DataType) -> Option<Shape> {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (left, right) else { return None };
    let (precision, scale, factors) = match arithmetic {
        Arithmetic::Multiply => (i16::from(*p1) + i16::from(*p2) + 1, s1.checked_add(*s2)?, (1, 1)),
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = *s1.max(s2);
            let whole = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            let factor =
                |own: &i8| 10_i128.checked_pow(u32::try_from(i16::from(scale) - i16::from(*own)).ok()?);
            (i16::from(scale) + whole + 1, scale, (factor(s1)?, factor(s2)?))
        }
    };
    let precision = u8::try_from(precision).ok()?.min(DECIMAL128_MAX_PRECISION);
    let fits = scale <= DECIMAL128_MAX_PRECISION as i8;
    fits.then_some(Shape { data_type: DataType::Decimal128(precision, scale), factors })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalFunction {
    arithmetic: Arithmetic,
    signature: Signature,
}

impl DecimalFunction {
    fn new(arithmetic: Arithmetic) -> Self {
        // The rule calls it with the types it looked at.
        let signature = Signature::new(TypeSignature::Any(2), Volatility::Immutable);
        Self { arithmetic, signature }
    }
}

impl ScalarUDFImpl for DecimalFunction {
    fn name(&self) -> &str {
        match self.arithmetic {
            Arithmetic::Add => "decimal_add",
            Arithmetic::Subtract => "decimal_subtract",
            Arithmetic::Multiply => "decimal_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, operands: &[DataType]) -> Result<DataType> {
        let [left, right] = operands else { return internal_err!("two operands") };
        match shape(self.arithmetic, left, right) {
            Some(shape) => Ok(shape.data_type),
            None => internal_err!("not decimals that can be computed with: {left}, {right}"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = arguments.args.as_slice() else { return internal_err!("two operands") };
        let Some(shape) = shape(self.arithmetic, &left.data_type(), &right.data_type()) else {
            return internal_err!("not decimals");
        };
        let rows = arguments.number_rows;
        let result = match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let (left, right) = (left.to_array()?, right.to_array()?);
                let result = self.compute(&shape, &Operand::Many(left), &Operand::Many(right), 1)?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
            }
            (left, right) => self.compute(&shape, &Operand::of(left)?, &Operand::of(right)?, rows)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// One side of an operator.
enum Operand {
    /// The same in every row.
    One(Option<i128>),
    /// One for each row.
    Many(ArrayRef),
}

impl Operand {
    fn of(value: &ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Array(array) => Ok(Self::Many(Arc::clone(array))),
            ColumnarValue::Scalar(ScalarValue::Decimal128(value, ..)) => Ok(Self::One(*value)),
            ColumnarValue::Scalar(other) => {
                internal_err!("a scalar that is no decimal: {}", other.data_type())
            }
        }
    }
}

impl DecimalFunction {
    fn compute(&self, shape: &Shape, left: &Operand, right: &Operand, rows: usize) -> Result<ArrayRef> {
        let by = shape.factors;
        let values = match self.arithmetic {
            Arithmetic::Multiply => each(left, right, rows, product),
            Arithmetic::Add => {
                each(left, right, rows, |a, b| product(a, by.0)?.checked_add(product(b, by.1)?))
            }
            Arithmetic::Subtract => {
                each(left, right, rows, |a, b| product(a, by.0)?.checked_sub(product(b, by.1)?))
            }
        }?;
        Ok(Arc::new(values.with_data_type(shape.data_type.clone())))
    }
}

/// The operation in every row; nothing where an operand is nothing.
fn each(
    left: &Operand,
    right: &Operand,
    rows: usize,
    operation: impl Fn(i128, i128) -> Option<i128>,
) -> Result<Decimal128Array, ArrowError> {
    let checked = |a, b| operation(a, b).ok_or_else(|| overflow(a, b));
    match (left, right) {
        (Operand::Many(a), Operand::Many(b)) => {
            try_binary(a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>(), checked)
        }
        (Operand::Many(a), Operand::One(Some(b))) => {
            a.as_primitive::<Decimal128Type>().try_unary(|a| checked(a, *b))
        }
        (Operand::One(Some(a)), Operand::Many(b)) => {
            b.as_primitive::<Decimal128Type>().try_unary(|b| checked(*a, b))
        }
        (Operand::One(_), _) | (_, Operand::One(_)) => Ok(Decimal128Array::new_null(rows)),
    }
}

#[cold]
fn overflow(a: i128, b: i128) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("a decimal computed from {a} and {b} does not fit in 128 bits"))
}

/// The exact product, or nothing where it does not fit.
#[inline(always)]
fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{Array as _, Scalar},
        compute::kernels::numeric::{add, mul, sub},
        datatypes::Field,
    };
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use serde_json::json;

    use super::*;
    use crate::testing::{Warehouse, batch};

    fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> Decimal128Array {
        Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
    }

    /// What Arrow answers; nothing where it fails.
    fn reference(
        arithmetic: Arithmetic,
        (left, one_left): (&Decimal128Array, bool),
        (right, one_right): (&Decimal128Array, bool),
    ) -> Option<ArrayRef> {
        let operation = match arithmetic {
            Arithmetic::Add => add,
            Arithmetic::Subtract => sub,
            Arithmetic::Multiply => mul,
        };
        match (one_left, one_right) {
            (true, _) => operation(&Scalar::new(left.slice(0, 1)), right),
            (_, true) => operation(left, &Scalar::new(right.slice(0, 1))),
            _ => operation(left, right),
        }
        .ok()
    }

    fn ours(
        arithmetic: Arithmetic,
        (left, one_left): (&Decimal128Array, bool),
        (right, one_right): (&Decimal128Array, bool),
    ) -> Option<ArrayRef> {
        let value = |array: &Decimal128Array, one| match one {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(array, 0).unwrap()),
            false => ColumnarValue::Array(Arc::new(array.clone())),
        };
        let function = arithmetic.function();
        let types = [left.data_type().clone(), right.data_type().clone()];
        let returns = function.return_type(&types).ok()?;
        let arguments = ScalarFunctionArgs {
            args: vec![value(left, one_left), value(right, one_right)],
            arg_fields: types.map(|kind| Arc::new(Field::new("operand", kind, true))).to_vec(),
            number_rows: left.len(),
            return_field: Arc::new(Field::new("result", returns, true)),
            config_options: Arc::default(),
        };
        match function.invoke_with_args(arguments).ok()? {
            ColumnarValue::Array(array) => Some(array),
            ColumnarValue::Scalar(scalar) => Some(scalar.to_array().unwrap()),
        }
    }

    /// Small ones, those around the borders of 64 bits, and any.
    fn value() -> impl Strategy<Value = Option<i128>> {
        let border = i128::from(i64::MAX);
        let borders =
            select(vec![border, border + 1, -border - 1, -border - 2, i128::MAX, i128::MIN, 0, 1, -1]);
        option::weighted(0.9, prop_oneof![4 => -1_000_000..1_000_000_i128, 2 => borders, 1 => any::<i128>()])
    }

    proptest! {
        #[test]
        fn the_answer_is_arrow_s(
            rows in vec((value(), value()), 1..20),
            (p1, s1) in (1..=38_u8).prop_flat_map(|p| (Just(p), 0..=p as i8)),
            (p2, s2) in (1..=38_u8).prop_flat_map(|p| (Just(p), 0..=p as i8)),
            arithmetic in select(vec![Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply]),
            (one_left, one_right) in select(vec![(false, false), (true, false), (false, true)]),
        ) {
            let (left, right) = rows.into_iter().unzip();
            let (left, right) = (decimals(left, p1, s1), decimals(right, p2, s2));
            prop_assert_eq!(
                ours(arithmetic, (&left, one_left), (&right, one_right)),
                reference(arithmetic, (&left, one_left), (&right, one_right))
            );
        }
    }

    #[tokio::test]
    async fn prices_are_computed_by_them_and_keep_their_names() {
        let prices = decimals(vec![Some(10_000), None, Some(1_999)], 15, 2);
        let discounts = decimals(vec![Some(5), Some(10), Some(0)], 15, 2);
        let lines = batch(vec![("price", Arc::new(prices) as ArrayRef), ("discount", Arc::new(discounts))]);
        let shop = Warehouse::new(&[("lines", &[lines])]).await;
        let sql = "SELECT sum(price * (1 - discount)) AS total, min(price + discount) FROM lines";
        let plan = shop.plan(sql).await;
        for function in ["decimal_multiply", "decimal_subtract", "decimal_add"] {
            assert!(plan.contains(function), "{plan}");
        }
        assert!(plan.contains("min(lines.price + lines.discount)"), "{plan}");
        assert_eq!(shop.ask(sql).await.unwrap(), json!([["114.9900", "19.99"]]));
        let again = "SELECT \"min(lines.price + lines.discount)\" AS least FROM (SELECT min(price + discount) FROM lines)";
        assert_eq!(shop.ask(again).await.unwrap(), json!([["19.99"]]));
    }

    #[tokio::test]
    async fn nobody_calls_them_by_name() {
        let shop = Warehouse::new(&[]).await;
        for function in ["decimal_add", "decimal_subtract", "decimal_multiply"] {
            assert!(shop.ask(&format!("SELECT {function}(1.0, 2.0)")).await.is_err());
        }
    }
}
