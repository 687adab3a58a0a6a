/* SPDX-License-Identifier: Apache-2.0 */
/* How the work behind a result went, for people and as JSON for programs. */
#ifndef FF_CLI_STATS_H
#define FF_CLI_STATS_H

#include <forkfold.h>

#include "writer.h"

/* A few lines, "forkfold: " before each. */
void ff_cli_stats_text(struct ff_cli_writer *writer, const forkfold_stats *stats,
                       const forkfold_words_totals *totals);

/* One object on one line, every field always there; docs/formats.md tells what they mean. */
void ff_cli_stats_json(struct ff_cli_writer *writer, const forkfold_stats *stats,
                       const forkfold_words_totals *totals);

#endif
