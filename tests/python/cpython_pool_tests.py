# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests of multiprocessing.Pool, with the pool replaced.

Run by itself, as a program: the tests start processes that import the main module.  Arguments are
those of unittest.  Exit code 77 says that this interpreter has come without its tests.
"""

import multiprocessing
import sys
import unittest

import forkfold

try:
    import test._test_multiprocessing as cpython
except ImportError:
    print("this interpreter has come without test._test_multiprocessing")
    sys.exit(77)

multiprocessing.Pool = forkfold.Pool


class _WithForkfold(cpython.ProcessesMixin):
    Pool = staticmethod(forkfold.Pool)


def _with_forkfold(name):
    """The class of tests, for processes, as CPython's tests make one for each kind of process."""
    return type(name[1:], (getattr(cpython, name), _WithForkfold, unittest.TestCase),
                {"__module__": __name__})


TestPool = _with_forkfold("_TestPool")
TestPoolWorkerErrors = _with_forkfold("_TestPoolWorkerErrors")
TestPoolWorkerLifetime = _with_forkfold("_TestPoolWorkerLifetime")

if __name__ == "__main__":
    unittest.main()
