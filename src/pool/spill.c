/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/event.h"
#include "platform/file.h"
#include "platform/futex.h"
#include "platform/kill_point.h"

/* What a word of layout->spills says: nothing yet, a descriptor of the supervisor, or an error. */
static uint32_t encode_descriptor(int fd)
{
    return ((uint32_t)fd + 1) << 1;
}

static uint32_t encode_error(int error)
{
    return (uint32_t)error << 1 | 1;
}

static int *descriptor_of(struct ff_spill_files *files, unsigned slot)
{
    if (files->descriptors == NULL) {
        files->descriptors = malloc(files->layout->workers * sizeof(*files->descriptors));
        for (unsigned i = 0; files->descriptors != NULL && i < files->layout->workers; i++)
            files->descriptors[i] = -1;
    }
    return files->descriptors != NULL ? &files->descriptors[slot] : NULL;
}

int ff_spill_open(struct ff_spill_files *files, unsigned slot)
{
    uint32_t word = ff_snapshot32(&files->layout->spills[slot]);
    int *descriptor = descriptor_of(files, slot);

    if (descriptor == NULL || word == 0 || (word & 1) != 0) {
        errno = descriptor == NULL ? ENOMEM : word == 0 ? ENOENT : (int)(word >> 1);
        return -1;
    }
    if (*descriptor < 0)
        *descriptor = ff_file_open_of(files->supervisor, (int)(word >> 1) - 1);
    return *descriptor;
}

int ff_spill_demand(struct ff_spill_files *files, unsigned slot)
{
    const struct ff_layout *layout = files->layout;

    if (ff_snapshot32(&layout->spills[slot]) == 0) {
        ff_announce(&layout->segments[slot].head->wants_spill, 1);
        FF_KILL_POINT("worker.spill.asked");
        ff_doorbell_ring(layout->supervisor_bell);
        while (ff_snapshot32(&layout->spills[slot]) == 0)
            ff_futex_wait(&layout->spills[slot], 0);
    }
    return ff_spill_open(files, slot);
}

void ff_spill_close(struct ff_spill_files *files)
{
    for (unsigned i = 0; files->descriptors != NULL && i < files->layout->workers; i++)
        if (files->descriptors[i] >= 0)
            close(files->descriptors[i]);
    free(files->descriptors);
    files->descriptors = NULL;
}

void ff_spill_serve(const struct ff_layout *layout)
{
    for (unsigned slot = 0; slot < layout->workers; slot++) {
        int fd;

        if (ff_recheck(&layout->segments[slot].head->wants_spill) == 0 ||
            ff_snapshot32(&layout->spills[slot]) != 0)
            continue;
        fd = ff_file_open_unnamed(layout->spill_folder);
        FF_KILL_POINT("supervisor.spill.opened");
        ff_set32(&layout->spills[slot], fd >= 0 ? encode_descriptor(fd) : encode_error(errno));
        ff_futex_wake_all(&layout->spills[slot]);
    }
}

void ff_spill_reset(struct ff_spill_files *files)
{
    for (unsigned slot = 0; slot < files->layout->workers; slot++) {
        uint32_t word = ff_snapshot32(&files->layout->spills[slot]);

        if ((word & 1) != 0)
            ff_set32(&files->layout->spills[slot], 0);
        else if (word != 0 && ff_spill_open(files, slot) >= 0)
            ff_file_empty(files->descriptors[slot]);
    }
}

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
    snprintf(text, text_bytes, "cannot %s what does not fit in memory in '%s': %s; %s", what,
             layout->spill_folder, strerror(system_error), way_out);
}
