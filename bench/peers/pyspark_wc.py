"""Word count in PySpark: a DataFrame on `local[*]`, its result written as a directory of parts. Not sorted.

usage: pyspark_wc.py INPUT OUTPUT

The driver is the only process that works in local mode, so its heap is set to what the machine can spare. Eight shuffle
partitions suit two cores better than the default of 200; two were slower.
"""

import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

source, target = sys.argv[1:]
temporary = os.environ.get("TMPDIR", "/tmp")
# Every JVM, the launcher's too, leaves its files where they are cleared away.
os.environ["JDK_JAVA_OPTIONS"] = f"-XX:-UsePerfData -Djava.io.tmpdir={temporary}"
spark = (
    SparkSession.builder.master("local[*]")
    .appName("word-count")
    .config("spark.driver.memory", os.environ.get("SPARK_DRIVER_MEMORY", "8g"))
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.local.dir", temporary)
    .config("spark.sql.warehouse.dir", os.path.join(temporary, "spark-warehouse"))
    .config("spark.sql.shuffle.partitions", "8")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
(
    spark.read.text(source)
    .select(F.explode(F.split("value", r"[ \t\f\r]+")).alias("word"))
    .where("word <> ''")
    .groupBy("word")
    .count()
    .select(F.concat_ws("\t", "word", F.col("count").cast("string")))
    .write.text(target)
)
spark.stop()
