/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker holds while it counts words, as the parts of the job (words_job.h) see it.
 *
 *     words_job.c    which part an item is for
 *     words_state.c  memory: the budget of all tables, counts that may have to be dropped
 *     words_file.c   whole files and streams
 *     words_piece.c  pieces of big files
 *     words_seal.c   what is sealed, and taken up again from a dead worker's seal
 */
#ifndef FF_JOBS_WORDS_STATE_H
#define FF_JOBS_WORDS_STATE_H

#include "jobs/file_text.h"
#include "jobs/words_input.h"
#include "jobs/words_tally.h"

/*
 * What big files and streams are read in: it stays in the second-level cache, beside a good part of
 * the table.
 */
enum { FF_WORDS_BLOCK_BYTES = 128 * 1024 };

/* Counts of a split file that may still have to be dropped. */
struct ff_uncommitted {
    uint64_t group;
    struct ff_tally tally;
};

struct ff_words_state {
    struct ff_worker *worker;
    const struct ff_words_context *context;
    struct ff_word_kernel kernel;
    struct ff_budget budget; /* of all tables here */
    struct ff_tally whole;   /* of whole files */
    struct ff_tally staged;  /* of the input at hand, if it may turn out bad when some is counted */
    const struct ff_tally *source; /* that is being merged: not to be emptied meanwhile */
    struct ff_uncommitted *open;
    size_t open_count;
    size_t open_capacity;
    size_t open_limit;           /* after so many a seal lets the driver commit some */
    const struct ff_input *text; /* that is being counted, if it lies in memory */
    struct ff_file_text file;    /* the file that was read last; its room is also for blocks */
};

/* ---- Memory -------------------------------------------------------------- */

int ff_words_attach(struct ff_worker *worker, const void *context, void **result);
void ff_words_detach(void *pointer);

/*
 * The largest table goes to disk, whichever has to grow (NULL: none has): 1, or 0 when there is
 * nothing to write, or a negative code.
 */
int ff_words_relieve(struct ff_words_state *state, const struct ff_table *growing);

/* Adds from to into; a negative code, explained, when that cannot be. */
int ff_words_merge(struct ff_words_state *state, struct ff_tally *into, struct ff_tally *from);

/* The counts of a split file, known by its first item; empty ones the first time.  NULL: memory. */
struct ff_tally *ff_words_uncommitted(struct ff_words_state *state, uint64_t group);

/*
 * Moves the counts of files that turned out good to the main table and drops
 * those that did not.  The driver decides only after all pieces of a file are
 * sealed, so no piece can join or leave the group any more.
 */
int ff_words_commit_decided(struct ff_words_state *state);

/* ---- Counting: FF_ITEM_DONE, FF_ITEM_FAILED with *failure, or a negative code ---- */

int ff_words_count_file(struct ff_words_state *state, const struct ff_input *input,
                        struct ff_item_failure *failure);

/* Calls the host's function on the file instead. */
int ff_words_map_file(struct ff_words_state *state, const struct ff_input *input,
                      struct ff_item_failure *failure);

/* All that comes out of a descriptor. */
int ff_words_count_stream(struct ff_words_state *state, int fd, struct ff_item_failure *failure);

/* A whole text in memory. */
int ff_words_count_text(struct ff_words_state *state, const unsigned char *text, size_t bytes,
                        struct ff_item_failure *failure);

/* One piece of a big file, or of a text in memory. */
int ff_words_count_piece(struct ff_words_state *state, const struct ff_input *input,
                         uint64_t number, struct ff_item_failure *failure);

/* A negative code of the kernel: what the input is to blame for fails the input only. */
int ff_words_fail_counting(struct ff_item_failure *failure, int code);

/* ---- Seals, as struct ff_job has them ------------------------------------ */

int ff_words_absorb(void *pointer, const void *payload, size_t bytes);
int ff_words_seal(void *pointer, void *payload, size_t capacity, size_t *bytes);

#endif
