//! Types that values show.

use crate::{ColumnType, row::Scalar};

/// What the values of one column have shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// Nothing but nulls.
    #[default]
    Nothing,
    /// Values of this type.
    Type(ColumnType),
}

impl Shown {
    /// What it is with one more value; `Err` holds what the column was when the value fits neither it
    /// nor what it can widen to (a whole number to a floating-point one).
    pub fn with(self, value: &Scalar<'_>) -> Result<Self, ColumnType> {
        let Some(new) = type_of(value) else { return Ok(self) };
        match self {
            Self::Nothing => Ok(Self::Type(new)),
            Self::Type(old) if old == new => Ok(self),
            Self::Type(ColumnType::Int64 | ColumnType::Float64)
                if matches!(new, ColumnType::Int64 | ColumnType::Float64) =>
            {
                Ok(Self::Type(ColumnType::Float64))
            }
            Self::Type(old) => Err(old),
        }
    }

    /// The column's type; text when there was no value at all.
    pub const fn settle(self) -> ColumnType {
        match self {
            Self::Nothing => ColumnType::Utf8,
            Self::Type(column_type) => column_type,
        }
    }
}

const fn type_of(value: &Scalar<'_>) -> Option<ColumnType> {
    match value {
        Scalar::Null => None,
        Scalar::Bool(_) => Some(ColumnType::Bool),
        Scalar::Int(_) => Some(ColumnType::Int64),
        Scalar::Float(_) => Some(ColumnType::Float64),
        Scalar::Text(_) => Some(ColumnType::Utf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[Scalar<'_>]) -> Result<ColumnType, ColumnType> {
        values.iter().try_fold(Shown::default(), |shown, value| shown.with(value)).map(Shown::settle)
    }

    #[test]
    fn whole_numbers_widen_and_nothing_else_mixes() {
        let text = || Scalar::Text("x".into());
        assert_eq!(shown(&[Scalar::Null]), Ok(ColumnType::Utf8));
        assert_eq!(shown(&[Scalar::Null, Scalar::Int(1)]), Ok(ColumnType::Int64));
        assert_eq!(shown(&[Scalar::Int(1), Scalar::Float(1.5), Scalar::Int(2)]), Ok(ColumnType::Float64));
        assert_eq!(shown(&[Scalar::Int(1), text()]), Err(ColumnType::Int64));
        assert_eq!(shown(&[Scalar::Bool(true), Scalar::Int(1)]), Err(ColumnType::Bool));
        assert_eq!(shown(&[text(), Scalar::Float(0.5)]), Err(ColumnType::Utf8));
    }
}
