/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block is a sequence of two kinds of runs in turn, white space and tokens.
 * Each has a walk that takes units until the other kind begins: skip_units for
 * white space and for tokens that are not counted, take_token for those that
 * are.  Within a run, ASCII goes byte by byte through the class table, and only
 * what follows it is decoded and looked up.
 *
 * The key of a token is built in a buffer of the kernel, since under the
 * letters rule it differs from the input, and since a token may go on in the
 * next block.
 */
#include "jobs/word_kernel.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/unicode_tables.h"
#include "jobs/word_scan.h"

/* Under both rules one unit makes at most this much of a key. */
enum { UNIT_KEY_BYTES_MAX = FF_LOWER_BYTES_MAX };

/* Holds the longest key and enough of a longer one to know that it is. */
#define KEY_SIZE_MAX (FF_KEY_BYTES_MAX + 1 + UNIT_KEY_BYTES_MAX)

/* A key buffer over this size is not kept for the next text. */
enum { KEY_BYTES_MIN = 256, KEY_BYTES_KEPT = 1 << 20 };

/* CLASS_LETTER is 1 so that a byte's class says how many bytes of key it makes under letters. */
enum byte_class { CLASS_OTHER = 0, CLASS_LETTER = 1, CLASS_SPACE = 2, CLASS_NOT_ASCII = 3 };

/* The enum byte_class of every byte. */
/* clang-format off */
static const uint8_t byte_classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 0, 0, /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, /* 10 */
    2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 20 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 30 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 40 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, /* 50 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 60 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, /* 70 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* 80 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* 90 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* A0 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* B0 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* C0 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* D0 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* E0 */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, /* F0 */
};
/* clang-format on */

/* The bytes of one call, and how many of them were taken. */
struct input {
    const unsigned char *bytes;
    size_t count;
    size_t taken;
    bool last;
};

/* Why a walk ended, beside negative error codes. */
enum walk_end {
    WALK_EDGE,      /* the unit ahead is of the other kind */
    WALK_EMPTY,     /* no unit is left; up to 3 bytes of an unfinished one may be */
    WALK_ILL_FORMED /* strict only */
};

/* Looks at the unit ahead without taking it.  WALK_EDGE if there is one, of either kind. */
static int peek(const struct ff_word_kernel *kernel, const struct input *input,
                struct ff_utf8_unit *unit)
{
    if (input->taken == input->count)
        return WALK_EMPTY;
    *unit = ff_utf8_decode(input->bytes + input->taken, input->count - input->taken);
    if (unit->kind == FF_UTF8_OK)
        return WALK_EDGE;
    if (unit->kind == FF_UTF8_TRUNCATED && !input->last)
        return WALK_EMPTY;
    return kernel->invalid == FORKFOLD_INVALID_REPLACE ? WALK_EDGE : WALK_ILL_FORMED;
}

/* Takes units as long as they are white space, or as long as they are not. */
static int skip_units(const struct ff_word_kernel *kernel, struct input *input, bool space)
{
    for (;;) {
        struct ff_utf8_unit unit;
        int end;

        while (input->taken < input->count) {
            uint8_t class = byte_classes[input->bytes[input->taken]];

            if (class == CLASS_NOT_ASCII || (class == CLASS_SPACE) != space)
                break;
            input->taken++;
        }
        end = peek(kernel, input, &unit);
        if (end != WALK_EDGE || ff_unicode_is_space(unit.code_point) != space)
            return end;
        input->taken += unit.bytes;
    }
}

/* Makes room for the key bytes of one more unit at least. */
static int make_room(struct ff_word_kernel *kernel)
{
    size_t size = kernel->key_size > 0 ? 2 * kernel->key_size : KEY_BYTES_MIN;
    char *key;

    if (kernel->key_size - kernel->key_used >= UNIT_KEY_BYTES_MAX)
        return 0;
    if (kernel->key_used > FF_KEY_BYTES_MAX)
        return FORKFOLD_E_LIMIT;
    if (size > KEY_SIZE_MAX)
        size = KEY_SIZE_MAX;
    key = realloc(kernel->key, size);
    if (!key)
        return FORKFOLD_E_MEMORY;
    kernel->key = key;
    kernel->key_size = size;
    return 0;
}

/*
 * Appends what the letters rule keeps of the first ASCII bytes of a token, at most limit of them,
 * for which there is room.  Returns how many bytes that took.  Without branches on the kind of byte
 * inside a token: every byte is stored, and the next overwrites it if it is no letter.
 */
static size_t take_ascii_letters(struct ff_word_kernel *kernel, const unsigned char *bytes,
                                 size_t limit)
{
    char *key = kernel->key + kernel->key_used;
    size_t i;

    for (i = 0; i < limit; i++) {
        uint8_t class = byte_classes[bytes[i]];

        if (class >= CLASS_SPACE)
            break;
        *key = (char)(bytes[i] | 0x20);
        key += class;
    }
    kernel->key_used = (size_t)(key - kernel->key);
    return i;
}

/* The same for the plain rule. */
static size_t take_ascii_plain(struct ff_word_kernel *kernel, const unsigned char *bytes,
                               size_t limit)
{
    size_t i = 0;

    while (i < limit && byte_classes[bytes[i]] < CLASS_SPACE)
        i++;
    memcpy(kernel->key + kernel->key_used, bytes, i);
    kernel->key_used += i;
    return i;
}

/* Takes the ASCII bytes ahead, up to the first white space or other byte. */
static int take_ascii(struct ff_word_kernel *kernel, struct input *input)
{
    while (input->taken < input->count) {
        const unsigned char *bytes = input->bytes + input->taken;
        size_t limit = input->count - input->taken;
        size_t taken;
        int code = make_room(kernel);

        if (code < 0)
            return code;
        if (limit > kernel->key_size - kernel->key_used)
            limit = kernel->key_size - kernel->key_used;
        taken = kernel->rule == FORKFOLD_LETTERS ? take_ascii_letters(kernel, bytes, limit)
                                                 : take_ascii_plain(kernel, bytes, limit);
        input->taken += taken;
        if (taken < limit)
            break;
    }
    return 0;
}

/* Appends what the rule makes of a unit; letters are filtered before they are lower-cased. */
static int take_unit(struct ff_word_kernel *kernel, struct input *input, struct ff_utf8_unit unit)
{
    int code = make_room(kernel);

    if (code < 0)
        return code;
    if (kernel->rule == FORKFOLD_PLAIN)
        kernel->key_used += ff_unicode_encode(unit.code_point, kernel->key + kernel->key_used);
    else if (ff_unicode_is_letter(unit.code_point))
        kernel->key_used += ff_unicode_lower(unit.code_point, kernel->key + kernel->key_used);
    input->taken += unit.bytes;
    return 0;
}

/* Takes units as long as they are not white space, and appends to the key. */
static int take_token(struct ff_word_kernel *kernel, struct input *input)
{
    for (;;) {
        struct ff_utf8_unit unit;
        int end = take_ascii(kernel, input);

        if (end < 0)
            return end;
        end = peek(kernel, input, &unit);
        if (end != WALK_EDGE || ff_unicode_is_space(unit.code_point))
            return end;
        end = take_unit(kernel, input, unit);
        if (end < 0)
            return end;
    }
}

/* Forgets the token in progress. */
static void drop_token(struct ff_word_kernel *kernel)
{
    kernel->in_token = false;
    kernel->skipping = false;
    kernel->key_used = 0;
}

/* The token in progress, if any, ends here. */
static int end_token(struct ff_word_kernel *kernel, struct ff_table *table)
{
    int code = 0;

    if (kernel->key_used > 0)
        code = ff_table_add(table, kernel->key, kernel->key_used, 1);
    drop_token(kernel);
    return code;
}

const struct ff_scan_variant *ff_scan_variants(size_t *count)
{
    static const struct ff_scan_variant variants[] = {
#if defined(__x86_64__)
        {"avx512", ff_word_scan_avx512, ff_utf8_check_avx512},
        {"avx2", ff_word_scan_avx2, ff_utf8_check_avx2},
#endif
        {"generic", ff_word_scan_generic, ff_utf8_check_generic}
    };
    size_t all = sizeof(variants) / sizeof(variants[0]);
    size_t first = 0;

#if defined(__x86_64__)
    /* The very instructions that meson.build lets the compiler use. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vbmi") ||
        !__builtin_cpu_supports("avx512vbmi2"))
        first = 1;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2"))
        first = 2;
#endif
    *count = all - first;
    return variants + first;
}

const struct ff_scan_variant *ff_scan_variant_named(const char *name)
{
    size_t count;
    const struct ff_scan_variant *variants = ff_scan_variants(&count);

    for (size_t i = 0; i < count; i++)
        if (name == NULL || strcmp(variants[i].name, name) == 0)
            return &variants[i];
    return NULL;
}

void ff_word_kernel_init(struct ff_word_kernel *kernel, enum forkfold_word_rule rule,
                         enum forkfold_invalid invalid)
{
    *kernel = (struct ff_word_kernel){
        .rule = rule, .invalid = invalid, .variant = ff_scan_variant_named(NULL)};
}

void ff_word_kernel_free(struct ff_word_kernel *kernel)
{
    free(kernel->key);
    kernel->key = NULL;
    kernel->key_size = 0;
    drop_token(kernel);
}

void ff_word_kernel_start(struct ff_word_kernel *kernel, bool inside_token)
{
    if (kernel->key_size > KEY_BYTES_KEPT)
        ff_word_kernel_free(kernel);
    drop_token(kernel);
    kernel->in_token = inside_token;
    kernel->skipping = inside_token;
}

int ff_word_kernel_feed(struct ff_word_kernel *kernel, struct ff_table *table,
                        const unsigned char *bytes, size_t count, bool last, size_t *consumed,
                        struct ff_utf8_error *bad)
{
    struct input input = {.bytes = bytes, .count = count, .last = last};
    size_t scan_from = 0; /* where the scan stopped, something needs the walk */
    int end = WALK_EDGE;

    while (end == WALK_EDGE) {
        if (!kernel->in_token && input.taken >= scan_from) {
            size_t taken;

            end = kernel->variant->scan(kernel, table, bytes + input.taken, count - input.taken,
                                        &taken);
            if (end < 0)
                break;
            input.taken += taken;
            scan_from = input.taken + FF_SCAN_CHUNK_BYTES;
        }
        if (kernel->in_token && !kernel->skipping)
            end = take_token(kernel, &input);
        else
            end = skip_units(kernel, &input, !kernel->in_token);
        if (end == WALK_EDGE && kernel->in_token)
            end = end_token(kernel, table);
        else if (end == WALK_EDGE)
            kernel->in_token = true;
    }
    if (end < 0)
        return end;
    if (end == WALK_ILL_FORMED) {
        bad->offset = input.taken;
        bad->kind = ff_utf8_decode(bytes + input.taken, count - input.taken).kind;
        return FF_WORDS_ILL_FORMED;
    }
    *consumed = input.taken;
    return 0;
}

int ff_word_kernel_finish(struct ff_word_kernel *kernel, struct ff_table *table,
                          const unsigned char *bytes, size_t count, bool last, size_t *consumed,
                          bool *ended)
{
    struct input input = {.bytes = bytes, .count = count, .last = last};
    int end = WALK_EDGE;

    if (kernel->in_token && !kernel->skipping)
        end = take_token(kernel, &input);
    if (end == WALK_ILL_FORMED)
        drop_token(kernel);
    if (end == WALK_EDGE || (end == WALK_EMPTY && last))
        end = end_token(kernel, table);
    if (end < 0)
        return end;
    *ended = !kernel->in_token;
    *consumed = input.taken;
    return 0;
}

int ff_word_kernel_end(struct ff_word_kernel *kernel, struct ff_table *table)
{
    return end_token(kernel, table);
}
