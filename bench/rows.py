# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is compared with what, and how good Forkfold is to be.

An id, once published, keeps its meaning.  `least` and `goal` hold for two workers and a warm cache;
rows without them are there for comparison.
"""

from typing import NamedTuple, Optional


class Side(NamedTuple):
    """A program (see programs.py) on a set of texts, on a folder in one, or, "", on none."""

    program: str
    place: str


class Row(NamedTuple):
    id: str
    work: str
    peer: str
    sense: str  # "min": the peer's time / Forkfold's; "max": Forkfold's / the other's
    least: Optional[float]
    goal: Optional[float]
    ours: Side
    theirs: Side
    quantity: str = "time"  # or "memory", or, of times that programs measure themselves, "call", or
                            # "share": the part of Forkfold's that the other's would leave

    def is_called(self):
        return self.quantity in ("call", "share")

    def group(self):
        """Rows on the same texts are measured together, and those of one call."""
        return self.ours.place.split("/")[0] or self.ours.program


MANY = "10,000 files, about 118 MB, about 700 k distinct words"
BIG = "one file of 430 MB, English statistics"
SCRIPTS = "100 MB of non-Latin text"


def against(name, work, peer, sense, least, goal, place, program):
    return Row(name, work, peer, sense, least, goal, Side("forkfold", place), Side(program, place))


def call(name, work, peer, sense, least, goal, theirs, place="", quantity="call"):
    """A call of the library, beside another program that does the same."""
    return Row(name, work, peer, sense, least, goal, Side(f"call-{name}", place),
               Side(theirs, place), quantity)


CALL_ROWS = (
    call("map", "x*x+sin(x)cos(x) of 1 M doubles", "a loop split over 2 plain processes", "min", 0.9,
         0.98, "processes"),
    call("open-map-close", "a pool for 100,000 such items", "Python pool", "min", 6, 15,
         "python-open-map-close"),
    call("empty-1", "map of a function that does nothing, 1 M items, chunk 1",
         "claims from one counter by 2 processes", "min", 0.09, 0.3, "processes-claims"),
    call("imap-1", "imap_unordered of 100,000 integers, chunk 1", "Python pool", "min", 50, 150,
         "python-imap-1"),
    call("apply", "one call of a function, and its result", "a futex ping-pong of 2 processes",
         "max", 2.5, 1.3, "processes-ping-pong"),
    call("pipeline", "20,000 items through stages of 20, 5 and 5 us",
         "the first stage alone, 1 process", "min", 0.95, 0.99, "processes-slowest"),
    call("communication", "map of 20,000 items of 10 us", "the same work in 2 plain processes", "max",
         0.02, 0.005, "processes-busy", quantity="share"),
    call("matmul-1500", "1500 x 1500 doubles", "OpenBLAS, 2 threads", "min", 0.92, 1,
         "openblas-1500"),
    call("matmul-100", "100 x 100 doubles", "one call of OpenBLAS", "max", 1.15, 1.02,
         "openblas-100"),
    call("primes-list", "the primes below 10^9, in an array", "primesieve, which takes 1 thread",
         "min", 0.8, 1.5, "primesieve-list"),
    call("primes-count", "how many primes there are below 10^9", "primesieve, 2 threads", "max", 4,
         1.5, "primesieve-count"),
    call("fsum", "exact sum of 10^8 doubles", "math.fsum", "min", 20, 60, "python-fsum"),
    call("queue-1", "300,000 integers from one worker to another, one by one", "multiprocessing.Queue",
         "min", 40, 200, "python-queue-1"),
    call("queue-batch", "3 M integers likewise, in batches of 100", "the same batches", "min", 20, 60,
         "python-queue-batch"),
    call("text-1m", "1 M words in memory", "Python pool, letters rule", "min", 30, 80, "python-text",
         "million"),
)

def python(name, work, peer, sense, least, goal, library, place="", suffix=""):
    """A call of the Python package; suffix: of rows that compare it with one more peer."""
    return Row(f"py-{name}{suffix}", work, peer, sense, least, goal, Side(f"py-{name}", place),
               Side(f"py-{name}-{library}", place), "call")


def python_peers(name, work, *libraries):
    """Rows that are there for comparison."""
    return tuple(python(name, work, peer, "min", None, None, library, suffix=f"-{library}")
                 for library, peer in libraries)


POOL = "multiprocessing.Pool"
REFERENCE = "numpy and multiprocessing"
EXECUTOR, LOKY, MPIRE = (("executor", "ProcessPoolExecutor"), ("loky", "joblib with loky"),
                         ("mpire", "mpire"))
CHEAP = "Pool.map of 100,000 cheap items"
PYTHON_MATRICES = "parallel_matrix_multiply, 1500 x 1500 lists of int"
PYTHON_WORDS = "map_reduce_word_count, 1 M words"

PYTHON_ROWS = (
    python("open", "Pool: open, close, join", POOL, "min", 1, 2, "multiprocessing"),
    python("map", CHEAP, POOL, "min", 1.3, 2.5, "multiprocessing"),
    *python_peers("map", CHEAP, EXECUTOR, LOKY, MPIRE),
    python("map-1", f"{CHEAP}, chunksize 1", POOL, "min", 6, 15, "multiprocessing"),
    python("imap-1", "imap_unordered of 100,000 cheap items, chunksize 1", POOL, "min", 6, 15,
           "multiprocessing"),
    python("futures", "20,000 futures, submitted and then collected", EXECUTOR[1], "min", 5, 12,
           EXECUTOR[0]),
    *python_peers("futures", "20,000 futures, submitted and then collected", LOKY),
    python("numpy-arg", "an array of 100 MB for 8 items", "one memcpy of it", "max", 1.5, 1.1,
           "numpy"),
    *python_peers("numpy-arg", "an array of 100 MB for 8 items", ("multiprocessing", POOL)),
    python("numpy-result", "an array of 100 MB from a worker", "one memcpy of it", "max", 1.5, 1.1,
           "numpy"),
    *python_peers("numpy-result", "an array of 100 MB from a worker", ("multiprocessing", POOL)),
    python("share", "time without work in a map of 2,000 items of 1 ms", "all of its time", "max",
           0.1, 0.01, "total"),
    python("primes", "parallel_find_primes(10**6)", REFERENCE, "min", 6, 15, "reference"),
    python("matmul-1500", PYTHON_MATRICES, REFERENCE, "min", 8, 20, "reference"),
    *python_peers("matmul-1500", PYTHON_MATRICES, ("tuned", "numpy, as floats where exact")),
    python("matmul-100", "parallel_matrix_multiply, 100 x 100 lists of int", REFERENCE, "min", 1.5,
           3, "reference"),
    python("words", PYTHON_WORDS, REFERENCE, "min", 25, 60, "reference", "million"),
    python("words", PYTHON_WORDS, "the same, tuned", "min", None, None, "tuned", "million",
           "-tuned"),
    python("items", "process_data_spawn_per_item, 100,000 items", REFERENCE, "min", 1.5, 4,
           "reference"),
    python("pipeline", "run_pipeline, 100,000 items", REFERENCE, "min", 1.5, 4, "reference"),
    Row("py-dir", "10,000 files: count_words(DIR)", "the command and an interpreter's start", "max",
        1.15, 1.02, Side("py-dir", "many"), Side("py-dir-command", "many")),
)

ROWS = (
    against("many-pool", MANY, "Python pool, lower().split()", "min", 20, 28, "many", "pool-lower"),
    against("many-letters", MANY, "Python pool, letters rule", "min", 35, 45, "many",
            "pool-letters"),
    against("many-duckdb", MANY, "DuckDB", "min", 13, 18, "many", "duckdb"),
    against("many-shell", MANY, "tr, sort, uniq in the C locale", "min", 22, 28, "many", "shell"),
    against("many-tuned", MANY, "Python pool, letters rule, tuned", "min", None, None, "many",
            "pool-tuned"),
    against("many-polars", MANY, "Polars", "min", None, None, "many", "polars"),
    against("many-mawk", MANY, "mawk", "min", None, None, "many", "mawk"),
    against("many-parallel", MANY, "GNU parallel, mawk", "min", None, None, "many", "parallel"),
    against("many-limit", MANY, "only reads", "max", None, None, "many", "reads"),
    against("big-mawk", BIG, "mawk", "min", 25, 40, "big", "mawk"),
    against("big-wc", BIG, "LC_ALL=C wc -w", "min", 8, 13, "big", "wc"),
    Row("big-scale", BIG, "itself, 1 worker to 2", "min", 1.8, 1.95, Side("forkfold-2", "big"),
        Side("forkfold-1", "big")),
    against("big-limit", BIG, "only reads", "max", None, None, "big", "reads"),
    against("scripts", SCRIPTS, "Python pool, letters rule", "min", 15, 30, "scripts",
            "pool-letters"),
    against("scripts-limit", SCRIPTS, "only reads", "max", None, None, "scripts", "reads"),
    against("tiny", "100,000 files of 100 bytes", "only reads, 1 process", "max", 1.2, 0.7, "tiny",
            "reads-1"),
    Row("skew", "one file holds 90 % of the bytes", "the same bytes, evenly", "max", 1.2, 1.05,
        Side("forkfold", "skew/one"), Side("forkfold", "skew/even")),
    against("start", "one small file, whole process", "/bin/true", "max", 15, 5, "start", "true"),
    Row("growth", "10 x the data, same words", "itself", "max", 10.5, None,
        Side("forkfold", "growth/large"), Side("forkfold", "growth/small")),
    Row("growth-memory", "10 x the data, same words: peak memory", "itself", "max", 1.1, None,
        Side("forkfold", "growth/large"), Side("forkfold", "growth/small"), "memory"),
) + CALL_ROWS + PYTHON_ROWS

OWN = "BENCH_DIR"
OWN_ROWS = tuple(
    against(f"own-{name}", OWN, peer, sense, None, None, OWN, program)
    for name, peer, sense, program in (
        ("pool", "Python pool, lower().split()", "min", "pool-lower"),
        ("letters", "Python pool, letters rule", "min", "pool-letters"),
        ("tuned", "Python pool, letters rule, tuned", "min", "pool-tuned"),
        ("duckdb", "DuckDB", "min", "duckdb"),
        ("polars", "Polars", "min", "polars"),
        ("shell", "tr, sort, uniq in the C locale", "min", "shell"),
        ("mawk", "mawk", "min", "mawk"),
        ("parallel", "GNU parallel, mawk", "min", "parallel"),
        ("wc", "LC_ALL=C wc -w", "min", "wc"),
        ("limit", "only reads", "max", "reads"),
    ))


def select(rows, ids):
    """The rows with these ids, all if there are none.  Raises ValueError for an unknown one."""
    known = {row.id for row in rows}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise ValueError(f"no such row: {' '.join(unknown)}\nrows: "
                         f"{' '.join(row.id for row in rows)}")
    return [row for row in rows if not ids or row.id in ids]


def verdict(row, ratio):
    """Whether the row is as good as it should be: "goal", "least", "no", or "-" if nobody said."""
    def reaches(bound):
        if bound is None:
            return False
        if row.quantity == "memory":
            # The same memory, give or take: much less would be as strange as more.
            return 2 - bound <= ratio <= bound
        return ratio >= bound if row.sense == "min" else ratio <= bound

    if row.least is None:
        return "-"
    if reaches(row.goal):
        return "goal"
    return "least" if reaches(row.least) else "no"
