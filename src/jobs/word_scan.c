/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled once for each variant: FF_SCAN_NAME is its function, FF_UTF8_NAME its check of the
 * encoding, the compiler's options its CPU.
 */
#include "jobs/word_scan.h"

#include <assert.h>
#include <string.h>

#include "jobs/byte_masks.h"
#include "jobs/key_vectors.h"
#include "jobs/letter_vectors.h"
#include "jobs/unicode_tables.h"
#include "jobs/utf8_vectors.h"

enum {
    CHUNK_BLOCKS = FF_SCAN_CHUNK_BYTES / FF_MASK_BYTES,
    /* Keys between prefetching a slot and looking at it. */
    BATCH_KEYS = 512,
    BATCH_FAR_KEYS = 64,
    /* What is written beyond the last byte of a key that is built. */
    BUILT_SLACK = 64,
    /* Three bytes of key for two of the token at most. */
    BUILT_BYTES = FF_SCAN_CHUNK_BYTES * 3 / 2 + BUILT_SLACK,
    /* What ff_run_edges writes at most in one go, beyond what counts. */
    EDGES_SLACK = FF_MASK_BYTES
};

/* The least padding that is no white space: a token that reaches it is not whole. */
enum { PADDING = 'x' };

static_assert(BATCH_KEYS % FF_HOMES_AT_ONCE == 0, "a batch has room for whole steps");

struct chunk {
    const unsigned char *bytes;
    size_t count;    /* bytes of whole tokens and white space */
    size_t readable; /* bytes that may be loaded, not less than count */
    size_t blocks;
    bool is_ascii;
    struct ff_byte_masks masks[CHUNK_BLOCKS];
    /* Where the keys start and end that are runs of bytes of the chunk. */
    uint16_t starts[FF_SCAN_CHUNK_BYTES / 2 + EDGES_SLACK];
    uint16_t ends[FF_SCAN_CHUNK_BYTES / 2 + EDGES_SLACK];
    size_t run_count;
};

struct batch {
    struct ff_word_kernel *kernel;
    struct ff_table *table;
    struct ff_slot keys[BATCH_KEYS]; /* near ones */
    struct ff_slot *homes[BATCH_KEYS];
    size_t count;
    struct ff_key far_keys[BATCH_FAR_KEYS];
    size_t far_count;
    size_t built_used;                /* of built */
    unsigned char built[BUILT_BYTES]; /* keys that differ from the input, until they are flushed */
};

static uint64_t bits_below(size_t count)
{
    return count < 64 ? (UINT64_C(1) << count) - 1 : ~UINT64_C(0);
}

/* ---- Pass 1: kinds ------------------------------------------------------- */

static void classify(struct chunk *chunk, size_t count)
{
    size_t whole = count / FF_MASK_BYTES;
    size_t rest = count % FF_MASK_BYTES;
    uint64_t not_ascii = 0;

    ff_classify_bytes(chunk->bytes, whole, chunk->masks);
    if (rest > 0) {
        unsigned char padded[FF_MASK_BYTES];

        memset(padded, PADDING, sizeof(padded));
        memcpy(padded, chunk->bytes + whole * FF_MASK_BYTES, rest);
        ff_classify_bytes(padded, 1, &chunk->masks[whole]);
    }
    chunk->blocks = whole + (rest > 0);
    for (size_t block = 0; block < chunk->blocks; block++)
        not_ascii |= chunk->masks[block].not_ascii;
    chunk->is_ascii = not_ascii == 0;
}

/* The bytes of the white space beyond ASCII that starts here, or 0; all of it is 2 or 3 bytes. */
static unsigned wide_space(const unsigned char *bytes, size_t count)
{
    struct ff_utf8_unit unit;

    if (count < 2 || (bytes[0] == 0xE1 && bytes[1] != 0x9A) ||
        (bytes[0] == 0xE2 && bytes[1] > 0x81) || (bytes[0] == 0xE3 && bytes[1] != 0x80))
        return 0;
    unit = ff_utf8_decode(bytes, count);
    return unit.kind == FF_UTF8_OK && ff_unicode_is_space(unit.code_point) ? unit.bytes : 0;
}

static void mark_wide_spaces(struct chunk *chunk, size_t count)
{
    for (size_t block = 0; block < chunk->blocks; block++) {
        uint64_t candidates = chunk->masks[block].may_be_wide_space;

        for (; candidates != 0; candidates &= candidates - 1) {
            size_t at = block * FF_MASK_BYTES + (size_t)__builtin_ctzll(candidates);

            for (unsigned i = wide_space(chunk->bytes + at, count - at); i-- > 0;) {
                struct ff_byte_masks *masks = &chunk->masks[(at + i) / FF_MASK_BYTES];
                uint64_t bit = UINT64_C(1) << ((at + i) % FF_MASK_BYTES);

                masks->space |= bit;
                masks->not_ascii &= ~bit;
            }
        }
    }
}

/* Ends the chunk behind its last white space; what follows may go on in the next one. */
static void keep_whole_tokens(struct chunk *chunk)
{
    size_t block = chunk->blocks;

    while (block > 0 && chunk->masks[block - 1].space == 0)
        block--;
    chunk->blocks = block;
    chunk->count = 0;
    if (block == 0)
        return;
    uint64_t space = chunk->masks[block - 1].space;
    size_t kept = 64 - (size_t)__builtin_clzll(space);

    chunk->count = (block - 1) * FF_MASK_BYTES + kept;
    chunk->masks[block - 1].letter &= bits_below(kept);
    chunk->masks[block - 1].not_ascii &= bits_below(kept);
    chunk->masks[block - 1].lead &= bits_below(kept);
}

/*
 * Lets letters beyond ASCII be letters, if the letters rule keeps them as they are: most words of
 * most scripts are then runs of letters like any other.  Well-formed chunks only.
 */
static void mark_kept_letters(struct chunk *chunk)
{
    uint64_t behind = 0; /* of a character that begins in the block before */

    for (size_t block = 0; block < chunk->blocks; block++) {
        struct ff_byte_masks *masks = &chunk->masks[block];
        size_t at = block * FF_MASK_BYTES;
        uint64_t leads = masks->lead & ~masks->space;
        struct ff_letters letters = ff_find_letters(chunk->bytes + at, leads, chunk->readable - at);

        letters.kept |= behind;
        behind = letters.behind;
        masks->letter |= letters.kept;
        masks->not_ascii &= ~letters.kept;
        masks->changing = letters.changing;
    }
}

/* ---- Pass 2: keys -------------------------------------------------------- */

/* Asks for the slots of all near keys, which the table is searched for next. */
static void seek(struct batch *batch)
{
    ff_find_many_homes(ff_table_homes(batch->table), batch->keys, batch->count, batch->homes);
    for (size_t i = 0; i < batch->count; i++)
        __builtin_prefetch(batch->homes[i], 1);
}

static int flush(struct batch *batch)
{
    int code;

    seek(batch);
    code = ff_table_add_near(batch->table, batch->keys, batch->homes, batch->count);
    if (code == 0)
        code = ff_table_add_far(batch->table, batch->far_keys, batch->far_count);
    batch->count = 0;
    batch->far_count = 0;
    batch->built_used = 0;
    return code;
}

/* Adds the near key that two words begin with. */
static inline int add_near(struct batch *batch, uint64_t low, uint64_t high, size_t key_bytes)
{
    batch->keys[batch->count++] = ff_near_key(low, high, (uint32_t)key_bytes);
    return batch->count == BATCH_KEYS ? flush(batch) : 0;
}

/* The bytes stay where they are until the batch is flushed. */
static inline int add_far(struct batch *batch, const unsigned char *bytes, size_t key_bytes)
{
    struct ff_key *key = &batch->far_keys[batch->far_count++];

    *key = ff_far_key(bytes, (uint32_t)key_bytes);
    __builtin_prefetch(ff_home_of(ff_table_homes(batch->table), key->hash), 1);
    return batch->far_count == BATCH_FAR_KEYS ? flush(batch) : 0;
}

/* Where to build a key for a token of so many bytes: BUILT_SLACK beyond the key may be written. */
static unsigned char *room_to_build(struct batch *batch, size_t token_bytes, int *code)
{
    size_t needed = token_bytes * 3 / 2 + BUILT_SLACK;

    *code = needed > BUILT_BYTES - batch->built_used ? flush(batch) : 0;
    return batch->built + batch->built_used;
}

static int add_built(struct batch *batch, const unsigned char *key, size_t key_bytes)
{
    uint64_t words[2];

    if (key_bytes == 0)
        return 0;
    if (key_bytes > FF_KEY_INLINE) {
        batch->built_used += key_bytes;
        return add_far(batch, key, key_bytes);
    }
    memcpy(words, key, sizeof(words));
    return add_near(batch, words[0], words[1], key_bytes);
}

/* A character of three or four well-formed bytes; returns where its key ends. */
static inline unsigned char *take_long_character(const unsigned char *bytes, unsigned length,
                                                 unsigned char *key)
{
    uint32_t code_point =
        length == 3 ? (bytes[0] & 0x0FU) << 12 | (bytes[1] & 0x3FU) << 6 | (bytes[2] & 0x3FU)
                    : (bytes[0] & 0x07U) << 18 | (bytes[1] & 0x3FU) << 12 |
                          (bytes[2] & 0x3FU) << 6 | (bytes[3] & 0x3FU);
    const struct ff_unicode_record *record = ff_unicode_record(code_point);

    if ((record->flags & FF_UNICODE_LETTER) == 0)
        return key;
    if (record->lower == 0 && (record->flags & FF_UNICODE_EXPANDS) == 0) {
        memcpy(key, bytes, length);
        return key + length;
    }
    return key + ff_unicode_lower(code_point, (char *)key);
}

/* What the letters rule makes of well-formed bytes; returns where their key ends. */
static unsigned char *build_key(const unsigned char *bytes, size_t count, unsigned char *key)
{
    for (size_t i = 0; i < count;) {
        unsigned char byte = bytes[i];

        if (byte < 0x80) {
            unsigned char lower = byte | 0x20;

            *key = lower;
            key += (unsigned char)(lower - 'a') <= 'z' - 'a';
            i++;
        } else if (byte < 0xE0) {
            uint32_t letter = ff_unicode_letters_2[(byte & 0x1FU) << 6 | (bytes[i + 1] & 0x3FU)];

            memcpy(key, &letter, sizeof(letter));
            key += letter >> 24;
            i += 2;
        } else {
            unsigned length = byte < 0xF0 ? 3 : 4;

            key = take_long_character(bytes + i, length, key);
            i += length;
        }
    }
    return key;
}

/* Adds a key that is bytes of the chunk as they are. */
static int add_bytes(struct batch *batch, const struct chunk *chunk, size_t at, size_t length)
{
    unsigned char near_end[FF_KEY_READ_BYTES] = {0};
    uint64_t words[2];

    if (length > FF_KEY_INLINE)
        return add_far(batch, chunk->bytes + at, length);
    if (at + FF_KEY_READ_BYTES <= chunk->readable) {
        memcpy(words, chunk->bytes + at, sizeof(words));
    } else {
        memcpy(near_end, chunk->bytes + at, length);
        memcpy(words, near_end, sizeof(words));
    }
    return add_near(batch, words[0], words[1], length);
}

#if FF_HAS_LETTER_VECTORS

/* The bits of up to 64 bytes from at on, of which word and next have those of two blocks. */
static inline uint64_t bits_from(uint64_t word, uint64_t next, size_t at)
{
    unsigned shift = at % FF_MASK_BYTES;

    return word >> shift | next << 1 << (63 - shift);
}

/*
 * Builds the key of a token whose letters are all kept, or of ASCII; returns where it ends, or NULL
 * if that is not known of the token.
 */
static inline unsigned char *take_letters(const struct chunk *chunk, size_t at, size_t length,
                                          unsigned char *key)
{
    const struct ff_byte_masks *end = chunk->masks + chunk->blocks;

    if (chunk->readable - at < length + FF_MASK_BYTES)
        return NULL;
    for (size_t done = 0; done < length; done += FF_MASK_BYTES) {
        const struct ff_byte_masks *masks = &chunk->masks[(at + done) / FF_MASK_BYTES];
        /* Behind the last block no bit is needed. */
        const struct ff_byte_masks *next = masks + 1 < end ? masks + 1 : masks;
        uint64_t wanted = bits_below(length - done);
        uint64_t letters = bits_from(masks->letter, next->letter, at) & wanted;

        if ((bits_from(masks->changing, next->changing, at) & wanted) != 0)
            return NULL;
        _mm512_storeu_si512(key, ff_take_letters(chunk->bytes + at + done, letters));
        key += __builtin_popcountll(letters);
    }
    return key;
}

#else

static inline unsigned char *take_letters(const struct chunk *chunk, size_t at, size_t length,
                                          unsigned char *key)
{
    (void)chunk;
    (void)at;
    (void)length;
    (void)key;
    return NULL;
}

#endif

/* Adds what the letters rule makes of well-formed bytes of the chunk. */
static int add_token(struct batch *batch, const struct chunk *chunk, size_t at, size_t length)
{
    int code;
    unsigned char *built = room_to_build(batch, length, &code);
    unsigned char *end;

    if (code < 0)
        return code;
    end = take_letters(chunk, at, length, built);
    if (end == NULL)
        end = build_key(chunk->bytes + at, length, built);
    return add_built(batch, built, (size_t)(end - built));
}

/* ---- Tokens that are more than one run of letters ------------------------ */

/* A walk through the chunk that looks for them. */
struct search {
    uint64_t letter_before; /* 1 when the byte before the block is a letter */
    uint64_t gap_before;    /* 1 when it is something else, behind a letter of the same token */
    size_t token_start;     /* of the token that reaches into the block */
    size_t taken;           /* tokens up to here have been counted */
};

/*
 * The bytes of a block that make their token a case for add_token: beyond ASCII, unless they are
 * letters that are kept, or a letter behind a gap, as the t of "don't".  A gap is a run of other bytes that a letter precedes; adding its
 * first bit to all the bits of such runs carries into the first bit behind it.
 */
static uint64_t find_marks(const struct ff_byte_masks *masks, struct search *search)
{
    uint64_t letter = masks->letter;
    uint64_t other = ~(letter | masks->space);
    uint64_t first = (other & (letter << 1 | search->letter_before)) | search->gap_before;
    uint64_t sum;
    bool carried = __builtin_add_overflow(other, first, &sum);

    search->letter_before = letter >> 63;
    search->gap_before = carried;
    return (sum & ~other & letter) | masks->not_ascii;
}

/* The white space that ends the token which holds a byte of the block. */
static size_t token_end(const struct chunk *chunk, size_t block, unsigned bit)
{
    uint64_t space = chunk->masks[block].space & ~bits_below(bit);

    /* A chunk ends with white space. */
    while (space == 0)
        space = chunk->masks[++block].space;
    return block * FF_MASK_BYTES + (size_t)__builtin_ctzll(space);
}

/* The byte behind the white space before a bit; start if there is none in the block. */
static size_t token_start(const struct chunk *chunk, size_t block, unsigned bit, size_t start)
{
    uint64_t space = chunk->masks[block].space & bits_below(bit);

    return space == 0 ? start : block * FF_MASK_BYTES + 64 - (size_t)__builtin_clzll(space);
}

/* A token's letters are no runs of letters any more. */
static void clear_letters(struct chunk *chunk, size_t start, size_t end)
{
    for (size_t block = start / FF_MASK_BYTES; block * FF_MASK_BYTES < end; block++) {
        size_t base = block * FF_MASK_BYTES;
        uint64_t before = start > base ? bits_below(start - base) : 0;

        chunk->masks[block].letter &= before | ~bits_below(end - base);
    }
}

static int take_marked_tokens(struct chunk *chunk, struct batch *batch)
{
    struct search search = {0};
    int code = 0;

    for (size_t block = 0; block < chunk->blocks; block++) {
        size_t base = block * FF_MASK_BYTES;
        uint64_t marks = find_marks(&chunk->masks[block], &search);

        if (search.taken > base)
            marks &= ~bits_below(search.taken - base);
        while (marks != 0 && code == 0) {
            unsigned bit = (unsigned)__builtin_ctzll(marks);
            size_t start = token_start(chunk, block, bit, search.token_start);

            search.taken = token_end(chunk, block, bit);
            code = add_token(batch, chunk, start, search.taken - start);
            clear_letters(chunk, start, search.taken);
            marks &= ~bits_below(search.taken - base);
        }
        if (chunk->masks[block].space != 0)
            search.token_start = base + 64 - (size_t)__builtin_clzll(chunk->masks[block].space);
    }
    return code;
}

/* ---- Tokens that are one run --------------------------------------------- */

static void find_runs(struct chunk *chunk, enum forkfold_word_rule rule)
{
    struct ff_run_search search = {.starts = chunk->starts, .ends = chunk->ends};

    for (size_t block = 0; block < chunk->blocks; block++) {
        const struct ff_byte_masks *masks = &chunk->masks[block];

        ff_run_edges(&search, rule == FORKFOLD_LETTERS ? masks->letter : ~masks->space,
                     (uint16_t)(block * FF_MASK_BYTES));
    }
    /* A run that touches the end of the last block starts behind the last white space. */
    chunk->run_count = (size_t)(search.ends - chunk->ends);
}

/* Whether there is an upper-case letter of ASCII in at least eight bytes. */
static bool has_upper(const unsigned char *bytes, size_t count)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t found = 0;

    for (size_t i = 0; i < count; i += 8) {
        uint64_t word;

        /* The last word may overlap the one before. */
        memcpy(&word, bytes + (i + 8 <= count ? i : count - 8), sizeof(word));
        uint64_t low = word & ~(ones << 7);

        found |= (low + ones * (128 - 'A')) & ~(low + ones * (127 - 'Z')) & ~word;
    }
    return (found & ones << 7) != 0;
}

/* A run that is too long for registers, or too near to the end of what can be read. */
static int add_awkward_run(struct batch *batch, const struct chunk *chunk, size_t run)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): find_runs has written run_count */
    size_t at = chunk->starts[run];
    size_t length = chunk->ends[run] - at;

    if (batch->kernel->rule == FORKFOLD_LETTERS &&
        (length <= FF_KEY_INLINE || has_upper(chunk->bytes + at, length)))
        return add_token(batch, chunk, at, length);
    return add_bytes(batch, chunk, at, length);
}

/*
 * Makes keys of runs from the given one up to end, until the batch is full or a run is too long.
 * Returns the first that it left.  set_bits: see ff_take_key.
 */
static inline size_t make_keys(struct batch *batch, const struct chunk *chunk, size_t run,
                               size_t end, unsigned char set_bits, bool is_ascii)
{
    struct ff_slot *key = batch->keys + batch->count;
    size_t room = BATCH_KEYS - batch->count;

    if (end - run > room)
        end = run + room;
    for (; run < end; run++, key++) {
        size_t at = chunk->starts[run];
        size_t length = chunk->ends[run] - at;

        if (length > FF_KEY_INLINE)
            break;
        ff_take_key(key, chunk->bytes + at, length, set_bits, is_ascii);
    }
    batch->count = (size_t)(key - batch->keys);
    return run;
}

static int count_runs(struct batch *batch, const struct chunk *chunk, unsigned char set_bits)
{
    size_t end = chunk->run_count; /* of the runs that FF_KEY_READ_BYTES can be read of */
    size_t run = 0;
    int code = 0;

    while (end > 0 && chunk->starts[end - 1] + (size_t)FF_KEY_READ_BYTES > chunk->readable)
        end--;
    while (code == 0) {
        if (run < end)
            run = chunk->is_ascii ? make_keys(batch, chunk, run, end, set_bits, true)
                                  : make_keys(batch, chunk, run, end, set_bits, false);
        if (batch->count == BATCH_KEYS)
            code = flush(batch);
        else if (run == chunk->run_count)
            return 0;
        else
            code = add_awkward_run(batch, chunk, run++);
    }
    return code;
}

/* ---- Chunks -------------------------------------------------------------- */

static int count_chunk(struct chunk *chunk, struct batch *batch)
{
    enum forkfold_word_rule rule = batch->kernel->rule;
    int code = 0;

    if (rule == FORKFOLD_LETTERS && !chunk->is_ascii)
        mark_kept_letters(chunk);
    if (rule == FORKFOLD_LETTERS)
        code = take_marked_tokens(chunk, batch);
    find_runs(chunk, rule);
    return code == 0 ? count_runs(batch, chunk, rule == FORKFOLD_LETTERS ? 0x20 : 0) : code;
}

int FF_SCAN_NAME(struct ff_word_kernel *kernel, struct ff_table *table, const unsigned char *bytes,
                 size_t count, size_t *taken)
{
    struct chunk chunk;
    struct batch batch;
    size_t at = 0;
    int code = ff_table_reserve(table, 1); /* there are slots to prefetch from here on */

    batch.kernel = kernel;
    batch.table = table;
    batch.count = 0;
    batch.far_count = 0;
    batch.built_used = 0;
    while (code == 0 && count - at >= FF_SCAN_BYTES_MIN) {
        size_t left = count - at;
        size_t chunk_bytes = left < FF_SCAN_CHUNK_BYTES ? left : FF_SCAN_CHUNK_BYTES;

        chunk.bytes = bytes + at;
        chunk.readable = left;
        classify(&chunk, chunk_bytes);
        if (!chunk.is_ascii)
            mark_wide_spaces(&chunk, chunk_bytes);
        keep_whole_tokens(&chunk);
        if (chunk.count == 0 ||
            !(chunk.is_ascii || kernel->is_validated || FF_UTF8_NAME(chunk.bytes, chunk.count)))
            break;
        code = count_chunk(&chunk, &batch);
        at += chunk.count;
    }
    *taken = at;
    return code == 0 ? flush(&batch) : code;
}

/* ---- Well-formed UTF-8 --------------------------------------------------- */

bool FF_UTF8_NAME(const unsigned char *bytes, size_t count)
{
    size_t checked = ff_well_formed_bytes(bytes, count);
    struct ff_utf8_error ignored;

    return ff_utf8_validate(bytes + checked, count - checked, &ignored);
}
