/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dictionaries that the calling process and the functions that run in workers share: 64-bit
 * counters, found by keys of bytes, to which all of them add.
 *
 * Nobody waits for anybody, and whoever dies hinders nobody, though the room
 * of a key that it was adding may be lost: be generous with it.  But additions are NOT exactly once:
 * an item that is run again, because its worker died, adds again, and what an item added that
 * failed at last stays.  So after deaths a counter may be too large, never too small.  What has to
 * be exact is returned as a result, or counted by forkfold_count_words and its kin, whose workers
 * count by themselves and publish what they have together with what it covers.  That is faster,
 * too, where many items add to the same few keys: each addition moves the counter to the processor
 * that makes it, and a counter is in one place at a time.
 *
 * A dictionary is for counters that need not be exact, of which workers want to see each other's
 * while they run; and to be compared with.
 *
 * All functions but open, close, count, next and rewind may be called in the calling process and in
 * functions that run in its pool's workers, which find the dictionary by its address: put that
 * into the call's context.
 */
#ifndef FORKFOLD_DICTIONARY_H
#define FORKFOLD_DICTIONARY_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FORKFOLD_DICTIONARIES_MAX = 64 };

typedef struct forkfold_dictionary forkfold_dictionary;

typedef struct forkfold_dictionary_options {
    size_t size;        /* sizeof(struct forkfold_dictionary_options), or 0 for "as compiled" */
    uint64_t capacity;  /* keys that it has room for, at least 1; what is not used costs little */
    uint64_t key_bytes; /* of all keys together; 0 = 32 for each of them */
} forkfold_dictionary_options;

/*
 * Opens an empty dictionary.  The caller owns *dictionary, and closes it before the pool and after
 * the calls that use it.  Errors: FORKFOLD_E_INVALID, FORKFOLD_E_LIMIT (FORKFOLD_DICTIONARIES_MAX, or the
 * region has no room), FORKFOLD_E_MEMORY, FORKFOLD_E_SYSTEM, FORKFOLD_E_FORKED.
 */
FORKFOLD_API int forkfold_dictionary_open(forkfold_pool *pool,
                                          const forkfold_dictionary_options *options,
                                          forkfold_dictionary **dictionary);
FORKFOLD_API void forkfold_dictionary_close(forkfold_dictionary *dictionary); /* NULL is allowed */

/*
 * Adds amount to the counter of a key, any number of bytes from 0 to 4 GiB, by one atomic addition;
 * of a key that is new, to 0.  Never waits.  FORKFOLD_E_LIMIT when the key is new and there is no
 * room for it; keys that are there can be added to all the same.  FORKFOLD_E_RANGE when the sum is no
 * int64_t: the counter has wrapped around then, as unsigned numbers do, and taking the amount away
 * again sets it right.  FORKFOLD_E_INVALID, FORKFOLD_E_FORKED, FORKFOLD_E_DAMAGED (a function wrote
 * where it should not).  In a worker the code is all there is; in the calling process there is also the
 * sentence, forkfold_pool_message().
 */
FORKFOLD_API int forkfold_dictionary_add(forkfold_dictionary *dictionary, const void *key,
                                         size_t bytes, int64_t amount);

/*
 * 1 with the value of a key's counter, which others may be adding to; 0 if there is no such key;
 * errors as of forkfold_dictionary_add.
 */
FORKFOLD_API int forkfold_dictionary_get(forkfold_dictionary *dictionary, const void *key,
                                         size_t bytes, int64_t *value);

/* ---- In the calling process ---------------------------------------------- */

/* How many keys there are; one whose worker died before it added anything counts, with 0. */
FORKFOLD_API int forkfold_dictionary_count(forkfold_dictionary *dictionary, uint64_t *count);

typedef struct forkfold_dictionary_entry {
    const void *key; /* lives until the dictionary is closed */
    size_t bytes;
    int64_t value;
} forkfold_dictionary_entry;

/*
 * The next key, in the order of their bytes, of those that there were when the first one was read,
 * with their values of that moment: 1; 0 after the last; or FORKFOLD_E_MEMORY, FORKFOLD_E_DAMAGED,
 * FORKFOLD_E_INVALID, FORKFOLD_E_FORKED.  After rewind the next one is the first again, of those
 * that there are then.
 */
FORKFOLD_API int forkfold_dictionary_next(forkfold_dictionary *dictionary,
                                          forkfold_dictionary_entry *entry);
FORKFOLD_API void forkfold_dictionary_rewind(forkfold_dictionary *dictionary);

#ifdef __cplusplus
}
#endif

#endif
