"""The hull of a file of little-endian f64 by SciPy's ConvexHull, which is Qhull: prints the seconds of that alone.

    python scipy_hull.py FILE DIMENSIONS VERTICES
"""

import sys
import time

import numpy
from scipy.spatial import ConvexHull

source, dimensions, target = sys.argv[1:]
points = numpy.fromfile(source, dtype="<f8").reshape(-1, int(dimensions))
started = time.perf_counter()
hull = ConvexHull(points)
print(f"{time.perf_counter() - started:.6f}")
points[hull.vertices].astype("<f8").tofile(target)
