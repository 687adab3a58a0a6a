/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled once for each variant: FF_SCAN_NAME is its function, the compiler's options its CPU. */
#include "jobs/word_scan.h"

#include <string.h>

#include "jobs/byte_masks.h"
#include "jobs/unicode_tables.h"

enum {
    CHUNK_BLOCKS = FF_SCAN_CHUNK_BYTES / FF_MASK_BYTES,
    /* Keys between prefetching a slot and looking at it. */
    BATCH_KEYS = 256
};

/* The least padding that is no white space: a token that reaches it is not whole. */
enum { PADDING = 'x' };

struct chunk {
    const unsigned char *bytes;
    size_t count;    /* bytes, at most FF_SCAN_CHUNK_BYTES */
    size_t readable; /* bytes that may be loaded, not less than count */
    bool is_ascii;
    struct ff_byte_masks masks[CHUNK_BLOCKS + 1]; /* one more, so that 64 bits can start anywhere */
    uint16_t edges[FF_SCAN_CHUNK_BYTES + 1];      /* start and end of tokens in turn */
    size_t edge_count;
};

struct batch {
    struct ff_short_key keys[BATCH_KEYS];
    size_t count;
};

/* ---- Pass 1: kinds and edges --------------------------------------------- */

static void classify(struct chunk *chunk)
{
    size_t whole = chunk->count / FF_MASK_BYTES;
    size_t rest = chunk->count % FF_MASK_BYTES;
    uint64_t not_ascii = 0;

    ff_classify_bytes(chunk->bytes, whole, chunk->masks);
    if (rest > 0) {
        unsigned char padded[FF_MASK_BYTES];

        memset(padded, PADDING, sizeof(padded));
        memcpy(padded, chunk->bytes + whole * FF_MASK_BYTES, rest);
        ff_classify_bytes(padded, 1, &chunk->masks[whole]);
    }
    whole += rest > 0;
    chunk->masks[whole] = (struct ff_byte_masks){0};
    for (size_t block = 0; block < whole; block++)
        not_ascii |= chunk->masks[block].not_ascii;
    chunk->is_ascii = not_ascii == 0;
}

/* The bytes of the white space beyond ASCII that starts here, or 0; all of it is 2 or 3 bytes. */
static unsigned wide_space(const unsigned char *bytes, size_t count)
{
    if (count >= 2 && bytes[0] == 0xC2)
        return bytes[1] == 0x85 || bytes[1] == 0xA0 ? 2 : 0;
    if (count < 3 || bytes[0] < 0xE1 || bytes[0] > 0xE3)
        return 0;
    struct ff_utf8_unit unit = ff_utf8_decode(bytes, count);

    return unit.kind == FF_UTF8_OK && ff_unicode_is_space(unit.code_point) ? unit.bytes : 0;
}

static void mark_wide_spaces(struct chunk *chunk)
{
    for (size_t block = 0; block * FF_MASK_BYTES < chunk->count; block++) {
        uint64_t candidates = chunk->masks[block].not_ascii;

        for (; candidates != 0; candidates &= candidates - 1) {
            size_t at = block * FF_MASK_BYTES + (size_t)__builtin_ctzll(candidates);
            unsigned char byte = chunk->bytes[at];

            if (byte != 0xC2 && (byte < 0xE1 || byte > 0xE3))
                continue;
            for (unsigned i = wide_space(chunk->bytes + at, chunk->count - at); i-- > 0;)
                chunk->masks[(at + i) / FF_MASK_BYTES].space |= UINT64_C(1)
                                                                << ((at + i) % FF_MASK_BYTES);
        }
    }
}

static void find_edges(struct chunk *chunk)
{
    uint64_t before = 1; /* what precedes the chunk counts as white space */
    uint16_t *edge = chunk->edges;

    for (size_t block = 0; block * FF_MASK_BYTES < chunk->count; block++) {
        uint64_t space = chunk->masks[block].space;
        uint64_t changes = space ^ (space << 1 | before);

        before = space >> 63;
        for (; changes != 0; changes &= changes - 1)
            *edge++ = (uint16_t)(block * FF_MASK_BYTES + (size_t)__builtin_ctzll(changes));
    }
    chunk->edge_count = (size_t)(edge - chunk->edges);
}

/* How much of the chunk is whole tokens and white space. */
static size_t whole_bytes(const struct chunk *chunk)
{
    return chunk->edge_count % 2 == 0 ? chunk->count : chunk->edges[chunk->edge_count - 1];
}

/* ---- Pass 3: slots ------------------------------------------------------- */

static int flush(struct batch *batch, struct ff_table *table)
{
    int code = ff_table_add_short_keys(table, batch->keys, batch->count);

    batch->count = 0;
    return code;
}

static inline int add_key(struct batch *batch, struct ff_table *table, struct ff_short_key key)
{
    batch->keys[batch->count++] = key;
    ff_table_prefetch(table, key.hash);
    return batch->count == BATCH_KEYS ? flush(batch, table) : 0;
}

/* ---- Pass 2: keys -------------------------------------------------------- */

/* 64 bits of a kind from any byte on. */
#define BITS_FROM(chunk, kind, at)                                                                 \
    ((chunk)->masks[(at) / 64].kind >> ((at) % 64) | (chunk)->masks[(at) / 64 + 1].kind            \
                                                         << 1 << (63 - (at) % 64))

/* The 16 bytes from at on, as far as they can be read. */
static inline void load_16(const struct chunk *chunk, size_t at, uint64_t words[2])
{
    if (at + 16 <= chunk->readable) {
        memcpy(words, chunk->bytes + at, 16);
        return;
    }
    words[0] = words[1] = 0;
    memcpy(words, chunk->bytes + at, chunk->readable - at);
}

static inline int add_bytes(struct batch *batch, struct ff_table *table, const struct chunk *chunk,
                            size_t at, size_t length, uint64_t set_bits)
{
    uint64_t words[2];

    load_16(chunk, at, words);
    return add_key(batch, table,
                   ff_short_key(words[0] | set_bits, words[1] | set_bits, (uint32_t)length));
}

/* Letters with something between them, "don't": gathered one by one. */
static int add_gathered(struct batch *batch, struct ff_table *table, const struct chunk *chunk,
                        size_t at, uint64_t letters)
{
    unsigned char key[FF_MASK_BYTES] = {0};
    uint64_t words[2];
    uint32_t length = 0;

    for (; letters != 0; letters &= letters - 1)
        key[length++] = chunk->bytes[at + (size_t)__builtin_ctzll(letters)] | 0x20;
    if (length > FF_KEY_INLINE)
        return ff_table_add(table, key, length, 1);
    memcpy(words, key, sizeof(words));
    return add_key(batch, table, ff_short_key(words[0], words[1], length));
}

/* What the letters of a token's first 64 bytes are. */
static inline uint64_t letters_of(const struct chunk *chunk, size_t at, size_t length)
{
    uint64_t inside = length < 64 ? (UINT64_C(1) << length) - 1 : ~UINT64_C(0);

    return BITS_FROM(chunk, letter, at) & inside;
}

/* Whether a token is beyond the fast path: too long, or with letters beyond ASCII. */
static inline bool is_hard(const struct chunk *chunk, size_t at, size_t length)
{
    uint64_t inside = length < 64 ? (UINT64_C(1) << length) - 1 : ~UINT64_C(0);

    return length > 64 || (!chunk->is_ascii && (BITS_FROM(chunk, not_ascii, at) & inside) != 0);
}

static int count_letters(struct ff_word_kernel *kernel, struct ff_table *table,
                         const struct chunk *chunk, struct batch *batch)
{
    int code = 0;

    for (size_t i = 0; i + 1 < chunk->edge_count && code == 0; i += 2) {
        size_t at = chunk->edges[i];
        size_t length = chunk->edges[i + 1] - at;
        uint64_t letters = letters_of(chunk, at, length);

        if (is_hard(chunk, at, length)) {
            code = ff_word_kernel_count_token(kernel, table, chunk->bytes + at, length);
            continue;
        }
        if (letters == 0)
            continue;
        /* The letters' run without what is before and behind it, a full stop or a quote. */
        unsigned first = (unsigned)__builtin_ctzll(letters);
        uint64_t behind = ~(letters >> first);
        unsigned run = behind != 0 ? (unsigned)__builtin_ctzll(behind) : 64;

        if (run > FF_KEY_INLINE)
            code = ff_word_kernel_count_token(kernel, table, chunk->bytes + at, length);
        else if (letters >> first >> run != 0)
            code = add_gathered(batch, table, chunk, at, letters);
        else
            code = add_bytes(batch, table, chunk, at + first, run, UINT64_C(0x2020202020202020));
    }
    return code;
}

static int count_plain(struct ff_table *table, const struct chunk *chunk, struct batch *batch)
{
    for (size_t i = 0; i + 1 < chunk->edge_count; i += 2) {
        size_t at = chunk->edges[i];
        size_t length = chunk->edges[i + 1] - at;
        int code = length <= FF_KEY_INLINE ? add_bytes(batch, table, chunk, at, length, 0)
                                           : ff_table_add(table, chunk->bytes + at, length, 1);

        if (code < 0)
            return code;
    }
    return 0;
}

/* ---- Chunks -------------------------------------------------------------- */

static bool is_well_formed(const struct ff_word_kernel *kernel, const struct chunk *chunk,
                           size_t count)
{
    struct ff_utf8_error ignored;

    return kernel->is_validated || chunk->is_ascii ||
           ff_utf8_validate(chunk->bytes, count, &ignored);
}

static int count_chunk(struct ff_word_kernel *kernel, struct ff_table *table, struct chunk *chunk)
{
    struct batch batch;
    int code;

    batch.count = 0;
    if (kernel->rule == FORKFOLD_LETTERS)
        code = count_letters(kernel, table, chunk, &batch);
    else
        code = count_plain(table, chunk, &batch);
    return code < 0 ? code : flush(&batch, table);
}

int FF_SCAN_NAME(struct ff_word_kernel *kernel, struct ff_table *table, const unsigned char *bytes,
                 size_t count, size_t *taken)
{
    struct chunk chunk;
    size_t at = 0;
    int code = 0;

    while (code == 0 && count - at >= FF_SCAN_BYTES_MIN) {
        size_t left = count - at;

        chunk.bytes = bytes + at;
        chunk.count = left < FF_SCAN_CHUNK_BYTES ? left : FF_SCAN_CHUNK_BYTES;
        chunk.readable = left;
        classify(&chunk);
        if (!chunk.is_ascii)
            mark_wide_spaces(&chunk);
        find_edges(&chunk);

        size_t whole = whole_bytes(&chunk);

        if (whole == 0 || !is_well_formed(kernel, &chunk, whole))
            break;
        code = count_chunk(kernel, table, &chunk);
        at += whole;
    }
    *taken = at;
    return code;
}
