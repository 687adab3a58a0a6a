/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Word counts over files, and of texts in memory.
 *
 * A word is defined by the rule, not by the locale:
 *   letters  split at Unicode white space; of each token keep the letters
 *            (general category L*), each lower-cased by its full mapping;
 *            drop tokens without letters.
 *   plain    split at Unicode white space, nothing else.
 * Input is UTF-8.  A file counts wholly or not at all.
 */
#ifndef FORKFOLD_WORDS_H
#define FORKFOLD_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/failure.h>
#include <forkfold/pool.h>
#include <forkfold/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

enum forkfold_word_rule { FORKFOLD_LETTERS = 0, FORKFOLD_PLAIN = 1 };

enum forkfold_invalid {
    FORKFOLD_INVALID_FAIL = 0,   /* a file that is not UTF-8 fails */
    FORKFOLD_INVALID_REPLACE = 1 /* each ill-formed part becomes U+FFFD */
};

/* What has happened so far, for progress displays and summaries. */
typedef struct forkfold_progress {
    uint64_t files_found;
    uint64_t files_done; /* counted or failed; approximate while the call runs */
    uint64_t bytes_found;
    uint64_t bytes_done; /* likewise */
    uint64_t files_failed;
    uint64_t retries; /* items that were started again after a death */
    uint64_t deaths;  /* workers that died */
    int discovering;  /* nonzero while directories are still being listed */
} forkfold_progress;

typedef struct forkfold_words_options {
    size_t size;              /* sizeof(struct forkfold_words_options), or 0 */
    const char *const *paths; /* path_count paths: directories, files, "-" for stdin */
    size_t path_count;
    int paths_are_files; /* nonzero: every path is read as a file, "-" too */
    enum forkfold_word_rule rule;
    enum forkfold_invalid invalid;
    const char *glob;          /* for names found in directories; NULL = "*.txt" */
    int recursive;             /* enter subdirectories */
    int stdin_fd;              /* what "-" reads: the descriptor that the pool keeps */
    uint64_t timeout_ns;       /* per file or piece of a big file; 0 = none */
    uint64_t deadline_ns;      /* for the whole call; 0 = none */
    unsigned retries_plus_one; /* attempts per item after a death; 0 = 3 */
    unsigned max_deaths;       /* deaths in a row without progress; 0 = 10 */
    int stop_on_failure;       /* the first failed input ends the call */
    const char *cpu;           /* whose instructions to use: "avx512", "avx2", "generic" (any);
                                  NULL = the best of this machine; for tests and comparisons */
    uint64_t split_bytes;      /* files above are split into pieces of it; 0 = files
                                  above 4 MiB, into pieces of 1 to 2 MiB */
    int measure;               /* find out all of forkfold_stats: some milliseconds per process */
    uint64_t progress_ns;      /* call on_progress this often; 0 = never */
    void (*on_progress)(const forkfold_progress *progress, void *context);
    void *context; /* for on_progress */
} forkfold_words_options;

typedef struct forkfold_words forkfold_words;

/* One word: key_bytes bytes of UTF-8, not NUL-terminated, and how often it occurred. */
typedef struct forkfold_word {
    const char *key;
    size_t key_bytes;
    uint64_t count;
} forkfold_word;

typedef struct forkfold_words_totals {
    uint64_t files;        /* counted wholly */
    uint64_t files_failed; /* the length of the failure list */
    uint64_t files_other;  /* regular files in the directories that the glob left out */
    uint64_t bytes;        /* of the counted files */
    uint64_t words;        /* the sum of all counts */
    uint64_t distinct;
    uint64_t retries;
    uint64_t deaths;
    uint64_t elapsed_ns;
} forkfold_words_totals;

/*
 * Counts.  Blocks until done; all paths are checked before anything is read.
 * On success (failed inputs included) the caller owns *words, which borrows
 * the pool: close it, or detach it, before the next call on the pool.
 * Errors: FORKFOLD_E_INVALID, FORKFOLD_E_NOT_FOUND, FORKFOLD_E_MEMORY, FORKFOLD_E_SYSTEM, FORKFOLD_E_BUSY,
 * FORKFOLD_E_FORKED, FORKFOLD_E_DEADLINE, FORKFOLD_E_CANCELLED, FORKFOLD_E_STOPPED,
 * FORKFOLD_E_CRASH_LOOP, FORKFOLD_E_SUPERVISOR, FORKFOLD_E_DAMAGED, FORKFOLD_E_LIMIT, FORKFOLD_E_SPILL; the sentence is
 * forkfold_pool_message().  After all but the first three, progress, if not NULL, says how far
 * the call came.
 */
FORKFOLD_API int forkfold_count_words(forkfold_pool *pool, const forkfold_words_options *options,
                                      forkfold_words **words, forkfold_progress *progress);

/*
 * Counts the words of one text in memory, UTF-8, which need not end with a NUL: the result is that of
 * a file with these bytes, also if they are not valid, and the path of its failure is "text".  Where
 * it lies in a shared array the workers read it there, in pieces; elsewhere it is copied once, and
 * may be changed as soon as this returns.  text may be NULL if there are no bytes; options may be
 * NULL, and say nothing of paths, names and stdin.  split_bytes 0 means pieces of 64 KiB to 2 MiB.
 * Errors: as of forkfold_count_words and forkfold_shared_open.
 */
FORKFOLD_API int forkfold_count_text(forkfold_pool *pool, const void *text, size_t bytes,
                                     const forkfold_words_options *options, forkfold_words **words);

FORKFOLD_API void forkfold_words_close(forkfold_words *words); /* NULL is allowed */

/*
 * Copies what the result borrows from the pool: it lives on when the pool is closed, and the pool may
 * be used before the result is closed.  The next word is the first again.  0; or FORKFOLD_E_MEMORY
 * when memory does not hold it, as that of a result that has been spilled, which changes nothing.
 */
FORKFOLD_API int forkfold_words_detach(forkfold_words *words);

FORKFOLD_API const forkfold_words_totals *forkfold_words_get_totals(const forkfold_words *words);

/* How the work went; lives as long as the result. */
FORKFOLD_API const forkfold_stats *forkfold_words_get_stats(const forkfold_words *words);

/*
 * The words, most frequent first, ties in byte order of the key.  next()
 * returns 1 and fills *word, whose key lives until the next call; 0 at the end;
 * or a negative code, with forkfold_pool_message(), when what had been spilled
 * to disk cannot be read again: FORKFOLD_E_SPILL, FORKFOLD_E_DAMAGED, FORKFOLD_E_MEMORY,
 * FORKFOLD_E_SUPERVISOR (after a rewind).
 * rewind() starts over.
 */
FORKFOLD_API int forkfold_words_next(forkfold_words *words, forkfold_word *word);
FORKFOLD_API void forkfold_words_rewind(forkfold_words *words);

/* The failure with this index in byte order of the path, or NULL past the last. */
FORKFOLD_API const forkfold_failure *forkfold_words_failure(const forkfold_words *words,
                                                            size_t index);

#ifdef __cplusplus
}
#endif

#endif
