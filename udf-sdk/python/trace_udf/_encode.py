"""Rows as JSON lines, with the types that Python knows and JSON does not."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice

from ._errors import TraceError
from ._rows import Rows, decimal_digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_LOOKED_AT = 1000
"""Rows that are looked at for dates, times and decimals before anything is written."""


def lines(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, str] | None) -> Iterator[bytes]:
    """The header line of the native writer and a line for each row."""
    declared = dict(schema or {})
    if isinstance(rows, Rows):
        columns = {name: _of_arrow(arrow_type) for name, arrow_type in rows.types.items()}
        columns.update(declared)
        source: Iterator[Mapping[str, Any]] = iter(rows)
    else:
        source = iter(rows)
        first = list(islice(source, _LOOKED_AT))
        columns = {**_of_values(first), **declared}
        source = chain(first, source)
    header = [{"name": name, **({"type": kind} if kind else {})} for name, kind in columns.items()]
    yield json.dumps({"columns": header}).encode() + b"\n"
    encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_text).encode
    for number, row in enumerate(source, 1):
        try:
            text = encode(row)
        except ValueError:
            text = encode({name: _finite(value) for name, value in row.items()})
        except TypeError as error:
            raise TraceError("sandbox", "unwritable", f"row {number}: {error}") from error
        if text[:1] != "{":
            detail = f"row {number} is a {type(row).__name__}: rows are dicts, such as {{'origin': 'JFK'}}"
            raise TraceError("sandbox", "unwritable", detail)
        yield text.encode() + b"\n"


def _text(value: Any) -> Any:
    """What JSON has no form for; numbers of numpy and the like tell their own value."""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    what = f"a value of type {type(value).__name__}"
    raise TypeError(f"{what} can't be written: use numbers, texts, bools, None, dates, datetimes or Decimals")


def _finite(value: Any) -> Any:
    """Missing, as everywhere in data, for what is not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _of_values(rows: list[Mapping[str, Any]]) -> dict[str, str]:
    """Every column of these rows, in their order, with the type of what JSON has no form for."""
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            if value is not None and not kinds.get(name):
                kinds[name] = _of_value(value)
            elif isinstance(value, Decimal):
                kinds[name] = max(kinds[name], _of_value(value), key=_scale)
            else:
                kinds.setdefault(name, "")
    return kinds


def _of_value(value: Any) -> str:
    if isinstance(value, datetime):
        return "timestamp" if value.tzinfo is None else "timestamptz"
    if isinstance(value, date):
        return "date"
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return f"decimal(38,{max(0, -exponent) if isinstance(exponent, int) else 0})"
    return ""


def _scale(kind: str) -> int:
    return int(kind.partition(",")[2].rstrip(")") or 0)


def _of_arrow(arrow_type: str) -> str:
    """The type of a query's column, as the native writer names it; nothing for what it finds out itself."""
    if arrow_type.startswith("Int") or arrow_type in ("UInt8", "UInt16", "UInt32"):
        return "int64"
    if arrow_type.startswith("Float"):
        return "float64"
    if arrow_type.startswith("Timestamp"):
        return "timestamptz" if '"' in arrow_type else "timestamp"
    digits = decimal_digits(arrow_type)
    if digits and digits[0] <= 38:
        return f"decimal({digits[0]},{digits[1]})"
    return {"Boolean": "bool", "Date32": "date", "Utf8": "utf8", "Utf8View": "utf8", "LargeUtf8": "utf8"}.get(
        arrow_type, ""
    )
