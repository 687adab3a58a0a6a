/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_map_curve: the area below x * x + sin(x) * cos(x), by Simpson's rule. */
#include <stdio.h>

#include <forkfold.h>

enum { STEPS = 100000 }; /* an even number */

static const double end = 2;
static const double exact = 3.0800775718825694; /* 8 / 3 + sin(2) * sin(2) / 2 */

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_shared *shared;
    double *x, *y, area = 0;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_shared_open(pool, FORKFOLD_F64, 2 * (STEPS + 1), &shared) < 0) {
        fprintf(stderr, "curve: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    x = forkfold_shared_data(shared);
    y = x + STEPS + 1;
    for (int i = 0; i <= STEPS; i++)
        x[i] = end * i / STEPS;
    if (forkfold_map_curve(pool, x, STEPS + 1, y) < 0) {
        fprintf(stderr, "curve: %s\n", forkfold_pool_message(pool));
        return 1;
    }
    for (int i = 0; i < STEPS; i += 2)
        area += (y[i] + 4 * y[i + 1] + y[i + 2]) * end / STEPS / 3;
    printf("from 0 to %g: %.9f, exactly %.9f\n", end, area, exact);
    forkfold_shared_close(shared);
    return 0;
}
