/* SPDX-License-Identifier: Apache-2.0 */
/* Word counts, and functions of files. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

enum { SMALL_MEMORY_BYTES = 4 * 1024 * 1024, TASKS_LEAST = 50 };

/* ---- Words --------------------------------------------------------------- */

static void check_words(const struct soak *soak, forkfold_words *words)
{
    uint64_t counts[VOCABULARY] = {0};
    const forkfold_words_totals *totals = forkfold_words_get_totals(words);
    forkfold_word word;
    int more;

    while ((more = forkfold_words_next(words, &word)) == 1) {
        unsigned number = texts_find(word.key, word.key_bytes);

        EXPECT(soak, number < VOCABULARY && counts[number] == 0, "what word is %.*s?",
               (int)word.key_bytes, word.key);
        counts[number] = word.count;
    }
    MUST(soak, more);
    for (unsigned i = 0; i < VOCABULARY; i++)
        EXPECT(soak, counts[i] == soak->texts->counts[i],
               "word %u occurs %" PRIu64 " times instead of %" PRIu64, i, counts[i],
               soak->texts->counts[i]);
    EXPECT(soak, totals->words == soak->texts->words && totals->bytes == soak->texts->bytes,
           "other totals");
}

static forkfold_words_options draw_words(struct soak *soak)
{
    return (forkfold_words_options){.split_bytes =
                                        draw(soak, 2) == 0 ? 0 : 1000 + draw_size(soak, 20),
                                    .retries_plus_one = ATTEMPTS,
                                    .max_deaths = ATTEMPTS};
}

void soak_words(struct soak *soak)
{
    const char *path = soak->texts->folder;
    forkfold_words_options options = draw_words(soak);
    const forkfold_failure *failure;
    forkfold_words *words;

    options.paths = &path;
    options.path_count = 1;
    MUST(soak, forkfold_count_words(soak->pool, &options, &words, NULL));
    check_words(soak, words);
    failure = forkfold_words_failure(words, 0);
    EXPECT(soak,
           failure != NULL && failure->reason == FORKFOLD_REASON_DECODE &&
               forkfold_words_failure(words, 1) == NULL &&
               forkfold_words_get_totals(words)->files == soak->texts->files,
           "the failures are not that of one file: %s", failure == NULL ? "none" : failure->detail);
    forkfold_words_close(words);
}

/* In own memory, or in a shared array. */
void soak_text(struct soak *soak)
{
    forkfold_words_options options = draw_words(soak);
    const char *text = soak->texts->all;
    forkfold_shared *shared = NULL;
    forkfold_words *words;

    if (draw(soak, 2) == 0) {
        MUST(soak, forkfold_shared_open(soak->pool, FORKFOLD_RAW, soak->texts->bytes, &shared));
        text = memcpy(forkfold_shared_data(shared), text, soak->texts->bytes);
    }
    MUST(soak, forkfold_count_text(soak->pool, text, soak->texts->bytes, &options, &words));
    check_words(soak, words);
    forkfold_words_close(words);
    forkfold_shared_close(shared);
}

/* ---- Functions of files -------------------------------------------------- */

static int add_initials(const forkfold_text *text, forkfold_table *table)
{
    for (size_t i = 0; i < text->bytes; i++) {
        char initial = (char)tolower(text->data[i]);

        if (isalpha(initial) && (i == 0 || isspace(text->data[i - 1])) &&
            forkfold_table_add(table, &initial, 1, 1) < 0)
            return 1;
    }
    return 0;
}

static forkfold_job draw_job(struct soak *soak, forkfold_map_text *map)
{
    return (forkfold_job){.map = map,
                          .ordered = draw(soak, 2) == 0,
                          .buffer_files = (unsigned)draw_size(soak, 6),
                          .retries_plus_one = ATTEMPTS};
}

static void check_totals(const struct soak *soak, const forkfold_aggregate *aggregate)
{
    const forkfold_aggregate_totals *totals = forkfold_aggregate_get_totals(aggregate);

    EXPECT(soak,
           totals->files == soak->texts->files && totals->files_failed == 1 &&
               totals->bytes == soak->texts->bytes,
           "%" PRIu64 " files, %" PRIu64 " failed, %" PRIu64 " bytes", totals->files,
           totals->files_failed, totals->bytes);
}

void soak_keyed(struct soak *soak)
{
    forkfold_job job = draw_job(soak, add_initials);
    forkfold_aggregate *aggregate;
    forkfold_value value;
    unsigned keys = 0;
    int more;

    job.ordered = 0;
    job.buffer_files = 0;
    MUST(soak, forkfold_process_directory(soak->pool, soak->texts->folder, &job, &aggregate));
    check_totals(soak, aggregate);
    for (; (more = forkfold_aggregate_next(aggregate, &value)) == 1; keys++) {
        char initial = *(const char *)value.key;

        EXPECT(soak,
               value.key_bytes == 1 && islower(initial) &&
                   (uint64_t)value.value == soak->texts->initials[initial - 'a'],
               "%c: %" PRId64, initial, value.value);
    }
    MUST(soak, more);
    EXPECT(soak, keys == LETTERS, "%u letters", keys);
    forkfold_aggregate_close(aggregate);
}

static int count_spaces(const forkfold_text *text, forkfold_table *unused)
{
    uint64_t *count = forkfold_text_reserve(text, sizeof(*count));

    (void)unused;
    if (count == NULL)
        return forkfold_text_fail(text, "no room");
    *count = 0;
    for (size_t i = 0; i < text->bytes; i++)
        *count += isspace(text->data[i]) != 0;
    return 0;
}

struct total {
    uint64_t words;
    unsigned files;
    unsigned disorder;
    char last[sizeof(((struct texts *)NULL)->folder) + 32];
};

static int add_up(void *user_total, const forkfold_text_result *result, void *unused)
{
    struct total *total = user_total;

    (void)unused;
    total->words += *(const uint64_t *)result->data;
    total->files++;
    total->disorder += strcmp(total->last, result->path) >= 0;
    snprintf(total->last, sizeof(total->last), "%s", result->path);
    return 0;
}

void soak_free(struct soak *soak)
{
    forkfold_job job = draw_job(soak, count_spaces);
    struct total total = {0};
    forkfold_aggregate *aggregate;

    job.aggregate = add_up;
    job.total = &total;
    MUST(soak, forkfold_process_directory(soak->pool, soak->texts->folder, &job, &aggregate));
    check_totals(soak, aggregate);
    forkfold_aggregate_close(aggregate);
    EXPECT(soak, total.files == soak->texts->files && total.words == soak->texts->words,
           "%" PRIu64 " words in %u files", total.words, total.files);
    EXPECT(soak, !job.ordered || total.disorder == 0, "the files are not in order");
}

/* ---- Another pool -------------------------------------------------------- */

/* Beside the first, which it stands in for: its workers are killed meanwhile.  It counts with little
 * memory, and its workers make room for others. */
void soak_second_pool(struct soak *soak)
{
    forkfold_pool *first = soak->pool;
    unsigned workers = soak->workers;
    forkfold_pool_options options = {.workers = 1 + (unsigned)draw(soak, workers),
                                     .max_deaths = ATTEMPTS,
                                     .memory_bytes = SMALL_MEMORY_BYTES,
                                     .spill_folder = soak->texts->folder,
                                     .tasks_per_worker =
                                         draw(soak, 2) == 0 ? 0 : TASKS_LEAST + draw_size(soak, 8)};
    forkfold_pool *second;
    char message[256];

    EXPECT(soak, forkfold_pool_open(&second, &options, message, sizeof(message)) == 0, "%s",
           message);
    killer_pause();
    soak->pool = second;
    soak->workers = options.workers;
    killer_resume();
    soak_map(soak);
    soak_words(soak);
    killer_pause();
    soak->pool = first;
    soak->workers = workers;
    killer_resume();
    forkfold_pool_close(second);
}
