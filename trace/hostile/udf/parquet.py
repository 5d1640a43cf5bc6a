"""Parquet by hand, so that everything in it can be a lie. One row group, no library."""

import struct

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
INT64, BYTE_ARRAY = 2, 6
PLAIN, RLE = 0, 3
UNCOMPRESSED, ZSTD = 0, 6


def varint(number):
    octets = bytearray()
    number &= 2**64 - 1
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes(octets) + bytes([number])


def zigzag(number):
    return varint(number << 1 ^ number >> 63)


def value(kind, of):
    if kind in (I32, I64):
        return zigzag(of)
    if kind == BINARY:
        octets = of.encode() if isinstance(of, str) else of
        return varint(len(octets)) + octets
    if kind == LIST:
        inner, items = of
        size = len(items)
        head = bytes([size << 4 | inner]) if size < 15 else bytes([0xF0 | inner]) + varint(size)
        return head + b"".join(value(inner, item) for item in items)
    return of


def thrift(*fields):
    """A struct of the compact protocol: fields of (id, kind, value)."""
    octets, last = b"", 0
    for number, kind, of in fields:
        octets += bytes([number - last << 4 | kind]) + value(kind, of)
        last = number
    return octets + b"\0"


def column(name, kind, values):
    if kind == INT64:
        data = b"".join(struct.pack("<q", one) for one in values)
    else:
        data = b"".join(struct.pack("<I", len(one)) + one.encode() for one in values)
    return {"name": name, "kind": kind, "data": data, "count": len(values)}


def element(name, kind):
    fields = [(1, I32, kind), (3, I32, 0), (4, BINARY, name)]
    return thrift(*fields, *([(6, I32, 0)] if kind == BYTE_ARRAY else []))


def file(columns, **lies):
    """A file of these columns. `lies` replace what is said of the last one, or of the file."""
    content, chunks = b"PAR1", []
    for one in columns:
        lie = lies if one is columns[-1] else {}
        data = lie.get("data", one["data"])
        header = thrift(
            (1, I32, 0),
            (2, I32, lie.get("unpacked", len(one["data"]))),
            (3, I32, lie.get("packed", len(data))),
            (5, STRUCT, thrift((1, I32, lie.get("values", one["count"])), (2, I32, PLAIN), (3, I32, RLE), (4, I32, RLE))),
        )
        at = len(content)
        content += header + data
        size = len(header) + len(data)
        about = [
            (1, I32, one["kind"]),
            (2, LIST, (I32, [PLAIN])),
            (3, LIST, (BINARY, [one["name"]])),
            (4, I32, lie.get("codec", UNCOMPRESSED)),
            (5, I64, lie.get("chunk_values", one["count"])),
            (6, I64, lie.get("chunk_unpacked", size)),
            (7, I64, lie.get("chunk_size", size)),
            (9, I64, lie.get("at", at)),
        ]
        if "extremes" in lie:
            low, high = (struct.pack("<q", extreme) for extreme in lie["extremes"])
            about.append((12, STRUCT, thrift((3, I64, 0), (5, BINARY, high), (6, BINARY, low))))
        chunks.append(thrift((2, I64, at), (3, STRUCT, thrift(*about))))
    rows = lies.get("rows", columns[0]["count"])
    group = thrift((1, LIST, (STRUCT, chunks)), (2, I64, len(content)), (3, I64, rows))
    root = thrift((4, BINARY, "schema"), (5, I32, lies.get("children", len(columns))))
    schema = lies.get("schema", [root, *(element(one["name"], one["kind"]) for one in columns)])
    footer = thrift((1, I32, 1), (2, LIST, (STRUCT, schema)), (3, I64, rows), (4, LIST, (STRUCT, [group])))
    footer = lies.get("footer", footer)
    return content + footer + struct.pack("<I", lies.get("footer_length", len(footer))) + lies.get("magic", b"PAR1")


def numbers(**lies):
    return file([column("v", INT64, [1, 2, 3, 4])], **lies)


def zstd_zeros(size):
    """A frame of zeros: blocks that say which octet they repeat, four octets for 128 KiB."""
    frame = b"\x28\xb5\x2f\xfd" + b"\xc0" + bytes([0x38]) + struct.pack("<Q", size)
    while size:
        block = min(size, 1 << 17)
        size -= block
        frame += struct.pack("<I", block << 3 | 1 << 1 | (not size))[:3] + b"\0"
    return frame


def deep_schema(levels):
    root = thrift((4, BINARY, "schema"), (5, I32, 1))
    group = thrift((3, I32, 0), (4, BINARY, "g"), (5, I32, 1))
    return [root, *([group] * levels), element("v", INT64)]


def numbers_of_plain():
    return file([column("id", INT64, [1, 2, 3, 4])])


def people():
    return file(
        [
            column("id", INT64, [1, 2, 3, 4]),
            column("station", BYTE_ARRAY, ["JFK", "JFK", "EWR", "EWR"]),
            column("secret", BYTE_ARRAY, ["one", "two", "three", "four"]),
            column("amount", INT64, [10, 20, 30, 40]),
        ]
    )
