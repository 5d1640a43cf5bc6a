"""Forged Parquet: one UDF writes it, and another has it read by the query service."""

import struct

import parquet
import planes
from attempts import THEN, vector

# The tables that every reading task has.
TABLES = {
    "plain": lambda world: parquet.numbers_of_plain(),
    "people": lambda world: parquet.people(),
    "secret": lambda world: parquet.numbers(),
    "pinned": lambda world: parquet.numbers(),
    "crowd": lambda world: parquet.numbers(),
}


def produce(world, name):
    """Leaves the table of this name."""
    content = TABLES[name](world)
    with open(f"/out/{name}.parquet", "wb") as file:
        file.write(content)


THEN["produce"] = produce


def forged(name, make, query="SELECT sum(v) FROM {}"):
    """Registers an attack, and the making of its table: without the lie where the control is to show that
    nothing but the lie is refused."""
    table = name.replace("-", "_")
    TABLES[table] = lambda world: parquet.numbers() if world.planted else make()

    def attack(world):
        return f"answered {planes.sql(query.format(table))}"

    return attack


@vector("parquet-footer-length")
def footer_length(world):
    return FOOTER_LENGTH(world)


@vector("parquet-footer-garbage")
def footer_garbage(world):
    return FOOTER_GARBAGE(world)


@vector("parquet-no-magic")
def no_magic(world):
    return NO_MAGIC(world)


@vector("parquet-endless-list")
def endless_list(world):
    return ENDLESS_LIST(world)


@vector("parquet-offset-outside")
def offset_outside(world):
    return OFFSET_OUTSIDE(world)


@vector("parquet-offset-negative")
def offset_negative(world):
    return OFFSET_NEGATIVE(world)


@vector("parquet-rows-that-are-not")
def rows_that_are_not(world):
    return ROWS_THAT_ARE_NOT(world)


@vector("parquet-page-size")
def page_size(world):
    return PAGE_SIZE(world)


@vector("parquet-compression-bomb")
def compression_bomb(world):
    return COMPRESSION_BOMB(world)


@vector("parquet-long-text")
def long_text(world):
    return LONG_TEXT(world)


@vector("parquet-deep-schema")
def deep_schema(world):
    return DEEP_SCHEMA(world)


@vector("parquet-wide-schema")
def wide_schema(world):
    return WIDE_SCHEMA(world)


@vector("parquet-huge-statistics")
def huge_statistics(world):
    return HUGE_STATISTICS(world)


BOMB = 5 << 28
FOOTER_LENGTH = forged("parquet-footer-length", lambda: parquet.numbers(footer_length=2**32 - 1))
FOOTER_GARBAGE = forged("parquet-footer-garbage", lambda: parquet.numbers(footer=b"\xff" * 200))
NO_MAGIC = forged("parquet-no-magic", lambda: parquet.numbers(magic=b"PARE"))
ENDLESS_LIST = forged("parquet-endless-list", lambda: parquet.numbers(footer=b"\x15\x02\x19\xfc" + parquet.varint(2**31 - 1)))
OFFSET_OUTSIDE = forged("parquet-offset-outside", lambda: parquet.numbers(at=2**40))
OFFSET_NEGATIVE = forged("parquet-offset-negative", lambda: parquet.numbers(at=-(2**40), chunk_size=-1))
ROWS_THAT_ARE_NOT = forged(
    "parquet-rows-that-are-not", lambda: parquet.numbers(rows=2**62, values=2**31 - 1, chunk_values=2**62)
)
PAGE_SIZE = forged("parquet-page-size", lambda: parquet.numbers(unpacked=2**31 - 1, packed=2**31 - 1))
COMPRESSION_BOMB = forged(
    "parquet-compression-bomb",
    lambda: parquet.numbers(
        codec=parquet.ZSTD,
        data=parquet.zstd_zeros(BOMB),
        unpacked=BOMB,
        values=BOMB // 8,
        chunk_values=BOMB // 8,
        chunk_unpacked=BOMB,
        rows=BOMB // 8,
    ),
    "SELECT v FROM {} LIMIT 1",
)
LONG_TEXT = forged(
    "parquet-long-text",
    lambda: parquet.file([{**parquet.column("v", parquet.BYTE_ARRAY, ["abc"]), "data": struct.pack("<I", 2**32 - 1) + b"abc"}]),
    "SELECT max(v) FROM {}",
)
DEEP_SCHEMA = forged("parquet-deep-schema", lambda: parquet.numbers(schema=parquet.deep_schema(20_000)))
WIDE_SCHEMA = forged("parquet-wide-schema", lambda: parquet.numbers(children=2**31 - 1))
HUGE_STATISTICS = forged(
    "parquet-huge-statistics",
    lambda: parquet.numbers(rows=2**63 - 1, chunk_values=2**63 - 1, extremes=(-(2**63), 2**63 - 1)),
    "SELECT sum(a.v + b.v) FROM {0} a, {0} b",
)
