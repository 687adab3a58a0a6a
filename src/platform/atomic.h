/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs by which processes share words.  Memory orders are written here
 * and nowhere else.
 *
 *   own_set / peer_get   A word with one writer, read by others as a hint, or
 *                        read after its writer is known to be dead: nothing
 *                        else is ordered by it.  The kernel orders a dead
 *                        process's stores before its pidfd turns readable, so
 *                        for the reader of a corpse the plain order of the
 *                        program (ff_keep_order) is enough.
 *   publish / observe    publish makes everything stored before it visible to
 *                        whoever observes the new value.  Without the release
 *                        an observer could see the word and old bytes behind
 *                        it; without the acquire it could have read the bytes
 *                        before the word.
 *   own_set8, publish8, observe8
 *                        The same for a byte, of which there may be one for each of many things.
 *   observe_all          A fence: whatever was read before it counts as observed.  For bytes that are
 *                        looked through many at a time, and for what a look at another word, behind
 *                        it, has to confirm.
 *   announce / recheck   For two processes that each store one word and then
 *                        read the other's (sleeping and work, joined and
 *                        closing).  Sequentially consistent: with less, both
 *                        could read the old values and both go on.
 *   settle               A fence for the same where the word that is stored is published, and the
 *                        one that is read is the other's announcement, or the other way round.
 *   settle_swapped       The same where between the two this process has made a successful swap_if:
 *                        nothing more on processors whose atomic operations are fences.
 *   take_next / take_if  Claims: one atomic operation hands out a number to
 *                        exactly one process.  Acquire-release, so that who
 *                        sees the cursor past a claim also sees what the
 *                        claimer announced before it.
 *   take_some            The same for several numbers at once, as many as the caller says.
 *   tally                A sum that all add to: no addition is lost, and nothing else is ordered.
 *   swap_if / set_bits / take_bits
 *                        Likewise, where the whole value decides.  Sequentially consistent, so that
 *                        they are announcements, too.
 */
#ifndef FF_PLATFORM_ATOMIC_H
#define FF_PLATFORM_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t ff_word64;
typedef _Atomic uint32_t ff_word32;
typedef _Atomic unsigned char ff_word8;

/* The order of the program is the order in memory, as far as this process's own death can tell. */
static inline void ff_keep_order(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void ff_own_set(ff_word64 *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline uint64_t ff_peer_get(const ff_word64 *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void ff_publish(ff_word64 *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline uint64_t ff_observe(const ff_word64 *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void ff_own_set8(ff_word8 *byte, unsigned char value)
{
    atomic_store_explicit(byte, value, memory_order_relaxed);
}

static inline void ff_publish8(ff_word8 *byte, unsigned char value)
{
    atomic_store_explicit(byte, value, memory_order_release);
}

static inline unsigned char ff_observe8(const ff_word8 *byte)
{
    return (unsigned char)atomic_load_explicit(byte, memory_order_acquire);
}

static inline void ff_observe_all(void)
{
    atomic_thread_fence(memory_order_acquire);
}

static inline void ff_announce(ff_word64 *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_seq_cst);
}

static inline uint64_t ff_recheck(const ff_word64 *word)
{
    return atomic_load_explicit(word, memory_order_seq_cst);
}

static inline void ff_settle(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* Behind swap_if, where that is a fence already. */
static inline void ff_settle_swapped(void)
{
#if defined(__x86_64__) || defined(__i386__)
    ff_keep_order();
#else
    ff_settle();
#endif
}

static inline uint64_t ff_take_next(ff_word64 *cursor)
{
    return atomic_fetch_add_explicit(cursor, 1, memory_order_acq_rel);
}

static inline uint64_t ff_take_some(ff_word64 *cursor, uint64_t count)
{
    return atomic_fetch_add_explicit(cursor, count, memory_order_acq_rel);
}

/* Returns what was there before. */
static inline uint64_t ff_tally(ff_word64 *sum, uint64_t amount)
{
    return atomic_fetch_add_explicit(sum, amount, memory_order_relaxed);
}

static inline bool ff_take_if(ff_word64 *cursor, uint64_t *expected)
{
    return atomic_compare_exchange_weak_explicit(cursor, expected, *expected + 1,
                                                 memory_order_acq_rel, memory_order_acquire);
}

static inline bool ff_swap_if(ff_word64 *word, uint64_t *expected, uint64_t value)
{
    return atomic_compare_exchange_strong_explicit(word, expected, value, memory_order_seq_cst,
                                                   memory_order_acquire);
}

static inline void ff_set_bits(ff_word64 *word, uint64_t bits)
{
    atomic_fetch_or_explicit(word, bits, memory_order_seq_cst);
}

/* Leaves 0, and returns what was there. */
static inline uint64_t ff_take_bits(ff_word64 *word)
{
    return atomic_exchange_explicit(word, 0, memory_order_seq_cst);
}

/* Between two looks at a word that another process is about to change. */
static inline void ff_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The word that sleepers wait on (platform/futex.h). */
static inline uint32_t ff_snapshot32(const ff_word32 *word)
{
    return atomic_load_explicit(word, memory_order_seq_cst);
}

static inline void ff_bump32(ff_word32 *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_seq_cst);
}

#endif
