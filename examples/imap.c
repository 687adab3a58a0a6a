/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_imap: results in the order of the items, read while later ones are computed.  Each item
 * is a row of a picture; buffer_items bounds the rows that wait in the pool for their turn.
 */
#include <stdio.h>

#include <forkfold.h>

enum { WIDTH = 64, HEIGHT = 24, ROUNDS = 2000 };

static char shade(double x, double y)
{
    double re = 0, im = 0, next;
    int round = 0;

    for (; round < ROUNDS && re * re + im * im < 4; round++) {
        next = re * re - im * im + x;
        im = 2 * re * im + y;
        re = next;
    }
    return round == ROUNDS ? '#' : round > 8 ? '+' : round > 4 ? ':' : '.';
}

/* Of the Mandelbrot set.  There is no array: the number of the item says which row it is. */
static int draw_row(const forkfold_item *item)
{
    double y = -1.2 + 2.4 * ((double)item->index + 0.5) / HEIGHT;
    char *row = item->result;

    for (int column = 0; column < WIDTH; column++)
        row[column] = shade(-2.25 + 3.0 * column / WIDTH, y);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_call_options options = {.function = draw_row,
                                     .count = HEIGHT,
                                     .result_bytes = WIDTH,
                                     .buffer_items = 8,
                                     .stop_on_failure = 1};
    forkfold_call *call;
    forkfold_result row;
    char message[256];
    int more;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_imap(pool, &options, &call) < 0) {
        fprintf(stderr, "imap: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    while ((more = forkfold_call_next(call, &row)) > 0)
        printf("%.*s\n", WIDTH, (const char *)row.data);
    if (more < 0)
        fprintf(stderr, "imap: %s\n", forkfold_pool_message(pool));
    forkfold_call_close(call);
    return more < 0;
}
