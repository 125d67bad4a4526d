"""What a server and its clients agree on: how frames, results and errors travel over HTTP."""

from tiffin.wire.arrow_stream import from_stream, to_stream
from tiffin.wire.bounds import Bounds
from tiffin.wire.files import from_csv, from_parquet, to_csv, to_parquet
from tiffin.wire.problems import Problem, problem_of, to_error
from tiffin.wire.results import decode, encode

__all__ = [
    "Bounds",
    "Problem",
    "decode",
    "encode",
    "from_csv",
    "from_parquet",
    "from_stream",
    "problem_of",
    "to_csv",
    "to_error",
    "to_parquet",
    "to_stream",
]
