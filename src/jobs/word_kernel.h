/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word kernel: turns UTF-8 into words of a table, by one of two rules
 * (forkfold/words.h).  It is fed in blocks and carries the token that a block
 * ends in; it knows nothing of files.
 *
 * A word belongs to the piece in which its token starts.  So a piece that
 * starts inside a token skips to the first white space (start_inside), and a
 * piece whose last token goes on past its end is finished from the bytes that
 * follow (ff_word_kernel_finish).
 */
#ifndef FF_JOBS_WORD_KERNEL_H
#define FF_JOBS_WORD_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include <forkfold/words.h>

#include "files/utf8.h"
#include "flow/table.h"

struct ff_word_kernel;

/* One way to do the fast path (word_scan.h). */
struct ff_scan_variant {
    const char *name; /* "avx512", "avx2", "generic" */
    int (*scan)(struct ff_word_kernel *kernel, struct ff_table *table, const unsigned char *bytes,
                size_t count, size_t *taken);
    bool (*is_utf8)(const unsigned char *bytes, size_t count);
};

/* Those that this CPU can run, the fastest first, "generic" last.  Static storage. */
const struct ff_scan_variant *ff_scan_variants(size_t *count);

/* The one of that name, or the fastest for NULL; NULL when this CPU runs none of that name. */
const struct ff_scan_variant *ff_scan_variant_named(const char *name);

/* Returned by feed, beside 0 and negative codes, when strict input is ill-formed. */
enum { FF_WORDS_ILL_FORMED = 1 };

struct ff_word_kernel {
    enum forkfold_word_rule rule;
    enum forkfold_invalid invalid;
    const struct ff_scan_variant *variant; /* of the fast path */
    bool is_validated; /* the caller vouches that all bytes are well-formed; false at first */
    bool in_token;     /* the last unit was not white space */
    bool skipping;     /* the token in progress belongs to somebody else */
    char *key;         /* the token in progress, already filtered and lower-cased */
    size_t key_used;
    size_t key_size;
};

void ff_word_kernel_init(struct ff_word_kernel *kernel, enum forkfold_word_rule rule,
                         enum forkfold_invalid invalid);
void ff_word_kernel_free(struct ff_word_kernel *kernel);

/* Begins a text, or a piece of one that starts at a unit boundary inside a token. */
void ff_word_kernel_start(struct ff_word_kernel *kernel, bool inside_token);

/*
 * Counts the words of count bytes, which start at a unit boundary.  Unless
 * last, up to 3 bytes of an unfinished sequence at the end are left for the
 * next block.  *consumed says how many bytes were taken.  last means that the
 * text ends here, or the piece, at a unit boundary.
 *
 * 0; FF_WORDS_ILL_FORMED with *bad relative to bytes (strict only; the table
 * then holds a part of the text); FORKFOLD_E_MEMORY; FORKFOLD_E_LIMIT for a word over
 * FF_KEY_BYTES_MAX.  After all but 0 the kernel must be started anew.
 *
 * FF_UTF8_TRUNCATED at the end of a piece may be FF_UTF8_BAD_CONTINUATION in
 * the text: ff_utf8_decode tells, given 3 more bytes.
 */
int ff_word_kernel_feed(struct ff_word_kernel *kernel, struct ff_table *table,
                        const unsigned char *bytes, size_t count, bool last, size_t *consumed,
                        struct ff_utf8_error *bad);

/*
 * Takes bytes only until the token in progress ends; *ended then becomes true
 * and the word is counted.  At once if there is no such token, or it belongs to
 * somebody else.  Strict and ill-formed: the token ends there uncounted, since
 * the piece those bytes belong to will report them.  Otherwise as feed; the
 * piece was fed to its end before.
 */
int ff_word_kernel_finish(struct ff_word_kernel *kernel, struct ff_table *table,
                          const unsigned char *bytes, size_t count, bool last, size_t *consumed,
                          bool *ended);

/* The text is over: counts the token in progress, if any.  Fails as feed does. */
int ff_word_kernel_end(struct ff_word_kernel *kernel, struct ff_table *table);

#endif
