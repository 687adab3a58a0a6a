/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/merge.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/record.h"

/* ---- The contest --------------------------------------------------------- */

static struct ff_contender contender_of(const struct ff_contest *contest, size_t source)
{
    const struct ff_entry *head = contest->heads[source];
    struct ff_contender made = {.major = UINT64_MAX, .minor = UINT64_MAX, .source = source};

    if (head != NULL && contest->order == FF_BY_RANK)
        made =
            (struct ff_contender){.major = ~head->count, .minor = head->prefix, .source = source};
    else if (head != NULL)
        made = (struct ff_contender){.major = head->prefix, .minor = 0, .source = source};
    return made;
}

/* Whether a comes first, where the words do not tell. */
static bool wins_tie(const struct ff_contest *contest, size_t a, size_t b)
{
    const struct ff_entry *left = contest->heads[a];
    const struct ff_entry *right = contest->heads[b];
    int order;

    if (left == NULL || right == NULL)
        return right == NULL && (left != NULL || a < b);
    order = ff_entry_compare(left, right, contest->order);
    return order != 0 ? order < 0 : a < b;
}

/*
 * Leaves the one that comes first in winner and the other in loser.  Nobody can foresee which it is,
 * so there is no branch but for ties.
 */
static inline void play(const struct ff_contest *contest, struct ff_contender *winner,
                        struct ff_contender *loser)
{
    bool is_tie = winner->major == loser->major && winner->minor == loser->minor;
    bool changes = loser->major < winner->major ||
                   (loser->major == winner->major && loser->minor < winner->minor);

    if (__builtin_expect(is_tie, false))
        changes = wins_tie(contest, loser->source, winner->source);

    uint64_t mask = -(uint64_t)changes;
    uint64_t major = (winner->major ^ loser->major) & mask;
    uint64_t minor = (winner->minor ^ loser->minor) & mask;
    uint64_t source = (winner->source ^ loser->source) & mask;

    winner->major ^= major;
    loser->major ^= major;
    winner->minor ^= minor;
    loser->minor ^= minor;
    winner->source ^= source;
    loser->source ^= source;
}

static int contest_open(struct ff_contest *contest, size_t source_count, enum ff_order order)
{
    *contest = (struct ff_contest){.source_count = source_count, .order = order};
    if (source_count > UINT_MAX)
        return FORKFOLD_E_LIMIT;
    contest->heads = calloc(source_count + 1, sizeof(const struct ff_entry *));
    contest->losers = calloc(source_count + 1, sizeof(*contest->losers));
    return contest->heads != NULL && contest->losers != NULL ? 0 : FORKFOLD_E_MEMORY;
}

/* Plays all matches from a place of the tree on; returns who has won there. */
static struct ff_contender play_all(struct ff_contest *contest, size_t place)
{
    struct ff_contender winner;

    if (place >= contest->source_count)
        return contender_of(contest, place - contest->source_count);
    winner = play_all(contest, 2 * place);
    contest->losers[place] = play_all(contest, 2 * place + 1);
    play(contest, &winner, &contest->losers[place]);
    return winner;
}

/* When every source has its head. */
static void contest_begin(struct ff_contest *contest)
{
    contest->left = 0;
    for (size_t source = 0; source < contest->source_count; source++)
        contest->left += contest->heads[source] != NULL;
    if (contest->source_count > 0)
        contest->losers[0] = play_all(contest, 1);
}

/* The source with the first head, while one is left. */
static inline size_t contest_winner(const struct ff_contest *contest)
{
    return contest->losers[0].source;
}

/* The winner got its next head, NULL when it is exhausted. */
static inline void contest_go_on(struct ff_contest *contest, const struct ff_entry *head)
{
    size_t source = contest_winner(contest);
    struct ff_contender winner;

    contest->heads[source] = head;
    contest->left -= head == NULL;
    winner = contender_of(contest, source);
    for (size_t place = (contest->source_count + source) / 2; place > 0; place /= 2)
        play(contest, &winner, &contest->losers[place]);
    contest->losers[0] = winner;
}

static void contest_close(struct ff_contest *contest)
{
    free(contest->heads);
    free(contest->losers);
}

/* ---- Runs in memory ------------------------------------------------------ */

int ff_merge_init(struct ff_merge *merge, const struct ff_run *runs, size_t run_count)
{
    struct ff_merge made = {.runs = runs, .run_count = run_count};
    int code = contest_open(&made.contest, run_count, FF_BY_RANK);

    made.entries = calloc(run_count + 1, sizeof(*made.entries));
    made.next = calloc(run_count + 1, sizeof(const unsigned char *));
    if (code == 0 && (made.entries == NULL || made.next == NULL))
        code = FORKFOLD_E_MEMORY;
    if (code < 0) {
        ff_merge_free(&made);
        return code;
    }
    ff_merge_rewind(&made);
    *merge = made;
    return 0;
}

/* Reads the next entry of a run; false when there is none. */
static bool read_entry(struct ff_merge *merge, size_t run)
{
    if (merge->next[run] >= merge->runs[run].records + merge->runs[run].bytes)
        return false;
    merge->next[run] = ff_record_get(merge->next[run], &merge->entries[run]);
    return true;
}

void ff_merge_rewind(struct ff_merge *merge)
{
    for (size_t run = 0; run < merge->run_count; run++) {
        merge->next[run] = merge->runs[run].records;
        merge->contest.heads[run] = read_entry(merge, run) ? &merge->entries[run] : NULL;
    }
    contest_begin(&merge->contest);
}

const struct ff_entry *ff_merge_next(struct ff_merge *merge)
{
    struct ff_contest *contest = &merge->contest;
    size_t run;

    if (contest->left == 0)
        return NULL;
    run = contest_winner(contest);
    merge->entry = merge->entries[run];
    contest_go_on(contest, read_entry(merge, run) ? &merge->entries[run] : NULL);
    return &merge->entry;
}

void ff_merge_free(struct ff_merge *merge)
{
    contest_close(&merge->contest);
    free(merge->entries);
    free(merge->next);
    *merge = (struct ff_merge){0};
}

/* ---- Partials in files --------------------------------------------------- */

int ff_file_merge_open(struct ff_file_merge *merge, struct ff_partial_reader *readers, size_t count,
                       enum ff_order order)
{
    struct ff_contest *contest = &merge->contest;
    int code;

    *merge = (struct ff_file_merge){.readers = readers};
    code = contest_open(contest, count, order);
    for (size_t i = 0; i < count && code == 0; i++) {
        int more = ff_partial_reader_next(&readers[i]);

        if (more < 0) {
            merge->failed = i;
            return more;
        }
        contest->heads[i] = more > 0 ? &readers[i].entry : NULL;
    }
    if (code == 0)
        contest_begin(contest);
    return code;
}

/* Goes on in the source of the entry that comes next. */
static int advance(struct ff_file_merge *merge)
{
    size_t source = contest_winner(&merge->contest);
    struct ff_partial_reader *reader = &merge->readers[source];
    int more = ff_partial_reader_next(reader);

    if (more < 0) {
        merge->failed = source;
        return more;
    }
    contest_go_on(&merge->contest, more > 0 ? &reader->entry : NULL);
    return 0;
}

/* A copy of its own, for the reader is about to go on. */
static int keep_entry(struct ff_file_merge *merge, struct ff_entry *entry)
{
    *entry = *merge->contest.heads[contest_winner(&merge->contest)];
    /* The empty key is no null pointer either. */
    if (merge->key.size <= entry->key_bytes) {
        unsigned char *grown = realloc(merge->key.bytes, entry->key_bytes * 2 + 1);

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        merge->key.bytes = grown;
        merge->key.size = entry->key_bytes * 2 + 1;
    }
    if (entry->key_bytes > 0)
        memcpy(merge->key.bytes, entry->key, entry->key_bytes);
    entry->key = (const char *)merge->key.bytes;
    return advance(merge);
}

int ff_file_merge_next(struct ff_file_merge *merge, struct ff_entry *entry)
{
    struct ff_contest *contest = &merge->contest;
    int code;

    if (contest->left == 0)
        return 0;
    code = keep_entry(merge, entry);
    while (code == 0 && contest->order == FF_BY_KEY && contest->left > 0) {
        const struct ff_entry *head = contest->heads[contest_winner(contest)];

        if (head == NULL || ff_entry_compare(head, entry, FF_BY_KEY) != 0)
            break;
        code = ff_combine(merge->combiner, entry->count, head->count, &entry->count);
        if (code == 0)
            code = advance(merge);
    }
    return code < 0 ? code : 1;
}

void ff_file_merge_close(struct ff_file_merge *merge)
{
    contest_close(&merge->contest);
    free(merge->key.bytes);
    *merge = (struct ff_file_merge){0};
}
