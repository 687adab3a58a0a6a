/* SPDX-License-Identifier: Apache-2.0 */
#include "vocabulary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above this rank words get rare faster than Zipf's law says, as they do in real texts. */
enum { TAIL_RANK = 8000 };

enum { ALPHABET_MAX = 4096 };

enum { LETTERS_MAX = 24 };

/* A letter and a mark have three bytes each at most, and a quirk has one. */
_Static_assert(6 * LETTERS_MAX + 1 <= WORD_BYTES_MAX, "words must fit");

struct alphabet {
    char32_t letters[ALPHABET_MAX];
    unsigned count;
};

void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    must(memory != NULL, "generate");
    return memory;
}

/* ---- Random numbers: xorshift64* ---------------------------------------------- */

static uint64_t random_next(struct random *random)
{
    uint64_t state = random->state;

    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    random->state = state;
    return state * UINT64_C(0x2545F4914F6CDD1D);
}

struct random random_open(uint64_t seed, uint64_t stream)
{
    struct random random = {(seed * UINT64_C(0x9E3779B97F4A7C15)) ^
                            (stream * UINT64_C(0xD1B54A32D192ED03)) ^ UINT64_C(0x8CB92BA72F3D8DD7)};

    if (random.state == 0)
        random.state = 1;
    for (int i = 0; i < 8; i++)
        (void)random_next(&random);
    return random;
}

uint32_t random_below(struct random *random, uint32_t bound)
{
    return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}

/* ---- Characters ---------------------------------------------------------------- */

unsigned put_character(char *to, char32_t character)
{
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (char)(0xC0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3F));
        return 2;
    }
    to[0] = (char)(0xE0 | character >> 12);
    to[1] = (char)(0x80 | (character >> 6 & 0x3F));
    to[2] = (char)(0x80 | (character & 0x3F));
    return 3;
}

static char32_t upper(char32_t character)
{
    static const struct range lower[] = {
        {'a', 'z', 0}, {0xE0, 0xF6, 0}, {0xF8, 0xFE, 0}, {0x3B1, 0x3C9, 0}, {0x430, 0x44F, 0}};

    for (size_t i = 0; i < sizeof(lower) / sizeof(lower[0]); i++)
        if (character >= lower[i].first && character <= lower[i].last)
            return character - 0x20;
    return character;
}

unsigned put_capitalised(char *to, const char *word, unsigned bytes)
{
    unsigned char lead = (unsigned char)word[0];
    unsigned first = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : 3;
    char32_t character = lead;

    if (first > 1)
        character = (char32_t)(lead & (first == 2 ? 0x1F : 0x0F));
    for (unsigned i = 1; i < first; i++)
        character = character << 6 | ((unsigned char)word[i] & 0x3F);
    unsigned put = put_character(to, upper(character));

    memcpy(to + put, word + first, bytes - first);
    return put + bytes - first;
}

/* ---- Words ------------------------------------------------------------------- */

static void add_ranges(struct alphabet *alphabet, const struct range ranges[3])
{
    for (int i = 0; i < 3; i++) {
        char32_t step = ranges[i].step > 0 ? ranges[i].step : 1;

        for (char32_t at = ranges[i].first; at != 0 && at <= ranges[i].last; at += step)
            if (alphabet->count < ALPHABET_MAX)
                alphabet->letters[alphabet->count++] = at;
    }
}

static void add_string(struct alphabet *alphabet, const char32_t *letters)
{
    for (; letters != NULL && *letters != 0; letters++)
        alphabet->letters[alphabet->count++] = *letters;
}

/* The lower of two draws: alphabets without repeated letters have frequent ones too. */
static char32_t pick(const struct alphabet *alphabet, struct random *random, int even)
{
    uint32_t first = random_below(random, alphabet->count);
    uint32_t second = even ? first : random_below(random, alphabet->count);

    return alphabet->letters[first < second ? first : second];
}

/* Frequent words are short; one of 50 is a compound, twice as long as its rank says.  The logarithm
 * of the rank is read off its bits. */
static unsigned draw_length(const struct script *script, uint32_t rank, struct random *random)
{
    unsigned bits = 31 - (unsigned)__builtin_clz(rank + 1);
    unsigned part = bits >= 2 ? ((rank + 1) >> (bits - 2)) & 3 : 0;
    unsigned sixteenths = 4 * script->length_base + script->length_slope * (4 * bits + part) / 4;
    unsigned noise = script->length_noise;
    unsigned length = (sixteenths + random_below(random, 16)) / 16 +
                      random_below(random, noise + 1) + random_below(random, noise + 1);

    length = length > noise ? length - noise : 1;
    if (random_below(random, 50) == 0)
        length *= 2;
    return length < LETTERS_MAX ? length : LETTERS_MAX;
}

struct speller {
    const struct script *script;
    struct alphabet vowels;
    struct alphabet letters; /* or the consonants */
    struct alphabet marks;
};

/* A final sigma is a letter of its own, as Greek readers expect. */
static char32_t last_form(char32_t letter, int last)
{
    return last && letter == 0x3C3 ? 0x3C2 : letter;
}

static unsigned spell(char *to, const struct speller *speller, unsigned length,
                      struct random *random)
{
    const struct script *script = speller->script;
    int alternate = speller->vowels.count > 0;
    unsigned vowel = random_below(random, 2);
    unsigned quirk = length > 3 && random_below(random, 1000) < script->quirk_permille
                         ? 1 + random_below(random, length - 2)
                         : 0;
    unsigned bytes = 0;

    for (unsigned i = 0; i < length; i++) {
        const struct alphabet *from =
            alternate && (i + vowel) % 2 == 0 ? &speller->vowels : &speller->letters;
        char32_t letter = last_form(pick(from, random, alternate), i + 1 == length);

        if (quirk > 0 && i == quirk)
            to[bytes++] = random_below(random, 3) > 0 ? '\'' : '-';
        bytes += put_character(to + bytes, letter);
        if (speller->marks.count > 0 && random_below(random, 100) < script->mark_percent)
            bytes += put_character(to + bytes, pick(&speller->marks, random, 1));
    }
    return bytes;
}

/* ---- No word twice -------------------------------------------------------------- */

struct seen {
    uint32_t *slots; /* number of the word + 1 */
    uint32_t mask;
};

static uint64_t hash(const char *word, unsigned bytes)
{
    uint64_t value = UINT64_C(0xCBF29CE484222325);

    for (unsigned i = 0; i < bytes; i++)
        value = (value ^ (unsigned char)word[i]) * UINT64_C(0x100000001B3);
    return value ^ value >> 29;
}

/* Whether the word, which lies behind all others, is new; it is noted then. */
static int note(struct seen *seen, const struct vocabulary *vocabulary, unsigned bytes)
{
    const char *word = vocabulary->text + vocabulary->starts[vocabulary->count];

    for (uint64_t at = hash(word, bytes);; at++) {
        uint32_t *slot = &seen->slots[at & seen->mask];

        if (*slot == 0) {
            *slot = vocabulary->count + 1;
            return 1;
        }
        uint32_t start = vocabulary->starts[*slot - 1];

        if (vocabulary->starts[*slot] - start == bytes &&
            memcmp(vocabulary->text + start, word, bytes) == 0)
            return 0;
    }
}

static void make_words(struct vocabulary *vocabulary, const struct speller *speller,
                       struct random *random)
{
    enum { TRIES_A_LENGTH = 4 };
    const struct script *script = speller->script;
    size_t room = (size_t)script->word_count * 24 + WORD_BYTES_MAX;
    struct seen seen = {NULL, 1};

    while (seen.mask < 2 * script->word_count)
        seen.mask = 2 * seen.mask + 1;
    seen.slots = allocate((size_t)seen.mask + 1, sizeof(*seen.slots));
    vocabulary->text = allocate(room, 1);
    vocabulary->starts = allocate((size_t)script->word_count + 1, sizeof(*vocabulary->starts));
    while (vocabulary->count < script->word_count) {
        uint32_t start = vocabulary->starts[vocabulary->count];
        unsigned length = draw_length(script, vocabulary->count, random);
        unsigned bytes;

        if (room - start < WORD_BYTES_MAX) {
            vocabulary->text = realloc(vocabulary->text, room *= 2);
            must(vocabulary->text != NULL, "generate");
        }
        /* Short words run out; then the next frequent one is a letter longer. */
        for (unsigned tries = 1;; tries++) {
            bytes = spell(vocabulary->text + start, speller, length, random);
            if (note(&seen, vocabulary, bytes))
                break;
            length += tries % TRIES_A_LENGTH == 0;
        }
        vocabulary->starts[++vocabulary->count] = start + bytes;
    }
    free(seen.slots);
}

/* ---- How often ---------------------------------------------------------------- */

static double weight(uint32_t rank)
{
    double at = (double)rank + 1.0;

    if (rank < TAIL_RANK)
        return 1.0 / (at + 2.0);
    /* r to the power of -1.25, from where the line above leaves off */
    return sqrt(sqrt(TAIL_RANK + 1.0)) / (at * sqrt(sqrt(at)));
}

/* Vose's way to fill the two arrays: small weights are topped up by large ones. */
static void make_chances(struct vocabulary *vocabulary)
{
    uint32_t count = vocabulary->count;
    double *share = allocate(count, sizeof(*share));
    uint32_t *queue = allocate(count, sizeof(*queue));
    uint32_t small = 0;
    uint32_t large = count;
    double total = 0;

    vocabulary->threshold = allocate(count, sizeof(*vocabulary->threshold));
    vocabulary->alias = allocate(count, sizeof(*vocabulary->alias));
    for (uint32_t i = 0; i < count; i++)
        total += weight(i);
    for (uint32_t i = 0; i < count; i++) {
        share[i] = weight(i) * count / total;
        vocabulary->threshold[i] = UINT32_MAX;
        vocabulary->alias[i] = i;
        queue[share[i] < 1.0 ? small++ : --large] = i;
    }
    /* The small ones lie at the start of the queue, the large ones at its end. */
    while (small > 0 && large < count) {
        uint32_t poor = queue[--small];
        uint32_t rich = queue[large];

        vocabulary->threshold[poor] = (uint32_t)(share[poor] * UINT32_MAX);
        vocabulary->alias[poor] = rich;
        share[rich] -= 1.0 - share[poor];
        if (share[rich] < 1.0) {
            large++;
            queue[small++] = rich;
        }
    }
    free(share);
    free(queue);
}

uint32_t vocabulary_draw(const struct vocabulary *vocabulary, struct random *random)
{
    uint32_t word = random_below(random, vocabulary->count);

    return (uint32_t)(random_next(random) >> 32) <= vocabulary->threshold[word]
               ? word
               : vocabulary->alias[word];
}

void vocabulary_open(struct vocabulary *vocabulary, const struct script *script, uint64_t seed)
{
    struct speller *speller = allocate(1, sizeof(*speller));
    struct random random = random_open(seed, hash(script->name, (unsigned)strlen(script->name)));

    *vocabulary = (struct vocabulary){0};
    speller->script = script;
    add_string(&speller->vowels, script->vowels);
    add_string(&speller->letters, script->consonants);
    add_ranges(&speller->letters, script->letters);
    add_ranges(&speller->marks, script->marks);
    make_words(vocabulary, speller, &random);
    make_chances(vocabulary);
    free(speller);
}

void vocabulary_close(struct vocabulary *vocabulary)
{
    free(vocabulary->text);
    free(vocabulary->starts);
    free(vocabulary->threshold);
    free(vocabulary->alias);
    *vocabulary = (struct vocabulary){0};
}
