"""Reads what Kinglet has written into folders with pyarrow and DuckDB, each by itself, and says whether it has the rows of a CSV. The
first argument names the output and its format, the second the CSV."""

import csv
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

out, rows = sys.argv[1:]
with open(rows, newline="", encoding="utf-8") as file:
    want = sorted(
        (int(row["n"]), row["town"] or None, int(row["year"]) if row["year"] else None, row["text"])
        for row in csv.DictReader(file)
    )

is_parquet = out == "parquet"
by = pa.schema([("town", pa.string()), ("year", pa.int32())])
hive = ds.partitioning(by, flavor="hive")
ending = "parquet" if is_parquet else "jsonl"
table = ds.dataset(out, format="parquet" if is_parquet else "json", partitioning=hive).to_table()
got = sorted(((row["n"], row["town"], row["year"], row["text"]) for row in table.to_pylist()), key=lambda row: row[0])
# Of Hive's word for nothing, it does not tell the text, however that is escaped, from nothing.
nothing = "__HIVE_DEFAULT_PARTITION__"
told = [(n, None if town == nothing else town, *rest) for n, town, *rest in want]
assert got == told, [pair for pair in zip(got, told) if pair[0] != pair[1]][:3]

read = "read_parquet" if is_parquet else "read_json"
types = "hive_partitioning = true, hive_types = {'town': VARCHAR, 'year': INTEGER}"
sql = f"select n, town, year, text from {read}('{out}/*/*/*.{ending}', {types}) order by n"
got = duckdb.connect().execute(sql).fetchall()
assert got == want, [pair for pair in zip(got, want) if pair[0] != pair[1]][:3]
print(len(got))
