/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes texts for the benchmark.
 *
 *     generate LANGUAGE FOLDER SEED FILES BYTES [exact]
 *
 * FOLDER, which must be there, gets FILES files of about BYTES bytes in all.
 * Their sizes are log-normal; with "exact" each has BYTES / FILES bytes to the
 * byte.  LANGUAGE is
 *
 *   english  32,000 words, lengths as in English
 *   broad    more than a million words, some accented, longer on the average
 *   scripts  a language a file in turn: Cyrillic, Greek, Arabic, Hebrew,
 *            Devanagari, Han, Hangul, Thai, accented Latin
 *
 * Words are drawn by Zipf's law with a steeper tail.  Around them there is what
 * texts have: capitals, commas, full stops, quotation marks, numbers, lines of
 * some 70 bytes, and paragraphs.  A part of the texts is set with typographic
 * quotation marks, so that even English is not all ASCII.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vocabulary.h"

/* Repeated letters are frequent ones. */
#define VOWELS     U"eeeeeeaaaaaoooouuiiiiiy"
#define CONSONANTS U"ttttttnnnnnsssssrrrrrhhhhlllldddcccmmmffppgwbbvkjxqz"

static const struct script english = {
    .name = "english",
    .vowels = VOWELS,
    .consonants = CONSONANTS,
    .word_count = 32000,
    .length_base = 4,
    .length_slope = 6,
    .length_noise = 3,
    .quirk_permille = 12,
    .comma = ",",
    .stop = ".",
};

static const struct script broad = {
    .name = "broad",
    .vowels = VOWELS VOWELS VOWELS VOWELS VOWELS VOWELS VOWELS U"é",
    .consonants = CONSONANTS CONSONANTS CONSONANTS CONSONANTS U"ñ",
    .word_count = 1050000,
    .length_base = 11,
    .length_slope = 6,
    .length_noise = 2,
    .quirk_permille = 12,
    .comma = ",",
    .stop = ".",
};

static const struct script scripts[] = {
    {.name = "cyrillic",
     .letters = {{0x430, 0x44F, 0}},
     .word_count = 60000,
     .length_base = 8,
     .length_slope = 7,
     .length_noise = 3,
     .comma = ",",
     .stop = "."},
    {.name = "greek",
     .letters = {{0x3B1, 0x3C1, 0}, {0x3C3, 0x3C9, 0}, {0x3AC, 0x3AF, 0}},
     .word_count = 60000,
     .length_base = 8,
     .length_slope = 6,
     .length_noise = 3,
     .comma = ",",
     .stop = "."},
    {.name = "arabic",
     .letters = {{0x627, 0x63A, 0}, {0x641, 0x64A, 0}},
     .marks = {{0x64B, 0x652, 0}},
     .mark_percent = 2,
     .word_count = 60000,
     .length_base = 8,
     .length_slope = 4,
     .length_noise = 2,
     .comma = "\u060C",
     .stop = "."},
    {.name = "hebrew",
     .letters = {{0x5D0, 0x5EA, 0}},
     .word_count = 40000,
     .length_base = 8,
     .length_slope = 3,
     .length_noise = 2,
     .comma = ",",
     .stop = "."},
    {.name = "devanagari",
     .letters = {{0x915, 0x928, 0}, {0x92A, 0x930, 0}, {0x905, 0x90A, 0}},
     .marks = {{0x93E, 0x943, 0}, {0x947, 0x948, 0}, {0x94B, 0x94D, 0}},
     .mark_percent = 55,
     .word_count = 40000,
     .length_base = 6,
     .length_slope = 3,
     .length_noise = 2,
     .comma = ",",
     .stop = "\u0964"},
    {.name = "han",
     .letters = {{0x4E00, 0x9FA5, 7}},
     .word_count = 30000,
     .length_base = 4,
     .length_slope = 1,
     .length_noise = 1,
     .phrase_words = 30,
     .comma = "\uFF0C",
     .stop = "\u3002"},
    {.name = "hangul",
     .letters = {{0xAC00, 0xD7A3, 9}},
     .word_count = 60000,
     .length_base = 6,
     .length_slope = 2,
     .length_noise = 1,
     .comma = ",",
     .stop = "."},
    {.name = "thai",
     .letters = {{0xE01, 0xE2E, 0}, {0xE40, 0xE44, 0}, {0xE32, 0xE32, 0}},
     .marks = {{0xE34, 0xE39, 0}, {0xE48, 0xE4B, 0}, {0xE31, 0xE31, 0}},
     .mark_percent = 30,
     .word_count = 30000,
     .length_base = 8,
     .length_slope = 2,
     .length_noise = 1,
     .phrase_words = 8,
     .comma = "",
     .stop = ""},
    {.name = "latin",
     .vowels = U"eeeeaaaaoouuiiéèêëàâäåæôöøùûüîïąęůýőűấệồ",
     .consonants = U"ttnnssrrllddccmmppgbvkjhzçñßłśćźżčšžřďť",
     .word_count = 60000,
     .length_base = 8,
     .length_slope = 6,
     .length_noise = 3,
     .quirk_permille = 8,
     .comma = ",",
     .stop = "."},
};

enum { LANGUAGES_MAX = sizeof(scripts) / sizeof(scripts[0]) };
enum { LINE_BYTES = 70, BOOK_BYTES = 256 * 1024 };

/* The longest phrase, with its punctuation. */
enum { TOKEN_BYTES_MAX = 32 * (WORD_BYTES_MAX + 8) };

struct language {
    const struct script *script;
    struct vocabulary vocabulary;
};

/* The text being written: what stands around the words depends on what came before. */
struct text {
    FILE *file;
    const struct language *language;
    struct random random;
    uint64_t bytes;
    uint64_t limit;
    unsigned line_bytes;
    unsigned sentence_words; /* left of this sentence */
    int typographic;
    uint64_t book_end;
};

/* ---- Tokens: what stands between white space ------------------------------------- */

static int chance(struct text *text, unsigned permille)
{
    return random_below(&text->random, 1000) < permille;
}

static unsigned put_string(char *to, const char *string)
{
    size_t bytes = strlen(string);

    memcpy(to, string, bytes);
    return (unsigned)bytes;
}

/* Typographic texts have another apostrophe. */
static unsigned put_plain(char *to, const struct text *text, const char *word, unsigned bytes)
{
    unsigned put = 0;

    for (unsigned i = 0; i < bytes; i++) {
        if (word[i] == '\'' && text->typographic)
            put += put_string(to + put, "\u2019");
        else
            to[put++] = word[i];
    }
    return put;
}

static unsigned put_word(char *to, struct text *text, int capital)
{
    const struct vocabulary *vocabulary = &text->language->vocabulary;
    uint32_t number = vocabulary_draw(vocabulary, &text->random);
    const char *word = vocabulary->text + vocabulary->starts[number];
    unsigned bytes = vocabulary->starts[number + 1] - vocabulary->starts[number];

    if (capital)
        return put_capitalised(to, word, bytes);
    return put_plain(to, text, word, bytes);
}

/* One word, or several that their script does not separate. */
static unsigned put_phrase(char *to, struct text *text, int capital)
{
    const struct script *script = text->language->script;
    unsigned words =
        script->phrase_words > 1 ? 1 + random_below(&text->random, script->phrase_words) : 1;
    unsigned put = put_word(to, text, capital);

    while (--words > 0) {
        if (chance(text, 100))
            put += put_string(to + put, script->comma);
        put += put_word(to + put, text, 0);
    }
    return put;
}

static unsigned put_token(char *to, struct text *text)
{
    const struct script *script = text->language->script;
    int first = text->sentence_words == 0;
    unsigned put = 0;

    if (first)
        text->sentence_words = 6 + random_below(&text->random, 20);
    text->sentence_words--;
    if (chance(text, 8))
        return (unsigned)sprintf(to, "%u", random_below(&text->random, 2100));
    if (text->typographic && chance(text, 4))
        return put_string(to, "\u2014");
    int quoted = chance(text, 10);

    if (quoted)
        put += put_string(to, text->typographic ? "\u201C" : "\"");
    put += put_phrase(to + put, text, first || chance(text, 30));
    if (text->sentence_words == 0)
        put += put_string(to + put, chance(text, 80) ? "?" : script->stop);
    else if (chance(text, 55))
        put += put_string(to + put, chance(text, 60) ? ";" : script->comma);
    if (quoted)
        put += put_string(to + put, text->typographic ? "\u201D" : "\"");
    return put;
}

/* ---- Files ------------------------------------------------------------------- */

static void put_bytes(struct text *text, const char *bytes, unsigned count)
{
    must(fwrite(bytes, 1, count, text->file) == count, "generate: write");
    text->bytes += count;
}

/* What goes before the next token: a space, the end of a line, or that of a paragraph. */
static const char *separator(struct text *text, unsigned bytes)
{
    if (text->line_bytes == 0)
        return "";
    if (text->line_bytes + bytes < LINE_BYTES)
        return " ";
    text->line_bytes = 0;
    return text->sentence_words == 0 && chance(text, 500) ? "\n\n" : "\n";
}

/* Words until the limit; an exact text is filled up with spaces, as no word is to be cut. */
static void write_text(struct text *text, int exact)
{
    char token[TOKEN_BYTES_MAX];

    for (;;) {
        if (text->bytes >= text->book_end) {
            text->typographic = chance(text, 250);
            text->book_end = text->bytes + BOOK_BYTES;
        }
        unsigned bytes = put_token(token, text);
        const char *before = separator(text, bytes);

        if (text->bytes + strlen(before) + bytes + 1 > text->limit && (exact || text->bytes > 0))
            break;
        put_bytes(text, before, (unsigned)strlen(before));
        put_bytes(text, token, bytes);
        text->line_bytes += bytes + 1;
    }
    while (exact && text->bytes + 1 < text->limit)
        put_bytes(text, " ", 1);
    put_bytes(text, "\n", 1);
}

static void write_file(const char *folder, unsigned number, const struct language *language,
                       uint64_t seed, uint64_t bytes, int exact)
{
    char path[4096];
    struct text text = {
        .language = language,
        .random = random_open(seed, (uint64_t)number + 1),
        .limit = bytes,
    };
    int length = snprintf(path, sizeof(path), "%s/%06u.txt", folder, number);

    must(length > 0 && (size_t)length < sizeof(path), "generate: the folder's name is too long");
    text.file = fopen(path, "wb");
    must(text.file != NULL, path);
    write_text(&text, exact);
    must(fclose(text.file) == 0, path);
}

/*
 * The bytes of each file.  The product of many random factors is log-normal, by
 * the central limit theorem, and needs nothing but multiplication; these make
 * nine files of ten lie between a seventh of the median and six times as much.
 */
static void draw_sizes(double *sizes, unsigned files, double bytes, uint64_t seed)
{
    enum { FACTORS = 12 };
    struct random random = random_open(seed, UINT64_C(0x73697A6573));
    double total = 0;

    for (unsigned i = 0; i < files; i++) {
        sizes[i] = 1;
        for (int factor = 0; factor < FACTORS; factor++)
            sizes[i] *= 0.45 + (double)random_below(&random, 1 << 20) / (1 << 20);
        total += sizes[i];
    }
    for (unsigned i = 0; i < files; i++)
        sizes[i] = sizes[i] * bytes / total;
}

static unsigned open_languages(struct language languages[LANGUAGES_MAX], const char *name,
                               uint64_t seed)
{
    unsigned count = strcmp(name, "scripts") == 0 ? LANGUAGES_MAX : 1;

    for (unsigned i = 0; i < count; i++) {
        if (count > 1)
            languages[i].script = &scripts[i];
        else
            languages[i].script = strcmp(name, "broad") == 0 ? &broad : &english;
        vocabulary_open(&languages[i].vocabulary, languages[i].script, seed);
    }
    return count;
}

static uint64_t parse_number(const char *text, uint64_t most)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);

    if (errno != 0 || *end != '\0' || end == text || number > most) {
        fprintf(stderr, "generate: not a number up to %llu: %s\n", (unsigned long long)most, text);
        exit(2);
    }
    return number;
}

static int is_known(const char *language)
{
    return strcmp(language, "english") == 0 || strcmp(language, "broad") == 0 ||
           strcmp(language, "scripts") == 0;
}

int main(int argc, char **argv)
{
    struct language languages[LANGUAGES_MAX];
    int exact = argc == 7 && strcmp(argv[6], "exact") == 0;

    if (argc != 6 + exact || !is_known(argv[1])) {
        fputs("usage: generate english|broad|scripts FOLDER SEED FILES BYTES [exact]\n", stderr);
        return 2;
    }
    uint64_t seed = parse_number(argv[3], UINT64_MAX);
    unsigned files = (unsigned)parse_number(argv[4], 1000000);
    uint64_t bytes = parse_number(argv[5], UINT64_C(1) << 40);
    double *sizes = calloc(files > 0 ? files : 1, sizeof(*sizes));

    must(sizes != NULL, "generate");
    if (!exact)
        draw_sizes(sizes, files, (double)bytes, seed);
    unsigned count = open_languages(languages, argv[1], seed);

    for (unsigned i = 0; i < files; i++)
        write_file(argv[2], i, &languages[i % count], seed,
                   exact ? bytes / files : (uint64_t)sizes[i], exact);
    for (unsigned i = 0; i < count; i++)
        vocabulary_close(&languages[i].vocabulary);
    free(sizes);
    return 0;
}
