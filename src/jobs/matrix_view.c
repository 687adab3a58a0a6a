/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/matrix_view.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide;

bool ff_matrix_find_extent(const forkfold_matrix *matrix, struct ff_matrix_extent *extent)
{
    wide bytes = (wide)forkfold_type_bytes(matrix->type);
    wide down = ((wide)matrix->rows - 1) * matrix->row_stride;
    wide across = ((wide)matrix->columns - 1) * matrix->column_stride;
    wide first =
        (wide)(uintptr_t)matrix->data + bytes * ((down < 0 ? down : 0) + (across < 0 ? across : 0));
    wide end = (wide)(uintptr_t)matrix->data +
               bytes * ((down > 0 ? down : 0) + (across > 0 ? across : 0) + 1);

    *extent = (struct ff_matrix_extent){0};
    if ((wide)matrix->rows * (wide)matrix->columns * bytes > PTRDIFF_MAX)
        return false;
    if (ff_matrix_is_empty(matrix))
        return true;
    if (first < 0 || end > (wide)UINTPTR_MAX || end - first > PTRDIFF_MAX)
        return false;
    *extent = (struct ff_matrix_extent){.first = (const char *)matrix->data +
                                                 (ptrdiff_t)(first - (wide)(uintptr_t)matrix->data),
                                        .bytes = (uint64_t)(end - first)};
    return true;
}

bool ff_matrix_extents_overlap(const struct ff_matrix_extent *a, const struct ff_matrix_extent *b)
{
    uintptr_t a_first = (uintptr_t)a->first;
    uintptr_t b_first = (uintptr_t)b->first;

    return a_first < b_first + b->bytes && b_first < a_first + a->bytes;
}

static uint64_t distance(int64_t stride)
{
    return stride < 0 ? -(uint64_t)stride : (uint64_t)stride;
}

/* Whether lines of length elements, so far apart, stay clear of each other. */
static bool are_apart(uint64_t lines, int64_t from_line, uint64_t length, int64_t step)
{
    wide line = (wide)(length - 1) * (wide)distance(step);

    return (length == 1 || step != 0) && (lines == 1 || (wide)distance(from_line) > line);
}

bool ff_matrix_is_disjoint(const forkfold_matrix *matrix)
{
    if (ff_matrix_is_empty(matrix))
        return true;
    return are_apart(matrix->rows, matrix->row_stride, matrix->columns, matrix->column_stride) ||
           are_apart(matrix->columns, matrix->column_stride, matrix->rows, matrix->row_stride);
}

/* Of a single line the stride between lines says nothing. */
bool ff_matrix_runs_down(const forkfold_matrix *matrix)
{
    if (matrix->columns <= 1 || matrix->rows <= 1)
        return matrix->columns <= 1 && matrix->rows > 1;
    return distance(matrix->row_stride) < distance(matrix->column_stride);
}

/* The stride that lines of length elements can have for OpenBLAS; 0 when they have none. */
static int line_stride(uint64_t lines, int64_t from_line, uint64_t length, int64_t step)
{
    if (length > 1 && step != 1)
        return 0;
    if (lines == 1)
        return (int)length;
    return from_line >= (int64_t)length && from_line <= INT_MAX ? (int)from_line : 0;
}

bool ff_matrix_as_operand(const forkfold_matrix *matrix, struct ff_blas_operand *operand)
{
    int across =
        line_stride(matrix->rows, matrix->row_stride, matrix->columns, matrix->column_stride);
    int down =
        line_stride(matrix->columns, matrix->column_stride, matrix->rows, matrix->row_stride);

    *operand = (struct ff_blas_operand){
        .data = matrix->data, .stride = across > 0 ? across : down, .is_transposed = across == 0};
    return operand->stride > 0;
}

forkfold_matrix ff_matrix_packed(const forkfold_matrix *matrix, void *data)
{
    forkfold_matrix turned = forkfold_matrix_of(data, matrix->type, matrix->columns, matrix->rows);

    if (ff_matrix_runs_down(matrix))
        return forkfold_matrix_transposed(&turned);
    return forkfold_matrix_of(data, matrix->type, matrix->rows, matrix->columns);
}

/* ---- Copies -------------------------------------------------------------- */

static void copy_line(const forkfold_matrix *to, uint64_t to_line, const forkfold_matrix *from,
                      uint64_t from_line)
{
    uint64_t length = to->columns;
    int64_t to_step = to->column_stride;
    int64_t from_step = from->column_stride;
    int64_t to_start = (int64_t)to_line * to->row_stride;
    int64_t from_start = (int64_t)from_line * from->row_stride;

    if (to->type == FORKFOLD_F64) {
        double *out = (double *)to->data + to_start;
        const double *in = (const double *)from->data + from_start;

        if (to_step == 1 && from_step == 1)
            memcpy(out, in, length * sizeof(*out));
        else
            for (int64_t i = 0; i < (int64_t)length; i++)
                out[i * to_step] = in[i * from_step];
    } else {
        float *out = (float *)to->data + to_start;
        const float *in = (const float *)from->data + from_start;

        if (to_step == 1 && from_step == 1)
            memcpy(out, in, length * sizeof(*out));
        else
            for (int64_t i = 0; i < (int64_t)length; i++)
                out[i * to_step] = in[i * from_step];
    }
}

void ff_matrix_copy(const forkfold_matrix *to, const forkfold_matrix *from)
{
    forkfold_matrix rows_to = *to;
    forkfold_matrix rows_from = *from;

    if (ff_matrix_runs_down(from)) {
        rows_to = forkfold_matrix_transposed(to);
        rows_from = forkfold_matrix_transposed(from);
    }
    for (uint64_t line = 0; line < rows_to.rows && rows_to.columns > 0; line++)
        copy_line(&rows_to, line, &rows_from, line);
}

void ff_matrix_clear(const forkfold_matrix *matrix)
{
    static const double zero; /* of either type */
    forkfold_matrix zeros = *matrix;

    zeros.data = (void *)&zero;
    zeros.row_stride = zeros.column_stride = 0;
    ff_matrix_copy(matrix, &zeros);
}
