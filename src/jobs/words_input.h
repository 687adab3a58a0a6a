/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inputs of a word count, as the driver writes them and workers read them.
 *
 * An item of the pool is a file, or one piece of a big one.  The pieces of a
 * file are consecutive items and one group, known by its first item: they
 * count together or not at all.
 */
#ifndef FF_JOBS_WORDS_INPUT_H
#define FF_JOBS_WORDS_INPUT_H

#include <forkfold/words.h>

#include "files/discover.h"
#include "files/read.h"
#include "jobs/task_heap.h"
#include "jobs/word_kernel.h"
#include "pool/call.h"

struct ff_directory_context;

/* What became of a split file, for the workers that hold uncommitted counts of it. */
enum ff_group_state { FF_GROUP_OPEN, FF_GROUP_GOOD, FF_GROUP_BAD };

/* A big file.  Writer: the driver.  All but state is written before its first piece is posted. */
struct ff_split_file {
    uint64_t group;        /* item number of its first piece */
    uint64_t pieces;       /* how many items it is */
    uint64_t piece_bytes;  /* of all pieces but the last */
    struct ff_stamp stamp; /* of the file when it was found: all pieces must be of that one */
    ff_word64 state;       /* enum ff_group_state */
};

/*
 * An item.  Writer: the driver, before it posts the item.  There are as many as there are files, so
 * that each byte counts: files of one folder share its path.
 */
struct ff_input {
    const char *folder; /* the path up to its last '/', that included; NULL: standard input */
    const char *name;   /* the rest; both lie in the region, NUL-terminated */
    struct ff_split_file *split; /* NULL: the item is a whole file */
    uint64_t size;               /* of the file when it was found */
};

/* Of the file that an item belongs to: the number of its first item, and how many items it is. */
static inline uint64_t ff_input_group(const struct ff_input *inputs, uint64_t item)
{
    return inputs[item].split != NULL ? inputs[item].split->group : item;
}

static inline uint64_t ff_input_pieces(const struct ff_input *input)
{
    return input->split != NULL ? input->split->pieces : 1;
}

/* enum ff_group_state; whole files are decided when they are counted. */
static inline uint64_t ff_input_state(const struct ff_input *input)
{
    return input->split != NULL ? ff_observe(&input->split->state) : FF_GROUP_OPEN;
}

/* The context of the job: at the start of the input area. */
struct ff_words_context {
    enum forkfold_word_rule rule;
    enum forkfold_invalid invalid;
    int stdin_fd;
    const struct ff_scan_variant *scan; /* the driver's pointer is every worker's: one image */
    uint64_t split_bytes;               /* files above are split */
    bool cuts_finely;                   /* their pieces may be shorter */
    uint64_t table_bytes;               /* what the tables of one worker may take */
    uint64_t fingerprint;               /* of what is counted: the mark of its partials */
    const unsigned char *text;          /* in a shared array: the only input; or NULL */
    uint64_t text_keys; /* that a worker's table of its pieces has room for at first */
    const struct ff_directory_context *mapped; /* whose function adds to tables instead of the word
                                                  kernel, or NULL */
    struct ff_combiner combiner;               /* of what it adds */
    struct ff_input *inputs;
};

/* The driver's handle: where the next input goes. */
struct ff_words_input {
    struct ff_words_context *context;
    uint64_t count;
    uint64_t capacity;
    char *paths; /* folders, names and split files */
    size_t paths_used;
    size_t paths_size;
    const char *folder; /* of the last file; NULL = there was none */
    uint64_t files;
    uint64_t bytes;
    uint64_t split_files;
    struct ff_task batch; /* files that are found and make no task yet */
    uint64_t batch_bytes;
    struct ff_task_heap kept; /* tasks that are not posted yet */
    uint64_t fed;             /* unclaimed tasks with which no worker will run dry soon */
};

/* Lays the structures out in the pool's input area.  0 or FORKFOLD_E_LIMIT. */
int ff_words_input_open(struct ff_words_input *input, forkfold_pool *pool);

/*
 * Adds a file or stdin, in pieces if it is big.  Makes tasks and posts them, but while workers have
 * enough to do it keeps some of the smallest for the end, so that no worker begins with a big file
 * when the others have nothing left.  0 or FORKFOLD_E_LIMIT.
 */
int ff_words_input_add(struct ff_words_input *input, forkfold_pool *pool,
                       const struct ff_found *found);

/* For when no files are found for a while: posts what is kept if workers have not enough to do. */
int ff_words_input_feed(struct ff_words_input *input, forkfold_pool *pool);

/* Adds the context's text, in pieces, and posts all of it. */
int ff_words_input_add_text(struct ff_words_input *input, forkfold_pool *pool, uint64_t bytes);

/* Memory behind the paths, 64-byte aligned; NULL with the pool's error when there is no room. */
void *ff_words_input_reserve(struct ff_words_input *input, forkfold_pool *pool, size_t bytes);

/* Posts all that is left, the largest first.  0 or FORKFOLD_E_LIMIT. */
int ff_words_input_flush(struct ff_words_input *input, forkfold_pool *pool);

#endif
