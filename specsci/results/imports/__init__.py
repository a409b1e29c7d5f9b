"""Results made elsewhere: counts or single answers from a CSV or Parquet file, as a study of the same database.

A file has one row per arm, seed and eval with `aligned`, `valid` and `attempted`, or one row per answer with `item_id` as well.
It is checked whole before the store is touched; what is kept lies beside the store's steps and survives a rebuild.
"""

from specsci.results.imports.check import OPTIONAL, REQUIRED, Given, read_given
from specsci.results.imports.keep import Imported, check_name, import_file, keep
from specsci.results.imports.load import PROFILE, load_imports, step_digest

__all__ = [
    "OPTIONAL", "PROFILE", "REQUIRED", "Given", "Imported", "check_name", "import_file", "keep", "load_imports",
    "read_given", "step_digest",
]  # fmt: skip
