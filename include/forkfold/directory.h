/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function of the text of each file of a directory, and what the results come to.
 *
 * Keyed aggregation: the function adds values to keys; what the keys come to, over all files, is
 * counted as words are (words.h), on disk if memory does not hold it.
 *
 * Free aggregation: the function returns bytes, or nothing; a second function folds them into a
 * total in the calling process, one after the other.  Memory does not grow with the number of
 * files: so many results, at most, wait to be folded.
 *
 * The map function runs in worker processes, which see the memory of the calling process as it was
 * when the pool was opened, and nothing that was written since: what it needs goes into the
 * context, which is copied.  Functions have to be known to the program when the pool is opened; one
 * of a library that was loaded later is not there.
 *
 * A file is the unit of commit: it counts wholly and exactly once, or it is among the failures.  One
 * on which a worker crashes, is killed or takes too long is tried again, and then given up.  What a
 * function does beside its result, to other files say, may happen more than once.
 */
#ifndef FORKFOLD_DIRECTORY_H
#define FORKFOLD_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/failure.h>
#include <forkfold/pool.h>
#include <forkfold/stats.h>
#include <forkfold/words.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- In the worker ------------------------------------------------------- */

/* One file.  Valid until the function returns. */
typedef struct forkfold_text {
    const char *data;    /* all of it, bytes as they are in the file; a NUL follows them */
    size_t bytes;        /* without that NUL */
    const char *path;    /* as it was named or found; path_bytes bytes, then a NUL */
    size_t path_bytes;   /* its length */
    const void *context; /* the job's, in a copy that is 16-byte aligned; NULL without one */
    size_t context_bytes;
} forkfold_text;

/* What one file adds; none in free aggregation. */
typedef struct forkfold_table forkfold_table;

/*
 * What is to be done with one text.  0, or anything else when the file has failed: nothing of it
 * counts then, and it is not tried again (see forkfold_text_fail).  table is NULL in free
 * aggregation.
 */
typedef int forkfold_map_text(const forkfold_text *text, forkfold_table *table);

/*
 * Keyed aggregation: adds a value to a key, key_bytes bytes at key, which may be none; what becomes of
 * two values of one key the job says.  Values are from -(2^63 - 1) to 2^63 - 1.  0, or a negative
 * code, after which the file fails whatever the function returns: FORKFOLD_E_RANGE (the value, or
 * what the key has come to), FORKFOLD_E_LIMIT (a key above 2^32 - 1 bytes), FORKFOLD_E_INVALID,
 * FORKFOLD_E_MEMORY, FORKFOLD_E_SPILL.
 */
FORKFOLD_API int forkfold_table_add(forkfold_table *table, const void *key, size_t key_bytes,
                                    int64_t value);

/*
 * Free aggregation: memory of so many bytes, 16-byte aligned, that becomes the file's result when
 * the function returns 0.  The last call counts; without one the file has no result and nothing is
 * folded, which is not the same as a result of 0 bytes.  NULL when there is no room.
 */
FORKFOLD_API void *forkfold_text_reserve(const forkfold_text *text, size_t bytes);

/*
 * Says why the file failed: return forkfold_text_fail(text, "...").  Returns 1.  A sentence above
 * 100 bytes is cut.
 */
FORKFOLD_API int forkfold_text_fail(const forkfold_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- In the calling process ----------------------------------------------- */

/* One result of the map function.  Valid until the function that is given it returns. */
typedef struct forkfold_text_result {
    const char *path; /* of the file, NUL-terminated */
    size_t path_bytes;
    const void *data; /* 16-byte aligned */
    size_t bytes;
} forkfold_text_result;

/*
 * Folds one result into the total.  0, or anything else to end the job: FORKFOLD_E_CANCELLED.  It
 * must not use the pool.
 */
typedef int forkfold_aggregator(void *total, const forkfold_text_result *result, void *user);

/* Keyed aggregation: what becomes of the values of one key. */
enum forkfold_combine {
    FORKFOLD_SUM = 0,
    FORKFOLD_COUNT, /* how many there are, whatever they are */
    FORKFOLD_MIN,
    FORKFOLD_MAX,
    FORKFOLD_MERGE /* what the job's merge function makes of them */
};

/*
 * Makes one value of two of the same key.  Runs in workers, in any order: the result must not depend
 * on which of the two comes first, nor on which are merged first, and must not be INT64_MIN.  Where
 * it crashes, files fail that are not to blame, or the job ends.
 */
typedef int64_t forkfold_merge_values(int64_t a, int64_t b);

typedef struct forkfold_job {
    size_t size; /* sizeof(struct forkfold_job), or 0 for "as compiled" */
    forkfold_map_text *map;
    const void *context; /* context_bytes of it, for map; copied */
    size_t context_bytes;

    /* Keyed aggregation. */
    enum forkfold_combine combine;
    forkfold_merge_values *merge; /* for FORKFOLD_MERGE */

    /* Free aggregation. */
    forkfold_aggregator *aggregate; /* NULL: the aggregation is keyed */
    void *total;                    /* for aggregate: the initial value, and what it becomes */
    void *user;                     /* for aggregate */
    int ordered;           /* nonzero: in byte order of the paths, not as files are done; the list
                              of all paths is kept then */
    unsigned buffer_files; /* files that are read ahead of what is folded; 0 = 64, or 16 for each
                              worker */

    /* The files. */
    const char *const *paths; /* instead of the directory, path_count of them: directories, files */
    size_t path_count;
    int paths_are_files;       /* nonzero: every path is read as a file */
    const char *glob;          /* for names found in directories; NULL = "*.txt" */
    int recursive;             /* enter subdirectories */
    int raw;                   /* nonzero: also what is not UTF-8, which fails otherwise */
    uint64_t timeout_ns;       /* per file; 0 = none */
    uint64_t deadline_ns;      /* for the whole job; 0 = none */
    unsigned retries_plus_one; /* attempts per file after a death; 0 = 3 */
    int stop_on_failure;       /* the first failed file ends the job: FORKFOLD_E_STOPPED */
    uint64_t progress_ns;      /* call on_progress this often; 0 = never */
    void (*on_progress)(const forkfold_progress *progress, void *context);
    void *progress_context;
} forkfold_job;

/* What the files came to. */
typedef struct forkfold_aggregate forkfold_aggregate;

typedef struct forkfold_aggregate_totals {
    uint64_t files;        /* that count */
    uint64_t files_failed; /* the length of the failure list */
    uint64_t files_other;  /* regular files in the directories that the glob left out */
    uint64_t bytes;        /* of the files that count */
    uint64_t results;      /* that were folded: values that were added; in free aggregation, files
                              but for those that said nothing */
    uint64_t keys;         /* different ones; 0 in free aggregation */
    uint64_t retries;      /* files that were started again after a death */
    uint64_t deaths;       /* of workers */
    uint64_t elapsed_ns;
} forkfold_aggregate_totals;

/*
 * Runs the map function on every file of the directory, or of the job's paths if directory is NULL,
 * and blocks until all is folded.  All paths are checked before anything is read; "-" is a file of
 * that name.  Files are found as forkfold_count_words finds them, and never split; each is read into
 * memory as a whole.  On success (failed files included) the caller owns *aggregate; a keyed one
 * borrows the pool: close it before the next call on the pool.
 * Errors, after which the total may be folded in part: as of forkfold_count_words;
 * FORKFOLD_E_CANCELLED when aggregate says so; FORKFOLD_E_RANGE when the values of a key pass their
 * limits, in whole or in what some files come to (which files are added up first is a matter of
 * timing, so sums of both signs may do so now and then; a result is never wrong).  The sentence is
 * forkfold_pool_message().
 */
FORKFOLD_API int forkfold_process_directory(forkfold_pool *pool, const char *directory,
                                            const forkfold_job *job,
                                            forkfold_aggregate **aggregate);

FORKFOLD_API void forkfold_aggregate_close(forkfold_aggregate *aggregate); /* NULL is allowed */

/* What a key has come to.  key_bytes bytes, not NUL-terminated. */
typedef struct forkfold_value {
    const void *key;
    size_t key_bytes;
    int64_t value;
} forkfold_value;

/*
 * Keyed aggregation: the keys, those with the largest magnitude of their value first; of equal
 * magnitudes the positive ones first, and of equal values in byte order of the key.  next() returns 1
 * and fills *value, whose key lives until the next call; 0 at the end, and in free aggregation; or a
 * negative code as forkfold_words_next().  rewind() starts over.
 */
FORKFOLD_API int forkfold_aggregate_next(forkfold_aggregate *aggregate, forkfold_value *value);
FORKFOLD_API void forkfold_aggregate_rewind(forkfold_aggregate *aggregate);

/* All live as long as the aggregate.  Stats of free aggregation have no times of workers. */
FORKFOLD_API const forkfold_aggregate_totals *
forkfold_aggregate_get_totals(const forkfold_aggregate *aggregate);
FORKFOLD_API const forkfold_stats *
forkfold_aggregate_get_stats(const forkfold_aggregate *aggregate);
/* The failure with this index in byte order of the path, or NULL past the last. */
FORKFOLD_API const forkfold_failure *forkfold_aggregate_failure(const forkfold_aggregate *aggregate,
                                                                size_t index);

#ifdef __cplusplus
}
#endif

#endif
