/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accesses need no step of their own is found out: those to words that nobody else accesses,
 * and looks at words that nobody else changes.  As long as it is found out, the search is repeated.
 */
#include <assert.h>
#include <string.h>

#include "engine.h"

enum { WORDS_MAX = 1 << 14 };

/* Of each word that was ever accessed: by which processes, a bit each. */
static struct sharing {
    const volatile void *word;
    uint32_t readers;
    uint32_t writers;
} sharings[WORDS_MAX];
static unsigned sharing_count;
static bool has_learnt;

static struct sharing *find_sharing(const volatile void *word)
{
    size_t at = (uintptr_t)word * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (;; at++) {
        struct sharing *sharing = &sharings[at % WORDS_MAX];

        if (sharing->word == NULL) {
            sharing_count++;
            assert(sharing_count < WORDS_MAX / 2);
            sharing->word = word;
        }
        if (sharing->word == word)
            return sharing;
    }
}

bool engine_is_shared(const struct op *op)
{
    struct sharing *sharing = find_sharing(op->word);
    uint32_t bit = UINT32_C(1) << model_self();
    bool writes = op->kind != OP_LOAD;
    uint32_t *set = writes ? &sharing->writers : &sharing->readers;

    if ((*set & bit) == 0)
        has_learnt = true;
    *set |= bit;
    return ((sharing->writers | (writes ? sharing->readers : 0)) & ~bit) != 0;
}

bool engine_has_learnt(void)
{
    bool learnt = has_learnt;

    has_learnt = false;
    return learnt;
}

void engine_forget_words(void)
{
    memset(sharings, 0, sizeof(sharings));
    sharing_count = 0;
}
