/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_multiply_matrices: where a random walk on a ring of rooms is after 1024 steps.  The matrix
 * of one step is squared ten times; in shared arrays the workers reach it without a copy.
 */
#include <stdio.h>

#include <forkfold.h>

enum { ROOMS = 512, SQUARINGS = 10 };

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_shared *shared[2];
    forkfold_matrix step[2];
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0) {
        fprintf(stderr, "matrices: %s\n", message);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        if (forkfold_shared_open(pool, FORKFOLD_F64, ROOMS * ROOMS, &shared[i]) < 0) {
            fprintf(stderr, "matrices: %s\n", forkfold_pool_message(pool));
            return 1;
        }
        step[i] = forkfold_matrix_of(forkfold_shared_data(shared[i]), FORKFOLD_F64, ROOMS, ROOMS);
    }
    double *next = step[0].data;

    for (int room = 0; room < ROOMS; room++) {
        next[room * ROOMS + (room + 1) % ROOMS] = 0.5;
        next[room * ROOMS + (room + ROOMS - 1) % ROOMS] = 0.5;
    }
    for (int i = 0; i < SQUARINGS; i++) {
        if (forkfold_multiply_matrices(pool, &step[i % 2], &step[i % 2], &step[(i + 1) % 2]) < 0) {
            fprintf(stderr, "matrices: %s\n", forkfold_pool_message(pool));
            return 1;
        }
    }
    next = step[SQUARINGS % 2].data;
    for (int room = 0; room <= 100; room += 20)
        printf("%3d rooms away: %.6f\n", room, next[room]);
    for (int i = 0; i < 2; i++)
        forkfold_shared_close(shared[i]);
    return 0;
}
