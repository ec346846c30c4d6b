"""Python reads this at its start where it is on PYTHONPATH: counts Lithops' requests to storage, in the driver and in the workers.

Each request writes its name and a newline to the file that LITHOPS_COUNT names; lines of that length are written whole.
"""

import importlib.abc
import importlib.util
import os
import sys

MODULE = "lithops.storage.backends.localhost.localhost"
OPERATIONS = ["put_object", "get_object", "upload_file", "download_file", "head_object", "delete_object",
              "delete_objects", "list_objects", "list_keys"]


def count(cls):
    file = os.open(os.environ["LITHOPS_COUNT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def counted(name, operation):
        def call(*args, **kwargs):
            os.write(file, f"{name}\n".encode())
            return operation(*args, **kwargs)

        return call

    for name in OPERATIONS:
        if hasattr(cls, name):
            setattr(cls, name, counted(name, getattr(cls, name)))


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            count(module.LocalhostStorageBackend)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("LITHOPS_COUNT"):
    sys.meta_path.insert(0, Finder())
