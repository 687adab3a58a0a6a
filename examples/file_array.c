/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared arrays in files, which may be larger than memory: workers write a new one where it lies,
 * and then it is read like one that somebody else has left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <forkfold.h>

enum { PARTS = 64, EACH = 1 << 14 };

/* The context holds the address of the array, which is the same in all processes. */
static int write_halves(const forkfold_item *item)
{
    double *part = *(double *const *)item->context + item->index * EACH;

    for (uint64_t i = 0; i < EACH; i++)
        part[i] = (double)(item->index * EACH + i) / 2;
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    char path[512], message[256];
    forkfold_file_options created = {
        .path = path, .access = FORKFOLD_FILE_CREATE, .type = FORKFOLD_F64, .count = PARTS * EACH};
    forkfold_file_options read_again = {.path = path, .type = FORKFOLD_F64};
    forkfold_call_options options = {.function = write_halves, .count = PARTS};
    forkfold_shared *shared;
    forkfold_call *call;
    double sum = 0;

    snprintf(path, sizeof(path), "%s/halves-%ld", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
             (long)getpid());
    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_shared_open_file(pool, &created, &shared) < 0) {
        fprintf(stderr, "file_array: %s\n", pool ? forkfold_pool_message(pool) : message);
        return 1;
    }
    options.context = &(void *){forkfold_shared_data(shared)};
    options.context_bytes = sizeof(void *);
    options.outputs[0] = shared;
    if (forkfold_map(pool, &options, &call) == 0)
        forkfold_call_close(call);
    forkfold_shared_close(shared); /* the file stays */
    if (forkfold_shared_open_file(pool, &read_again, &shared) == 0) {
        forkfold_numbers numbers = {forkfold_shared_data(shared), FORKFOLD_F64, PARTS * EACH};

        forkfold_sum_floats(pool, &numbers, &sum);
        forkfold_shared_close(shared);
    }
    unlink(path);
    printf("%s: %.1f\n", sum > 0 ? "the file adds up" : forkfold_pool_message(pool), sum);
    return sum > 0 ? 0 : 1;
}
