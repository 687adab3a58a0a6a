/* SPDX-License-Identifier: Apache-2.0 */
/* Files of random words whose counts are known. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "soak.h"

enum { FILES = 60, LARGE = 3, WORDS_BITS = 13, LARGE_WORDS = 120000, WORD_MOST = 32 };

static struct texts texts;
static size_t capacity;
static pid_t owner;

/* Three letters that say which it is, and in some of them many more. */
static size_t write_word(unsigned number, char *word)
{
    size_t bytes = 3 + (number % 5 == 0 ? number % 20 : 0);

    word[0] = (char)('a' + number % LETTERS);
    word[1] = (char)('a' + number / LETTERS % LETTERS);
    word[2] = (char)('a' + number / LETTERS / LETTERS);
    memset(word + 3, 'x', bytes - 3);
    return bytes;
}

unsigned texts_find(const char *word, size_t bytes)
{
    char expected[WORD_MOST];
    unsigned number;

    if (bytes < 3 || !islower(word[0]) || !islower(word[1]) || !islower(word[2]))
        return VOCABULARY;
    number = (unsigned)(word[0] - 'a') + LETTERS * (unsigned)(word[1] - 'a') +
             LETTERS * LETTERS * (unsigned)(word[2] - 'a');
    if (number >= VOCABULARY || write_word(number, expected) != bytes ||
        memcmp(word, expected, bytes) != 0)
        return VOCABULARY;
    return number;
}

/* Some begin with a capital, and have signs around them that do not count. */
static size_t add_word(struct soak *soak, char *text)
{
    unsigned number = (unsigned)(draw(soak, VOCABULARY) * draw(soak, VOCABULARY) / VOCABULARY);
    size_t bytes = write_word(number, text);

    texts.words++;
    texts.counts[number]++;
    texts.initials[number % LETTERS]++;
    if (draw(soak, 8) == 0)
        text[0] = (char)toupper(text[0]);
    if (draw(soak, 8) == 0)
        text[bytes++] = ',';
    text[bytes++] = draw(soak, 10) == 0 ? '\n' : ' ';
    return bytes;
}

static void write_file(const struct soak *soak, const char *name, const char *bytes, size_t count)
{
    char path[sizeof(texts.folder) + 32];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", texts.folder, name);
    file = fopen(path, "wb");
    EXPECT(soak, file != NULL && fwrite(bytes, 1, count, file) == count && fclose(file) == 0,
           "cannot write %s", path);
}

static void remove_folder(void)
{
    char path[sizeof(texts.folder) + 280];
    struct dirent *entry;
    DIR *folder;

    free(texts.all);
    if (getpid() != owner || (folder = opendir(texts.folder)) == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", texts.folder, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(folder);
    rmdir(texts.folder);
}

const struct texts *texts_make(struct soak *soak)
{
    const char *place = getenv("TMPDIR");
    static const char bad[] = "not \xff UTF-8";

    snprintf(texts.folder, sizeof(texts.folder), "%s/forkfold-soak-XXXXXX",
             place != NULL && strlen(place) < sizeof(texts.folder) / 2 ? place : "/tmp");
    EXPECT(soak, mkdtemp(texts.folder) != NULL, "cannot make %s", texts.folder);
    owner = getpid();
    atexit(remove_folder);
    for (texts.files = 0; texts.files < FILES; texts.files++) {
        size_t words = texts.files < LARGE ? LARGE_WORDS : 1 + draw_size(soak, WORDS_BITS);
        size_t begin = texts.bytes;
        char name[16];

        if (capacity < begin + words * WORD_MOST) {
            capacity = 2 * (begin + words * WORD_MOST);
            texts.all = realloc(texts.all, capacity);
            EXPECT(soak, texts.all != NULL, "no memory for the texts");
        }
        for (size_t i = 0; i < words; i++)
            texts.bytes += add_word(soak, texts.all + texts.bytes);
        snprintf(name, sizeof(name), "%03u.txt", texts.files);
        write_file(soak, name, texts.all + begin, texts.bytes - begin);
    }
    write_file(soak, "bad.txt", bad, sizeof(bad) - 1);
    return &texts;
}
