# SPDX-License-Identifier: Apache-2.0
# What a name is.  When it is imported is __init__.py's.
from forkfold._errors import (DeadlineExceeded, InitializerFailed, PoolError, QueueEnded,
                              RemoteError, WorkerDied, WorkerTimeout)
from forkfold._native import available_cpus
from forkfold._native import version as __version__
from forkfold.data_processor import FailedFile, ParallelDataProcessor
from forkfold.executor import Executor
from forkfold.jobs import Statistics, chunk_size, count_primes, matmul, primes, statistics, sum
from forkfold.parallel_processor import (Metrics, OptimizedParallelProcessor,
                                         UnoptimizedParallelProcessor, generate_test_data,
                                         generate_test_matrix, generate_test_text)
from forkfold.pipeline import Pipeline
from forkfold.pool import AsyncResult, IMapIterator, Pool, PoolStats, array
from forkfold.queues import Queue
from forkfold.words import FailedInput, InputsFailed, WordCounts, count_words

__all__ = ["AsyncResult", "DeadlineExceeded", "Executor", "FailedFile", "FailedInput",
           "IMapIterator", "InitializerFailed", "InputsFailed", "Metrics",
           "OptimizedParallelProcessor", "ParallelDataProcessor", "Pipeline", "Pool", "PoolError",
           "PoolStats", "Queue", "QueueEnded", "RemoteError", "Statistics",
           "UnoptimizedParallelProcessor", "WordCounts", "WorkerDied", "WorkerTimeout",
           "__version__", "array", "available_cpus", "chunk_size", "count_primes", "count_words",
           "generate_test_data", "generate_test_matrix", "generate_test_text", "matmul", "primes",
           "statistics", "sum"]
