"""The rows of a query."""

from __future__ import annotations

from ._errors import TraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Row = dict[str, Any]
    Base = list[Row]
else:
    Base = list


class Rows(Base):
    """A list of rows, each a dict by column name.

    Whole numbers are ``int`` and other numbers ``float``; dates, times and decimals are texts, so
    that no digit is lost. What is written again with ``ctx.write`` keeps its types.

    Attributes:
        columns: The names of the columns, in order; also when there is no row.
        types: The Arrow type of each column, such as ``{"origin": "Utf8", "n": "Int64"}``.
    """

    def __init__(self, rows: Iterable[Row], types: dict[str, str]) -> None:
        super().__init__(rows)
        self.types = types
        self.columns = list(types)

    def column(self, name: str) -> list[Any]:
        """The values of one column."""
        return [row[name] for row in self]

    def to_arrow(self) -> Any:
        """As a ``pyarrow.Table``; the bundle has to bring pyarrow."""
        import pyarrow

        arrays = []
        for name, arrow_type in self.types.items():
            array = pyarrow.array(self.column(name), _flat_type(pyarrow, arrow_type))
            exact = _exact_type(pyarrow, arrow_type)
            arrays.append(array if exact is None else array.cast(exact))
        return pyarrow.Table.from_arrays(arrays, names=self.columns)

    def to_pandas(self) -> Any:
        """As a ``pandas.DataFrame``; the bundle has to bring pandas."""
        import pandas

        return pandas.DataFrame(list(self), columns=self.columns)

    def to_polars(self) -> Any:
        """As a ``polars.DataFrame``; the bundle has to bring polars."""
        import polars

        columns = {name: polars.Series(name, self.column(name), strict=False) for name in self.columns}
        return polars.DataFrame(columns)


def _flat_type(pyarrow: Any, arrow_type: str) -> Any:
    """The type in which the values came."""
    if arrow_type.startswith("Int"):
        return pyarrow.int64()
    if arrow_type.startswith("UInt"):
        return pyarrow.uint64()
    if arrow_type.startswith("Float"):
        return pyarrow.float64()
    return pyarrow.bool_() if arrow_type == "Boolean" else pyarrow.string()


def _exact_type(pyarrow: Any, arrow_type: str) -> Any:
    """The type that texts stand for; ``None`` when they are texts."""
    if arrow_type == "Date32":
        return pyarrow.date32()
    if arrow_type.startswith("Timestamp"):
        return pyarrow.timestamp("us", tz="UTC" if '"' in arrow_type else None)
    digits = decimal_digits(arrow_type)
    return pyarrow.decimal128(*digits) if digits else None


def decimal_digits(arrow_type: str) -> tuple[int, int] | None:
    """Precision and scale of a type such as ``Decimal128(10, 2)``."""
    if not arrow_type.startswith("Decimal"):
        return None
    precision, _, scale = arrow_type.partition("(")[2].rstrip(")").partition(",")
    return int(precision), int(scale)


def decode(pieces: Iterable[bytes], size: int | None) -> Iterator[Rows]:
    """Rows from the JSON form of a result, as it arrives.

    Args:
        pieces: ``{"columns":[{"name","type"}],"rows":[[…]]}``, cut anywhere.
        size: Rows in each batch; all in one when ``None``. There is always one batch.
    """
    from codecs import getincrementaldecoder
    from json import JSONDecoder

    decoder = JSONDecoder()
    text = _Text((getincrementaldecoder("utf-8")(), iter(pieces)))
    text.expect("{", '"columns"', ":")
    columns = text.value(decoder)
    text.expect(",", '"rows"', ":", "[")
    types = _types(columns)
    whole = [name for name, arrow_type in types.items() if arrow_type.startswith(("Int", "UInt"))]
    rows: list[Row] = []
    sent = False
    while not text.takes("]"):
        row = dict(zip(types, text.value(decoder)))
        for name in whole:
            # A number beyond 2^53 comes as text, because not every reader has 64 bits.
            if isinstance(row[name], str):
                row[name] = int(row[name])
        rows.append(row)
        text.takes(",")
        if len(rows) == size:
            yield Rows(rows, types)
            rows, sent = [], True
    if rows or not sent:
        yield Rows(rows, types)


def _types(columns: list[dict[str, str]]) -> dict[str, str]:
    types: dict[str, str] = {}
    for column in columns:
        if column["name"] in types:
            detail = f"two columns are named `{column['name']}`: give one another name with AS"
            raise TraceError("query", "ambiguous_columns", detail)
        types[column["name"]] = column["type"]
    return types


class _Text:
    """JSON that is still arriving."""

    def __init__(self, source: Any) -> None:
        self._decoder, self._pieces = source
        self._text = ""
        self._at = 0

    def value(self, decoder: Any) -> Any:
        """The next whole value."""
        self._skip_space()
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except ValueError:
                self._more()
                continue
            # A value at the very end may go on: 1 and then 2.
            if end < len(self._text):
                self._at = end
                return value
            self._more()

    def expect(self, *literals: str) -> None:
        """Steps over these, which have to come next."""
        for literal in literals:
            self._skip_space()
            while len(self._text) - self._at < len(literal):
                self._more()
            if not self.takes(literal):
                raise _unsound("it has another form")

    def takes(self, literal: str) -> bool:
        """Steps over a literal if it comes next, all of it in sight."""
        self._skip_space()
        if not self._text.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def _skip_space(self) -> None:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return
            self._more()

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise _unsound("it ends too early")
        self._text = self._text[self._at :] + self._decoder.decode(piece)
        self._at = 0


def _unsound(how: str) -> TraceError:
    return TraceError("query", "unreachable", f"the answer is not a result: {how}")
