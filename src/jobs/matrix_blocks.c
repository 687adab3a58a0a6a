/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A product is cut into blocks, one item each: a worker multiplies some rows of the left matrix by
 * some columns of the right one, and writes the block where it belongs.
 *
 * If a small product of long sums gives too few blocks, its sums are cut, too: then an item is a
 * block of some columns of the left matrix by as many rows of the right one, and the driver adds
 * those up, in order.
 */
#include "jobs/matrix_blocks.h"

#include <string.h>

#include <forkfold/call.h>

#include "pool/call.h"
#include "pool/shared_array.h"

enum {
    PROBLEM_BYTES = 400,
    /* Narrower ones take more time to be made ready than to be multiplied. */
    BLOCK_LEAST = 64,
    /* What the inner loops of OpenBLAS take at once divides it. */
    BLOCK_STEP = 16,
    /* Of blocks with so many elements a worker may get more than one, so that all end together. */
    BLOCK_WANTED = 768 * 768,
    BLOCKS_PER_WORKER = 4,
    /* Sums of fewer products are not cut. */
    SLICE_LEAST = 512
};

/* A side of the product, or its sums, cut into parts of one length but for the last. */
struct cut {
    uint64_t length;
    uint64_t parts;
};

/* The context of the call.  Items go through the blocks of a row, the rows, and the slices. */
struct blocks {
    struct ff_blas_call whole;
    struct cut rows;
    struct cut columns;
    struct cut depth; /* more than one part of it: items have results */
};

/* Where a block lies, and how large it is. */
struct place {
    uint64_t row;
    uint64_t column;
    uint64_t term;
    int rows;
    int columns;
    int depth;
};

static uint64_t block_count(const struct blocks *blocks)
{
    return blocks->rows.parts * blocks->columns.parts * blocks->depth.parts;
}

static int length_of(const struct cut *cut, uint64_t start, int all)
{
    uint64_t left = (uint64_t)all - start;

    return (int)(left < cut->length ? left : cut->length);
}

static struct place place_of(const struct blocks *blocks, uint64_t item)
{
    uint64_t above = item / blocks->columns.parts;
    struct place place = {.row = above % blocks->rows.parts * blocks->rows.length,
                          .column = item % blocks->columns.parts * blocks->columns.length,
                          .term = above / blocks->rows.parts * blocks->depth.length};

    place.rows = length_of(&blocks->rows, place.row, blocks->whole.rows);
    place.columns = length_of(&blocks->columns, place.column, blocks->whole.columns);
    place.depth = length_of(&blocks->depth, place.term, blocks->whole.depth);
    return place;
}

static char *element_of_product(const struct ff_blas_call *whole, uint64_t row, uint64_t column)
{
    return (char *)whole->product +
           (row * (uint64_t)whole->product_stride + column) * forkfold_type_bytes(whole->type);
}

/* ---- In the workers ------------------------------------------------------ */

static const void *element(const struct ff_blas_operand *operand, enum forkfold_type type,
                           uint64_t row, uint64_t column)
{
    uint64_t stride = (uint64_t)operand->stride;
    uint64_t place = operand->is_transposed ? column * stride + row : row * stride + column;

    return (const char *)operand->data + place * forkfold_type_bytes(type);
}

static int multiply_block(const forkfold_item *item)
{
    const struct blocks *blocks = item->context;
    struct place place = place_of(blocks, item->index);
    struct ff_blas_call call = blocks->whole;
    char problem[PROBLEM_BYTES];

    if (ff_blas_load(problem, sizeof(problem)) < 0)
        return forkfold_item_fail(item, "%s", problem);
    call.rows = place.rows;
    call.columns = place.columns;
    call.depth = place.depth;
    call.left.data = element(&call.left, call.type, place.row, place.term);
    call.right.data = element(&call.right, call.type, place.term, place.column);
    if (item->result != NULL) {
        call.product = item->result;
        call.product_stride = call.columns;
    } else {
        call.product = element_of_product(&call, place.row, place.column);
    }
    ff_blas_multiply(&call);
    return 0;
}

/* ---- Cutting ------------------------------------------------------------- */

/* Into so many parts, or fewer, none of which but the last is shorter than least. */
static struct cut cut_evenly(int all, uint64_t wanted, uint64_t least)
{
    uint64_t most = (uint64_t)all / least;
    uint64_t parts = wanted < most ? wanted : most;
    uint64_t length = parts > 1 ? ((uint64_t)all - 1) / parts + 1 : (uint64_t)all;

    length = (length + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP;
    return (struct cut){.length = length, .parts = ((uint64_t)all - 1) / length + 1};
}

/* For each block its part of both factors is made ready anew, so they are few and large. */
static uint64_t blocks_wanted(const struct ff_blas_call *whole, unsigned workers)
{
    uint64_t each = (uint64_t)whole->rows * (uint64_t)whole->columns / BLOCK_WANTED / workers;

    if (each < 1)
        return workers;
    return workers * (each < BLOCKS_PER_WORKER ? each : BLOCKS_PER_WORKER);
}

/*
 * The longer side is cut first, the other one only if that does not give enough blocks, and the sums
 * only if both do not.
 */
static void cut_product(struct blocks *blocks, unsigned workers)
{
    const struct ff_blas_call *whole = &blocks->whole;
    bool is_tall = whole->rows >= whole->columns;
    struct cut *first = is_tall ? &blocks->rows : &blocks->columns;
    struct cut *second = is_tall ? &blocks->columns : &blocks->rows;
    uint64_t wanted = blocks_wanted(whole, workers);

    *first = cut_evenly(is_tall ? whole->rows : whole->columns, wanted, BLOCK_LEAST);
    *second = cut_evenly(is_tall ? whole->columns : whole->rows, (wanted - 1) / first->parts + 1,
                         BLOCK_LEAST);
    blocks->depth = (struct cut){.length = (uint64_t)whole->depth, .parts = 1};
    blocks->depth = cut_evenly(whole->depth, workers / block_count(blocks), SLICE_LEAST);
}

/* ---- In the driver ------------------------------------------------------- */

static void add_row(enum forkfold_type type, void *sums, const void *terms, int count)
{
    if (type == FORKFOLD_F64)
        for (int i = 0; i < count; i++)
            ((double *)sums)[i] += ((const double *)terms)[i];
    else
        for (int i = 0; i < count; i++)
            ((float *)sums)[i] += ((const float *)terms)[i];
}

static void add_block(const struct ff_blas_call *whole, const struct place *place,
                      const char *terms)
{
    size_t row_bytes = (size_t)place->columns * forkfold_type_bytes(whole->type);

    for (int i = 0; i < place->rows; i++, terms += row_bytes) {
        void *sums = element_of_product(whole, place->row + (uint64_t)i, place->column);

        if (place->term == 0)
            memcpy(sums, terms, row_bytes);
        else
            add_row(whole->type, sums, terms, place->columns);
    }
}

int ff_matrix_multiply_blocks(forkfold_pool *pool, const struct ff_blas_call *whole)
{
    struct blocks blocks = {.whole = *whole};
    size_t each = forkfold_type_bytes(whole->type);
    uint64_t elements =
        (uint64_t)(whole->rows - 1) * (uint64_t)whole->product_stride + (uint64_t)whole->columns;
    forkfold_shared output = ff_shared_pages(pool, whole->product, elements * each);
    forkfold_call_options options = {.function = multiply_block,
                                     .chunk = 1,
                                     .context = &blocks,
                                     .context_bytes = sizeof(blocks),
                                     .stop_on_failure = 1};
    forkfold_call *call = NULL;
    bool is_sliced;
    int code;

    cut_product(&blocks, forkfold_pool_workers(pool));
    is_sliced = blocks.depth.parts > 1;
    options.count = block_count(&blocks);
    if (is_sliced)
        options.result_bytes = blocks.rows.length * blocks.columns.length * each;
    else
        options.outputs[0] = &output;
    code = forkfold_map(pool, &options, &call);
    for (uint64_t i = 0; i < options.count && code == 0 && is_sliced; i++) {
        struct place place = place_of(&blocks, i);

        add_block(whole, &place,
                  (const char *)forkfold_call_results(call) + i * options.result_bytes);
    }
    forkfold_call_close(call);
    return code;
}
