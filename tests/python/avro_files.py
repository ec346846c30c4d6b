"""Writes Avro files of every type and codec into the directory that it is run in, and the rows that fastavro reads in them, as the JSON that
Kinglet writes of a row: `rows-*.avro` and `rows.jsonl`; and files that are odd, or not read."""

import datetime
import decimal
import json
import pathlib
import random
import uuid

import fastavro

r = random.Random(5)
ROWS = 3_000
UTC = datetime.timezone.utc


def column(name, kind):
    return {"name": name, "type": kind}


def of(logical, kind, **more):
    return {"type": kind, "logicalType": logical, **more}


ENUM = {"type": "enum", "name": "Kind", "symbols": ["one", "two", "three"]}
POINT = {"type": "record", "name": "Point", "fields": [column("x", "double"), column("label", ["null", "string"])]}
SCHEMA = {
    "type": "record",
    "name": "Row",
    "namespace": "org.example",
    "fields": [
        column("row", "long"),
        column("flag", "boolean"),
        column("small", "int"),
        column("maybe", ["null", "long"]),
        column("maybe_last", ["string", "null"]),
        column("single", "float"),
        column("double", "double"),
        column("bytes", "bytes"),
        column("text", "string"),
        column("kind", ENUM),
        column("again", ["null", "Kind"]),
        column("fixed", {"type": "fixed", "name": "Four", "size": 4}),
        column("uuid", of("uuid", "string")),
        column("price", of("decimal", "bytes", precision=12, scale=2)),
        column("owed", of("decimal", "fixed", name="Owed", size=6, precision=10, scale=3)),
        column("day", of("date", "int")),
        column("at_ms", of("time-millis", "int")),
        column("at_us", of("time-micros", "long")),
        column("when_ms", of("timestamp-millis", "long")),
        column("when_us", ["null", of("timestamp-micros", "long")]),
        column("local_ms", of("local-timestamp-millis", "long")),
        column("local_us", of("local-timestamp-micros", "long")),
        column("list", {"type": "array", "items": "int"}),
        column("lists", {"type": "array", "items": {"type": "array", "items": ["null", "string"]}}),
        column("map", {"type": "map", "values": ["null", "long"]}),
        column("point", POINT),
        column("points", ["null", {"type": "array", "items": "Point"}]),
    ],
}


def text():
    return "".join(r.choice(["a", "b", "ä", '"', "\\", "\n", "x" * 50]) for _ in range(r.randrange(8)))


def maybe(make):
    return None if r.random() < 0.3 else make()


def point():
    return {"x": r.uniform(-1e6, 1e6), "label": maybe(text)}


def moment():
    return datetime.datetime(1900, 1, 1) + datetime.timedelta(microseconds=r.randrange(10**16))


def millis(at):
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def row(n):
    return {
        "row": n,
        "flag": r.random() < 0.5,
        "small": r.choice([0, -1, 2**31 - 1, -(2**31), r.randrange(1000)]),
        "maybe": maybe(lambda: r.choice([0, 2**63 - 1, -(2**63), r.randrange(1000)])),
        "maybe_last": maybe(text),
        "single": r.randrange(-1000, 1000) / 8,
        "double": r.uniform(-1e9, 1e9),
        "bytes": r.randbytes(r.randrange(6)),
        "text": text(),
        "kind": r.choice(ENUM["symbols"]),
        "again": maybe(lambda: r.choice(ENUM["symbols"])),
        "fixed": r.randbytes(4),
        "uuid": uuid.UUID(bytes=r.randbytes(16)),
        "price": decimal.Decimal(r.randrange(-(10**12) + 1, 10**12)).scaleb(-2),
        "owed": decimal.Decimal(r.randrange(-(10**10) + 1, 10**10)).scaleb(-3),
        "day": moment().date(),
        "at_ms": millis(moment()).time(),
        "at_us": moment().time(),
        "when_ms": millis(moment()).replace(tzinfo=UTC),
        "when_us": maybe(lambda: moment().replace(tzinfo=UTC)),
        "local_ms": millis(moment()),
        "local_us": moment(),
        "list": [r.randrange(100) for _ in range(r.randrange(4))],
        "lists": [[maybe(text) for _ in range(r.randrange(3))] for _ in range(r.randrange(3))],
        "map": {key: maybe(lambda: r.randrange(9)) for key in r.sample(["a", "b", "ö", ""], r.randrange(4))},
        "point": point(),
        "points": maybe(lambda: [point() for _ in range(r.randrange(3))]),
    }


def written(name, value):
    """Returns the JSON of a value of a column."""
    # A fraction of nothing is not written.
    unit = "seconds" if not getattr(value, "microsecond", 0) else "milliseconds" if name.endswith("_ms") else "microseconds"
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, uuid.UUID):
        return list(value.bytes)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        text = value.replace(tzinfo=None).isoformat(timespec=unit)
        return text + ("Z" if value.tzinfo else "")
    if isinstance(value, datetime.time):
        return value.isoformat(timespec=unit)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if name == "map":
        return [{"key": key, "value": one} for key, one in value.items()]
    return value


def write(name, schema, rows, **how):
    with open(name, "wb") as out:
        fastavro.writer(out, fastavro.parse_schema(schema), rows, **how)


rows = [row(n) for n in range(ROWS)]
for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]:
    name = f"rows-{codec}.avro"
    write(name, SCHEMA, rows, codec=codec, sync_interval=3000)
with open("rows-deflate.avro", "rb") as file:
    read = list(fastavro.reader(file))
assert len(read) == ROWS
with open("rows.jsonl", "w") as out:
    for one in read:
        out.write(json.dumps({name: written(name, value) for name, value in one.items()}) + "\n")

NUMBER = {"type": "record", "name": "N", "fields": [column("n", "long")]}
write("empty.avro", NUMBER, [])
write("one-block.avro", NUMBER, [{"n": n} for n in range(50_000)], sync_interval=10**9)
write("row-a-block.avro", NUMBER, [{"n": n} for n in range(300)], sync_interval=1)
write("no-columns.avro", {"type": "record", "name": "Nothing", "fields": []}, [{}] * 7, sync_interval=1)
write("long-head.avro", {**NUMBER, "doc": "d" * 60_000}, [{"n": n} for n in range(20_000)], sync_interval=500)
# A row holds the file's own marker, where a split that looks for one finds it.
marker = bytes(range(16))
trap = {"type": "record", "name": "T", "fields": [column("bytes", "bytes")]}
write("trap.avro", trap, [{"bytes": b"x" * 3000 + marker + b"y" * 3000}] * 40, sync_interval=1, sync_marker=marker)
union = {"type": "record", "name": "U", "fields": [column("n", "long"), column("either", ["long", "string"])]}
write("union.avro", union, [{"n": 1, "either": "a"}, {"n": 2, "either": 3}])
other = {"type": "record", "name": "N", "fields": [column("n", "string")]}
write("other.avro", other, [{"n": "a"}])
write("plain.avro", "long", [1, 2])
tree = {"type": "record", "name": "Tree", "fields": [column("n", "long"), column("next", ["null", "Tree"])]}
write("tree.avro", tree, [{"n": 1, "next": {"n": 2, "next": None}}])
# A block that becomes 400 MB.
bomb = {"type": "record", "name": "B", "fields": [column("bytes", "bytes")]}
write("bomb.avro", bomb, [{"bytes": bytes(400_000_000)}], codec="deflate")
pathlib.Path("none.avro").write_bytes(b"PAR1 is another format")
