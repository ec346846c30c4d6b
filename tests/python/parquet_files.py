"""Writes Parquet files of every type, codec, encoding and page version into the directory that it is run in, and the rows that pyarrow
reads in them, as the JSON that Kinglet writes of a row: `rows-*.parquet` and `rows.jsonl`, `int96.parquet` and `int96.jsonl`."""

import base64
import datetime
import decimal
import json
import pathlib
import random
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption

r = random.Random(11)
ROWS = 5_000
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def some(make, nulls=0.1):
    return [None if r.random() < nulls else make() for _ in range(ROWS)]


def text():
    return "".join(r.choice(["a", "b", "ä", '"', "\\", "\n", "x" * 50]) for _ in range(r.randrange(8)))


def whole(bits, signed):
    return r.choice([0, 1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)) if signed else 2**bits - 1, r.randrange(100)])


def written(value, kind):
    """Returns the JSON of a value of a type."""
    if value is None:
        return None
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return moment(value, kind)
    if pa.types.is_date(kind):
        return value.isoformat()
    if pa.types.is_decimal(kind):
        return format(value, "f")
    if pa.types.is_uint64(kind):
        return value if value < 2**63 else str(value)
    if pa.types.is_floating(kind):
        return float(value) if value == value and abs(value) != float("inf") else None
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return list(value)
    if pa.types.is_map(kind):
        return [{"key": written(k, kind.key_type), "value": written(v, kind.item_type)} for k, v in value]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [written(v, kind.value_type) for v in value]
    if pa.types.is_struct(kind):
        return {field.name: written(value[field.name], field.type) for field in kind}
    return value


def moment(units, kind):
    digits = DIGITS[kind.unit]
    seconds, rest = divmod(units, 10**digits)
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    clock = at.strftime("%H:%M:%S") + (f".{rest:0{digits}}" if rest else "")
    if pa.types.is_time(kind):
        return clock
    # `strftime` does not fill a year up to four digits everywhere.
    return f"{at.date().isoformat()}T{clock}" + ("Z" if kind.tz else "")


def plain(column):
    """Returns a column's values; those of times as the numbers that they are stored as."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_time32(kind):
        return column.cast(pa.int32()).to_pylist()
    return column.to_pylist()


def some_of(make):
    return [r.choice([None, make()]) for _ in range(r.randrange(4))]


def micros():
    return r.choice([0, -1, 253402300799999999, -62135596800000000, r.randrange(2 * 10**15)])


TABLE = pa.table(
    {
        "row": pa.array(range(ROWS), pa.int64()),
        "flag": pa.array(some(lambda: r.random() < 0.5), pa.bool_()),
        "i8": pa.array(some(lambda: whole(8, True)), pa.int8()),
        "i16": pa.array(some(lambda: whole(16, True)), pa.int16()),
        "i32": pa.array(some(lambda: whole(32, True)), pa.int32()),
        "i64": pa.array(some(lambda: whole(64, True)), pa.int64()),
        "u8": pa.array(some(lambda: whole(8, False)), pa.uint8()),
        "u32": pa.array(some(lambda: whole(32, False)), pa.uint32()),
        "u64": pa.array(some(lambda: whole(64, False)), pa.uint64()),
        "f32": pa.array(some(lambda: r.choice([0.1, -1.5, 1e30, float("nan"), float("inf")])), pa.float32()),
        "f64": pa.array(some(lambda: r.uniform(-1e9, 1e9) * 10 ** r.randrange(-200, 200)), pa.float64()),
        "d9": pa.array(some(lambda: decimal.Decimal(r.randrange(-(10**8), 10**8)).scaleb(-2)), pa.decimal128(9, 2)),
        "d38": pa.array(some(lambda: decimal.Decimal(r.randrange(-(10**30), 10**30)).scaleb(-10)), pa.decimal128(38, 10)),
        "text": pa.array(some(text), pa.string()),
        "dictionary": pa.array(some(lambda: r.choice(["one", "two", "three"]))).dictionary_encode(),
        "large": pa.array(some(text), pa.large_string()),
        "bytes": pa.array(some(lambda: r.randbytes(r.randrange(6))), pa.binary()),
        "fixed": pa.array(some(lambda: r.randbytes(5)), pa.binary(5)),
        "day": pa.array(some(lambda: datetime.date(r.randrange(1, 10000), r.randrange(1, 13), r.randrange(1, 29))), pa.date32()),
        "clock_ms": pa.array(some(lambda: r.randrange(86_400_000)), pa.time32("ms")),
        "clock_us": pa.array(some(lambda: r.randrange(86_400_000_000)), pa.time64("us")),
        "at_ms": pa.array(some(lambda: micros() // 1000), pa.timestamp("ms")),
        "at_us": pa.array(some(micros), pa.timestamp("us")),
        "at_utc": pa.array(some(micros), pa.timestamp("us", "UTC")),
        "at_zone": pa.array(some(micros), pa.timestamp("us", "Asia/Tokyo")),
        "list": pa.array(some(lambda: some_of(lambda: r.randrange(9))), pa.list_(pa.int32())),
        "lists": pa.array(some(lambda: some_of(lambda: some_of(text))), pa.list_(pa.list_(pa.string()))),
        "struct": pa.array(
            some(lambda: {"x": r.choice([None, 1]), "y": {"z": some_of(text)}}),
            pa.struct([("x", pa.int64()), ("y", pa.struct([("z", pa.list_(pa.string()))]))]),
        ),
        "map": pa.array(
            some(lambda: [(text(), r.choice([None, 7])) for _ in range(r.randrange(3))]), pa.map_(pa.string(), pa.int32())
        ),
        "structs": pa.array(some(lambda: some_of(lambda: {"a": text()})), pa.list_(pa.struct([("a", pa.string())]))),
        "nothing": pa.array([None] * ROWS, pa.int32()),
    }
)


def write_rows(name, table):
    """Writes the rows of a table, as they are read of its file, as JSON lines."""
    columns = [[written(value, field.type) for value in plain(column)] for field, column in zip(table.schema, table.columns)]
    with open(name, "w") as out:
        for row in zip(*columns):
            out.write(json.dumps(dict(zip(table.column_names, row))) + "\n")


for n, codec in enumerate(["none", "snappy", "gzip", "brotli", "zstd", "lz4"]):
    pq.write_table(
        TABLE,
        f"rows-{codec}.parquet",
        compression=codec,
        row_group_size=[ROWS, 700, 1_999][n % 3],
        data_page_version=["1.0", "2.0"][n % 2],
        use_dictionary=n % 2 == 0,
        write_page_index=n % 3 == 0,
        write_page_checksum=n % 2 == 1,
        data_page_size=[1 << 20, 2_000][n % 2],
    )
pq.write_table(
    TABLE,
    "rows-encodings.parquet",
    row_group_size=1_000,
    use_dictionary=False,
    column_encoding={
        "row": "DELTA_BINARY_PACKED",
        "text": "DELTA_BYTE_ARRAY",
        "bytes": "DELTA_LENGTH_BYTE_ARRAY",
        "f64": "BYTE_STREAM_SPLIT",
        "f32": "BYTE_STREAM_SPLIT",
    },
)
write_rows("rows.jsonl", pq.read_table("rows-snappy.parquet"))

INT96 = TABLE.select(["row", "at_us"])
pq.write_table(INT96, "int96.parquet", use_deprecated_int96_timestamps=True)
write_rows("int96.jsonl", INT96)

# What pyarrow is tested with itself: files of an early version, with statistics that are no longer believed.
LEGACY = sorted(pathlib.Path(pa.__file__).parent.glob("tests/data/parquet/*.parquet"))
for n, path in enumerate(LEGACY):
    shutil.copy(path, f"legacy-{n}.parquet")
    write_rows(f"legacy-{n}.jsonl", pq.read_table(path))

# A column of 3.2 MB beside a larger one, in eight row groups.
WIDE = pa.table({"row": range(400_000), "text": [f"{n * 7919 % 400_000:030}" for n in range(400_000)]})
pq.write_table(WIDE, "wide.parquet", row_group_size=50_000, compression="none", use_dictionary=False)


class Kms(encryption.KmsClient):
    """Wraps keys by nothing."""

    def __init__(self, _):
        encryption.KmsClient.__init__(self)

    def wrap_key(self, key, _):
        return base64.b64encode(key)

    def unwrap_key(self, key, _):
        return base64.b64decode(key)


def encrypted(name, **how):
    config = encryption.EncryptionConfiguration(footer_key="k", column_keys={"k": ["row"]}, **how)
    properties = encryption.CryptoFactory(Kms).file_encryption_properties(encryption.KmsConnectionConfig(), config)
    pq.write_table(INT96, name, encryption_properties=properties)


encrypted("encrypted.parquet")
encrypted("encrypted-columns.parquet", plaintext_footer=True)
