/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What driver and workers ask of the supervisor, each over a channel of its own: files, which have
 * to outlive whoever opened or uses them.
 *
 *   worker or driver                        supervisor
 *     a question, maybe with a file  ------>  does it
 *     waits                          <------  an answer, maybe with a file
 *
 * Whoever waits is answered, or sees the channel close: if the supervisor dies, its workers do too,
 * and the driver reports it; if it is stopped, the driver ends it.  If a worker dies anywhere here, the next one of its slot asks again.
 */
#ifndef FF_POOL_QUESTION_H
#define FF_POOL_QUESTION_H

#include <stdint.h>

enum ff_wish {
    FF_WISH_SPILL_FILE,  /* the file of slot `number` for what does not fit in memory (spill.h) */
    FF_WISH_EMPTY_SPILL, /* all of these are to be emptied */
    FF_WISH_KEEP_FILE,   /* from the driver: the file that comes along is `number` (files.h) */
    FF_WISH_FORGET_FILE, /* likewise: it is needed no more; there is no answer */
    FF_WISH_FILE         /* that file, if it is still `serial` */
};

struct ff_question {
    uint32_t wish; /* enum ff_wish */
    uint32_t number;
    uint64_t serial;
};

/* A supervisor that does not answer the driver for so long, because somebody stopped it, is ended. */
enum { FF_ANSWER_PATIENCE_MS = 3000 };

/* What a process asks by. */
struct ff_asker {
    int channel;    /* its own, to the supervisor */
    int supervisor; /* its pidfd, for the driver, or -1: a worker goes when the supervisor does */
};

/*
 * Asks and waits; given is a descriptor that goes along, or -1, and stays the caller's.  0 with *fd,
 * which is -1 if none came with the answer; or -1 with errno: the supervisor's, or EPIPE when it has
 * died.
 */
int ff_question_ask(const struct ff_asker *asker, struct ff_question question, int given, int *fd);

/* Asks what has no answer; if the supervisor takes no messages now, not at all. */
void ff_question_tell(const struct ff_asker *asker, struct ff_question question);

/* ---- The supervisor's half ----------------------------------------------- */

/* 1 with a question and the descriptor that came with it or -1; 0 when the other end is closed; or -1. */
int ff_question_receive(int channel, struct ff_question *question, int *given);

/* An errno value or 0, and a descriptor to go along or -1. */
void ff_question_answer(int channel, int system_error, int fd);

#endif
