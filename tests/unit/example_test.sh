#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# example_test.sh PROGRAM EXPECTED: runs an example without arguments; fails unless it succeeds and
# prints what the file EXPECTED holds.
set -euo pipefail

ulimit -c 0 # one of them has a worker crash
"$1" </dev/null | diff -u "$2" - >&2
