/* SPDX-License-Identifier: Apache-2.0 */
/* Everything of libforkfold. */
#ifndef FORKFOLD_FORKFOLD_H
#define FORKFOLD_FORKFOLD_H

#include <forkfold/call.h>
#include <forkfold/curve.h>
#include <forkfold/dictionary.h>
#include <forkfold/directory.h>
#include <forkfold/error.h>
#include <forkfold/failure.h>
#include <forkfold/matrices.h>
#include <forkfold/numbers.h>
#include <forkfold/pipeline.h>
#include <forkfold/pool.h>
#include <forkfold/primes.h>
#include <forkfold/queue.h>
#include <forkfold/shared.h>
#include <forkfold/stats.h>
#include <forkfold/version.h>
#include <forkfold/words.h>

#endif
