/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/channel.h"
#include "platform/file.h"
#include "platform/kill_point.h"

enum spill_wish { WISH_OPEN, WISH_EMPTY_ALL };

struct question {
    uint32_t wish;
    uint32_t slot;
};

struct answer {
    int32_t system_error; /* 0, or why there is no descriptor with it */
};

static int *new_descriptors(unsigned count)
{
    int *descriptors = malloc(count * sizeof(*descriptors));

    for (unsigned i = 0; descriptors != NULL && i < count; i++)
        descriptors[i] = -1;
    return descriptors;
}

/* ---- Asking -------------------------------------------------------------- */

/* 0 with *fd, or -1 with errno. */
static int ask(const struct ff_spill_files *files, struct question question, int *fd)
{
    struct answer answer;
    int received = -1;

    if (ff_channel_send(files->channel, &question, sizeof(question), -1) == 0)
        received = ff_channel_receive(files->channel, &answer, sizeof(answer), fd, 1);
    if (received <= 0) {
        errno = EPIPE;
        return -1;
    }
    errno = answer.system_error;
    return answer.system_error == 0 ? 0 : -1;
}

int ff_spill_open(struct ff_spill_files *files, unsigned slot)
{
    if (files->descriptors == NULL)
        files->descriptors = new_descriptors(files->slots);
    if (files->descriptors == NULL) {
        errno = ENOMEM;
        return -1;
    }
    if (files->descriptors[slot] < 0 &&
        ask(files, (struct question){.wish = WISH_OPEN, .slot = slot}, &files->descriptors[slot]) <
            0)
        return -1;
    /* A process with too many files open gets the message without the descriptor. */
    if (files->descriptors[slot] < 0)
        errno = EMFILE;
    return files->descriptors[slot];
}

int ff_spill_empty(struct ff_spill_files *files)
{
    int none;

    return ask(files, (struct question){.wish = WISH_EMPTY_ALL}, &none);
}

void ff_spill_close(struct ff_spill_files *files)
{
    for (unsigned i = 0; files->descriptors != NULL && i < files->slots; i++)
        if (files->descriptors[i] >= 0)
            close(files->descriptors[i]);
    free(files->descriptors);
    files->descriptors = NULL;
}

/* ---- Answering ----------------------------------------------------------- */

int ff_spill_store_open(struct ff_spill_store *store, const struct ff_layout *layout)
{
    *store =
        (struct ff_spill_store){.layout = layout, .descriptors = new_descriptors(layout->workers)};
    return store->descriptors != NULL ? 0 : FORKFOLD_E_MEMORY;
}

static int open_file(struct ff_spill_store *store, unsigned slot)
{
    if (store->descriptors[slot] < 0) {
        store->descriptors[slot] = ff_file_open_unnamed(store->layout->spill_folder);
        FF_KILL_POINT("supervisor.spill.opened");
    }
    return store->descriptors[slot];
}

bool ff_spill_answer(struct ff_spill_store *store, int channel)
{
    struct question question;
    struct answer answer = {0};
    int unexpected;
    int fd = -1;
    int received = ff_channel_receive(channel, &question, sizeof(question), &unexpected, 0);

    if (received <= 0)
        return received < 0;
    if (question.wish == WISH_OPEN && question.slot < store->layout->workers) {
        fd = open_file(store, question.slot);
        answer.system_error = fd >= 0 ? 0 : errno;
    } else {
        for (unsigned slot = 0; slot < store->layout->workers; slot++)
            if (store->descriptors[slot] >= 0)
                ff_file_empty(store->descriptors[slot]);
    }
    /* Who asked waits for one answer, so there is room for it; or is dead. */
    (void)ff_channel_send(channel, &answer, sizeof(answer), fd);
    return true;
}

/* ---- Explaining ---------------------------------------------------------- */

void ff_spill_explain(const struct ff_layout *layout, const char *what, int system_error,
                      char *text, size_t text_bytes)
{
    const char *way_out = "name a folder where it can be written by TMPDIR, or allow more memory";

    if (system_error == ENOSPC || system_error == EDQUOT)
        way_out = "free space there, name a roomier folder by TMPDIR, or allow more memory";
    else if (system_error == EFBIG)
        way_out = "raise the limit of file sizes (ulimit -f), or allow more memory";
    else if (system_error == EMFILE || system_error == ENFILE)
        way_out = "raise the limit of open files (ulimit -n), or allow more memory";
    /* Of a long name the end says most, and the way out must not be cut off. */
    static const char format[] = "cannot %s what does not fit in memory in '%s%s': %s; %s";
    const char *folder = layout->spill_folder;
    const char *reason = strerror(system_error);
    int others = snprintf(NULL, 0, format, what, "...", "", reason, way_out);
    size_t room = others >= 0 && (size_t)others < text_bytes ? text_bytes - 1 - (size_t)others : 0;
    size_t length = strlen(folder);
    bool is_cut = length > room;

    snprintf(text, text_bytes, format, what, is_cut ? "..." : "",
             is_cut ? folder + length - room : folder, reason, way_out);
}
