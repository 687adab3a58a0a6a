/* SPDX-License-Identifier: Apache-2.0 */
/* Mapped files, as workers and the supervisor have them; the driver's half is shared_file.c. */
#include "pool/files.h"

#include <errno.h>
#include <unistd.h>

#include "platform/kill_point.h"
#include "platform/map.h"

/* ---- In a worker --------------------------------------------------------- */

/* What an entry says, of one file; false when there is none, or it is changing. */
static bool read_entry(const struct ff_file_shared *file, struct ff_file_mapping *mapping,
                       uint64_t *offset)
{
    mapping->serial = ff_observe(&file->serial);
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a word that is read whole, or not at all */
    mapping->area.base = (char *)(uintptr_t)ff_observe(&file->base);
    mapping->area.bytes = ff_observe(&file->bytes);
    *offset = ff_observe(&file->offset);
    /* Partner: publish() in shared_file.c.  Whatever is being written comes with another bump. */
    return mapping->serial != 0 && ff_peer_get(&file->serial) == mapping->serial;
}

/* Before anything is mapped: a new file may have the addresses of an old one. */
static int vacate_closed(const struct ff_files_shared *shared, struct ff_file_mappings *mappings,
                         unsigned *failed)
{
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++) {
        struct ff_file_mapping *mapping = &mappings->files[i];

        if (mapping->serial == 0 || ff_observe(&shared->files[i].serial) == mapping->serial)
            continue;
        *failed = i;
        if (ff_map_vacate(mapping->area.base, mapping->area.bytes) != 0)
            return -1;
        mapping->serial = 0;
    }
    return 0;
}

/* 0, also when the file has been closed meanwhile. */
static int map_one(const struct ff_asker *asker, unsigned number,
                   const struct ff_file_mapping *wanted, uint64_t offset,
                   struct ff_file_mapping *mapping)
{
    struct ff_question question = {
        .wish = FF_WISH_FILE, .number = number, .serial = wanted->serial};
    int fd = -1;
    int code;
    int cause;

    FF_KILL_POINT("worker.file.ask");
    if (ff_question_ask(asker, question, -1, &fd) != 0)
        return errno == ESTALE ? 0 : -1;
    /* A process with too many files open gets the message without the descriptor. */
    errno = EMFILE;
    if (fd < 0)
        return -1;
    code = ff_map_file(wanted->area.base, wanted->area.bytes, fd, offset, false);
    cause = errno;
    close(fd);
    errno = cause;
    if (code == 0)
        *mapping = *wanted;
    FF_KILL_POINT("worker.file.mapped");
    return code;
}

static int map_new(const struct ff_files_shared *shared, struct ff_file_mappings *mappings,
                   const struct ff_asker *asker, unsigned *failed)
{
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++) {
        struct ff_file_mapping wanted;
        uint64_t offset;

        *failed = i;
        if (mappings->files[i].serial == 0 && read_entry(&shared->files[i], &wanted, &offset) &&
            map_one(asker, i, &wanted, offset, &mappings->files[i]) != 0)
            return -1;
    }
    return 0;
}

int ff_files_follow(const struct ff_files_shared *shared, struct ff_file_mappings *mappings,
                    const struct ff_asker *asker, unsigned *failed)
{
    /* First, so that what changes meanwhile is looked at again. */
    uint64_t changes = ff_observe(&shared->changes);

    if (vacate_closed(shared, mappings, failed) != 0 ||
        map_new(shared, mappings, asker, failed) != 0)
        return -1;
    mappings->followed = mappings->vacated = changes;
    return 0;
}

void ff_files_vacate(const struct ff_files_shared *shared, struct ff_file_mappings *mappings)
{
    uint64_t changes = ff_observe(&shared->changes);
    unsigned failed;

    /* What fails is tried again, and told, by ff_files_follow(). */
    if (changes != mappings->vacated && vacate_closed(shared, mappings, &failed) == 0)
        mappings->vacated = changes;
}

/* ---- In the supervisor --------------------------------------------------- */

static void drop(struct ff_file_store *store, uint32_t number)
{
    if (store->serials[number] != 0)
        close(store->descriptors[number]);
    store->serials[number] = 0;
}

int ff_file_store_keep(struct ff_file_store *store, const struct ff_question *question, int *given)
{
    if (question->number >= FORKFOLD_FILES_MAX || question->serial == 0)
        return EINVAL;
    /* What a process with too many files open is sent gets lost. */
    if (*given < 0)
        return EMFILE;
    drop(store, question->number);
    store->descriptors[question->number] = *given;
    store->serials[question->number] = question->serial;
    *given = -1;
    FF_KILL_POINT("supervisor.file.kept");
    return 0;
}

void ff_file_store_forget(struct ff_file_store *store, const struct ff_question *question)
{
    if (question->number < FORKFOLD_FILES_MAX &&
        store->serials[question->number] == question->serial)
        drop(store, question->number);
}

int ff_file_store_find(const struct ff_file_store *store, const struct ff_question *question)
{
    if (question->number < FORKFOLD_FILES_MAX && question->serial != 0 &&
        store->serials[question->number] == question->serial)
        return store->descriptors[question->number];
    errno = ESTALE;
    return -1;
}
