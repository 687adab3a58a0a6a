/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up words of many scripts, with the lengths and frequencies of real ones.
 *
 * The same seed gives the same words everywhere: nothing here depends on the
 * C library's mathematics or random numbers, only on integers and on the four
 * operations and the square root, which IEEE 754 defines to the last bit.
 */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include <stdint.h>
#include <uchar.h>

enum { WORD_BYTES_MAX = 160 };

struct range {
    char32_t first;
    char32_t last;
    char32_t step; /* 0 stands for 1 */
};

/* How words of one script look, and the text that they are set in. */
struct script {
    const char *name;
    const char32_t *vowels; /* with consonants: the two alternate, else letters has them all */
    const char32_t *consonants;
    struct range letters[3];
    struct range marks[3]; /* signs that are no letters, set upon mark_percent of the letters */
    unsigned mark_percent;
    unsigned word_count;
    unsigned length_base;    /* letters of the most frequent word, in quarters */
    unsigned length_slope;   /* what each doubling of the rank adds, in sixteenths */
    unsigned length_noise;   /* more or less than that, in letters */
    unsigned phrase_words;   /* so many words at most stand together; 0 stands for 1 */
    unsigned quirk_permille; /* words with an apostrophe or a hyphen inside */
    const char *comma;
    const char *stop;
};

struct random {
    uint64_t state;
};

struct vocabulary {
    char *text;
    uint32_t *starts; /* count + 1 of them */
    uint32_t count;
    uint32_t *threshold; /* Walker's alias method: word i, or alias[i] above the threshold */
    uint32_t *alias;
};

struct random random_open(uint64_t seed, uint64_t stream);
uint32_t random_below(struct random *random, uint32_t bound);

/* Ends the program when memory is short, as do all here. */
void vocabulary_open(struct vocabulary *vocabulary, const struct script *script, uint64_t seed);
void vocabulary_close(struct vocabulary *vocabulary);

/* A word's number, small ones far more often. */
uint32_t vocabulary_draw(const struct vocabulary *vocabulary, struct random *random);

/* Writes one character as UTF-8; returns its bytes. */
unsigned put_character(char *to, char32_t character);

/* Writes the word with its first letter in upper case, where the script has one; returns its
 * bytes.  to must have room for WORD_BYTES_MAX + 3. */
unsigned put_capitalised(char *to, const char *word, unsigned bytes);

void must(int holds, const char *what);

#endif
