"""Reads what Kinglet has written as Parquet with pyarrow, DuckDB and pandas, each by itself, and makes the files that the tests of
that need. It is run in the directory of the files; the first argument says what to do, the others name files."""

import datetime
import decimal
import glob
import math
import sys

import duckdb
import pandas
import pyarrow as pa
import pyarrow.parquet as pq


def one(name):
    [file] = glob.glob(f"{name}/part-*.parquet")
    return file


def plain(kind):
    """Returns the type that a column is written as, which was read as this one."""
    if pa.types.is_dictionary(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain(field.type)) for field in kind])
    return kind


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def kept(before, after):
    """Says that a file has the rows and the types of another."""
    after = one(after)
    a, b = pq.read_table(before), pq.read_table(after)
    assert a.column_names == b.column_names, b.column_names
    for field, got in zip(a.schema, b.schema):
        assert got.type == plain(field.type), (field, got)
        # As what is stored: Python has no nanoseconds, and no year 0.
        one_way = [column.cast(column.type if not pa.types.is_timestamp(column.type) else pa.int64()) for column in (a[field.name], b[field.name])]
        differs = [pair for pair in zip(*(column.to_pylist() for column in one_way)) if not same(*pair)]
        assert not differs, (field, differs[:3])
    sql = duckdb.connect()
    described = [sql.execute(f"describe from '{file}'").fetchall() for file in (before, after)]
    assert [row[:2] for row in described[0]] == [row[:2] for row in described[1]], described
    for one_file, other in ((before, after), (after, before)):
        [(left,)] = sql.execute(f"select count(*) from (from '{one_file}' except all from '{other}')").fetchall()
        assert left == 0, left
    frame = pandas.read_parquet(after)
    assert len(frame) == len(a) and list(frame.columns) == a.column_names
    print(len(frame))


SCALARS = {
    "n": ("int64", "BIGINT", "int64"),
    "i": ("int32", "INTEGER", "float64"),
    "price": ("decimal128(12, 2)", "DECIMAL(12,2)", "object"),
    "share": ("double", "DOUBLE", "float64"),
    "ok": ("bool", "BOOLEAN", "object"),
    "text": ("string", "VARCHAR", "str"),
    "day": ("date32[day]", "DATE", "object"),
    "clock": ("time64[us]", "TIME", "object"),
    "at": ("timestamp[us]", "TIMESTAMP", "datetime64[us]"),
    "zoned": ("timestamp[us, tz=UTC]", "TIMESTAMP WITH TIME ZONE", "datetime64[us, UTC]"),
    "list": ("list<element: int64>", "BIGINT[]", "object"),
    "pairs": ("map<string, double ('pairs')>", "MAP(VARCHAR, DOUBLE)", "object"),
    "inner": ("struct<a: int32, b: list<element: string>>", "STRUCT(a INTEGER, b VARCHAR[])", "object"),
}
D, T = datetime.date, datetime.datetime
UTC = datetime.timezone.utc
ROWS = [
    dict(
        n=1, i=-2147483648, price=decimal.Decimal("12.50"), share=0.1, ok=True, text="", day=D(2024, 2, 29),
        clock=datetime.time(6, 30, 0, 250), at=T(2026, 11, 22, 6, 30), zoned=T(2026, 11, 22, 4, 30, tzinfo=UTC),
        list=[1, None], pairs=[("k", 0.5)], inner=dict(a=7, b=["x", None]),
    ),
    dict.fromkeys(SCALARS) | dict(n=2),
    dict.fromkeys(SCALARS) | dict(n=3, share=math.nan, text="é\n\"", list=[], pairs=[], inner=dict(a=None, b=None)),
]


def scalars(name):
    """Says that three rows of every type are read by each program as what they are."""
    file = one(name)
    table = pq.read_table(file)
    assert {field.name: str(field.type) for field in table.schema} == {n: kinds[0] for n, kinds in SCALARS.items()}, table.schema
    got = table.to_pylist()
    assert all(same(row[key], got[at][key]) for at, row in enumerate(ROWS) for key in SCALARS), got
    sql = duckdb.connect()
    sql.execute("set timezone = 'UTC'")
    described = {row[0]: row[1] for row in sql.execute(f"describe from '{file}'").fetchall()}
    assert described == {n: kinds[1] for n, kinds in SCALARS.items()}, described
    nulls = ", ".join(f'"{key}" is null' for key in SCALARS)
    got = sql.execute(f"select {nulls} from '{file}' order by n").fetchall()
    assert got == [tuple(row[key] is None for key in SCALARS) for row in ROWS], got
    shown = "price::text, zoned::text, \"at\"::text, day::text, clock::text, \"inner\".b[1], pairs['k'], text = ''"
    got = sql.execute(f"select {shown} from '{file}' where n = 1").fetchall()
    assert got == [("12.50", "2026-11-22 04:30:00+00", "2026-11-22 06:30:00", "2024-02-29", "06:30:00.00025", "x", 0.5, True)], got
    assert sql.execute(f"select n from '{file}' where isnan(share)").fetchall() == [(3,)]
    frame = pandas.read_parquet(file)
    assert {key: str(kind) for key, kind in frame.dtypes.items()} == {n: kinds[2] for n, kinds in SCALARS.items()}, frame.dtypes
    assert frame["price"][0] == decimal.Decimal("12.50") and frame["price"][1] is None and frame["text"][0] == ""
    assert frame["at"][0] == pandas.Timestamp("2026-11-22 06:30") and frame["day"][0] == D(2024, 2, 29)
    print("read")


def many():
    """Writes forty files of one schema, some of which have other columns."""
    for n in range(40):
        columns = {"id": pa.array([n], pa.int64()), "name": pa.array([str(n)])}
        if n == 7:
            del columns["name"]
        pq.write_table(pa.table(columns), f"{n:02}.parquet")
    pq.write_table(pa.table({"id": pa.array(["x"]), "name": pa.array(["y"])}), "other.parquet")
    pq.write_table(pa.table({"id": pa.array([1], pa.int64()), "more": pa.array([True])}), "more.parquet")
    pq.write_table(pa.table({"d": pa.array([decimal.Decimal(1)], pa.decimal256(50, 2))}), "wide.parquet")


def dump(name):
    """Prints the columns of all parts, and their rows as DuckDB has them, sorted by the first column."""
    parts = f"{name}/part-*.parquet"
    print(duckdb.sql(f"select column_name, column_type from (describe from '{parts}')").fetchall())
    # By Arrow, as Python's own times with a zone take another package.
    rows = duckdb.sql(f"from '{parts}' order by 1").to_arrow_table().to_pylist()
    print([tuple(row.values()) for row in rows])


{"kept": kept, "scalars": scalars, "many": many, "dump": dump}[sys.argv[1]](*sys.argv[2:])
