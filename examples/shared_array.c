/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared arrays: the workers read one and write another where they lie, and nothing is copied.  Each
 * item is a row of a picture, of which the function finds the edges.
 */
#include <stdio.h>
#include <stdlib.h>

#include <forkfold.h>

enum { WIDTH = 1920, HEIGHT = 1080, PIXELS = WIDTH * HEIGHT };

/* The context holds the address of the output, which is the same in all processes. */
static int find_edges(const forkfold_item *item)
{
    const uint8_t *row = item->arguments[0];
    uint8_t *edges = *(uint8_t *const *)item->context + item->index * WIDTH;

    for (int x = 1; x < WIDTH; x++)
        edges[x] = (uint8_t)abs(row[x] - row[x - 1]);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_call_options options = {
        .function = find_edges, .count = HEIGHT, .array_count = 1, .stop_on_failure = 1};
    forkfold_shared *input, *output;
    uint8_t *picture, *edges;
    forkfold_call *call;
    char message[256];
    unsigned sum = 0;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_shared_open(pool, FORKFOLD_U8, PIXELS, &input) < 0 ||
        forkfold_shared_open(pool, FORKFOLD_U8, PIXELS, &output) < 0) {
        fprintf(stderr, "shared_array: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    picture = forkfold_shared_data(input);
    edges = forkfold_shared_data(output);
    for (int i = 0; i < PIXELS; i++)
        picture[i] = (uint8_t)(i % WIDTH / 8);
    options.arrays[0] = (forkfold_array){.data = picture, .item_bytes = WIDTH};
    options.outputs[0] = output;
    options.context = &edges;
    options.context_bytes = sizeof(edges);
    if (forkfold_map(pool, &options, &call) < 0) {
        fprintf(stderr, "shared_array: %s\n", forkfold_pool_message(pool));
        return 1;
    }
    forkfold_call_close(call);
    for (int i = 0; i < PIXELS; i++)
        sum += edges[i];
    printf("%u of %d pixels are edges\n", sum, PIXELS);
    forkfold_shared_close(output);
    forkfold_shared_close(input);
    return 0;
}
