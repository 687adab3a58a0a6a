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
#include "jobs/word_kernel.h"
#include "pool/call.h"

enum ff_input_kind { FF_INPUT_FILE, FF_INPUT_STDIN, FF_INPUT_TEXT };

/* What became of a split file, for the workers that hold uncommitted counts of it. */
enum ff_group_state { FF_GROUP_OPEN, FF_GROUP_GOOD, FF_GROUP_BAD };

/* Writer: the driver.  All but state is written before the item is posted. */
struct ff_input {
    const char *path; /* in the region, NUL-terminated */
    uint32_t path_bytes;
    uint32_t kind;         /* enum ff_input_kind */
    uint64_t group;        /* item number of the file's first piece */
    uint64_t pieces;       /* of the file; 1 = it is not split */
    uint64_t offset;       /* of the piece */
    uint64_t length;       /* of the piece; 0 and pieces 1: the size was not known */
    struct ff_stamp stamp; /* of the file when it was found */
    ff_word64 state;       /* of a first piece: enum ff_group_state */
};

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
    const unsigned char *text;          /* what FF_INPUT_TEXT is, in a shared array, or NULL */
    struct ff_input *inputs;
};

/* The driver's handle: where the next input goes. */
struct ff_words_input {
    struct ff_words_context *context;
    uint64_t count;
    uint64_t capacity;
    char *paths;
    size_t paths_used;
    size_t paths_size;
    uint64_t files;
    uint64_t bytes;
    uint64_t split_files;
    struct ff_task batch; /* found and not yet posted */
    uint64_t batch_bytes;
};

/* Lays the structures out in the pool's input area. */
void ff_words_input_open(struct ff_words_input *input, const struct ff_area *area);

/*
 * Adds a file or stdin, in pieces if it is big, and posts tasks as they fill
 * up.  0 or FORKFOLD_E_LIMIT.
 */
int ff_words_input_add(struct ff_words_input *input, forkfold_pool *pool,
                       const struct ff_found *found);

/* Adds the context's text, likewise, and posts all of it. */
int ff_words_input_add_text(struct ff_words_input *input, forkfold_pool *pool, uint64_t bytes);

/* Keeps the path of something that is no input; NULL with the pool's error when there is no room. */
const char *ff_words_input_keep_path(struct ff_words_input *input, forkfold_pool *pool,
                                     const struct ff_found *found);

/* Memory behind the paths, 64-byte aligned; NULL with the pool's error when there is no room. */
void *ff_words_input_reserve(struct ff_words_input *input, forkfold_pool *pool, size_t bytes);

/* Posts what is left of the last batch.  0 or FORKFOLD_E_LIMIT. */
int ff_words_input_flush(struct ff_words_input *input, forkfold_pool *pool);

#endif
