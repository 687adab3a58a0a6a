/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/file.h"
#include "platform/kill_point.h"

static int *new_descriptors(unsigned count)
{
    int *descriptors = malloc(count * sizeof(*descriptors));

    for (unsigned i = 0; descriptors != NULL && i < count; i++)
        descriptors[i] = -1;
    return descriptors;
}

/* ---- Asking -------------------------------------------------------------- */

int ff_spill_open(struct ff_spill_files *files, const struct ff_asker *asker, unsigned slot)
{
    if (files->descriptors == NULL)
        files->descriptors = new_descriptors(files->slots);
    if (files->descriptors == NULL) {
        errno = ENOMEM;
        return -1;
    }
    if (files->descriptors[slot] < 0 &&
        ff_question_ask(asker, (struct ff_question){.wish = FF_WISH_SPILL_FILE, .number = slot}, -1,
                        &files->descriptors[slot]) < 0)
        return -1;
    /* A process with too many files open gets the message without the descriptor. */
    if (files->descriptors[slot] < 0)
        errno = EMFILE;
    return files->descriptors[slot];
}

int ff_spill_empty(const struct ff_asker *asker)
{
    int none;

    return ff_question_ask(asker, (struct ff_question){.wish = FF_WISH_EMPTY_SPILL}, -1, &none);
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

int ff_spill_store_file(struct ff_spill_store *store, unsigned slot)
{
    if (slot >= store->layout->workers) {
        errno = EINVAL;
        return -1;
    }
    if (store->descriptors[slot] < 0) {
        store->descriptors[slot] = ff_file_open_unnamed(store->layout->spill_folder);
        FF_KILL_POINT("supervisor.spill.opened");
    }
    return store->descriptors[slot];
}

void ff_spill_store_empty(struct ff_spill_store *store)
{
    for (unsigned slot = 0; slot < store->layout->workers; slot++)
        if (store->descriptors[slot] >= 0)
            ff_file_empty(store->descriptors[slot]);
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
