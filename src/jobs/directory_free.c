/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free aggregation: a pipeline of one stage.  A batch is the path of a file, which the stage reads
 * and gives to the map function; what comes out is folded here, and goes.  So files are found while
 * others are read, and what is not folded yet is bounded by the depth of the pipeline.
 *
 * What the map function says of a file, and what reading it says, comes out as an answer; that a
 * worker died is among the failures of the pipeline.
 */
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/pipeline.h"
#include "jobs/directory.h"
#include "jobs/path_list.h"
#include "platform/clock.h"
#include "pool/failure.h"

enum { BUFFER_FILES = 64, BUFFER_FILES_PER_WORKER = 16, BUFFER_FILES_MAX = 1 << 16 };

/* How often the driver looks up from listing directories, in files. */
enum { FILES_PER_LOOK = 256 };

/* A batch. */
struct request {
    uint64_t file_bytes; /* when it was found; 0 = not known */
    char path[];         /* NUL-terminated */
};

/* A file on its way. */
struct traveller {
    char *path;
    size_t path_bytes;
    size_t room;
};

struct free_job {
    forkfold_pool *pool;
    const forkfold_job *job;
    struct forkfold_aggregate *aggregate;
    struct ff_discover *discover;
    struct ff_path_list list; /* of all files, if they are to come in order */
    size_t next_in_list;
    struct traveller *travellers; /* of each place in the pipeline; batch n has place n % depth */
    unsigned depth;
    uint64_t sent;
    struct request *request; /* the one that was made last */
    size_t request_room;
    forkfold_pipeline *pipeline;
    struct ff_error source_error; /* why finding files ended */
    uint64_t deadline_at_ns;
    uint64_t next_tick_ns;
    forkfold_progress progress;
};

/* ---- In the workers ------------------------------------------------------ */

/* A file that failed, or has no result, says so. */
static int answer(const forkfold_item *item, enum ff_answer_kind kind, uint64_t file_bytes,
                  const struct ff_item_failure *failure)
{
    size_t failure_bytes = kind == FF_ANSWER_FAILED ? sizeof(*failure) : 0;
    struct ff_answer *answer = forkfold_item_reserve(item, sizeof(*answer) + failure_bytes);

    if (answer == NULL)
        return forkfold_item_fail(item, "the region has no room for what came of it");
    *answer = (struct ff_answer){.kind = kind, .file_bytes = file_bytes};
    if (failure_bytes > 0)
        memcpy(answer->data, failure, failure_bytes);
    return 0;
}

static int read_and_map(const forkfold_item *item)
{
    static struct ff_file_text file = {.folder.fd = -1}; /* one thread, one item at a time */
    const struct request *request = item->arguments[0];
    struct ff_item_failure failure = {.byte_offset = -1};
    struct ff_running_text running = {
        .text.path = request->path, .item = item, .failure = &failure};
    int status = ff_file_text_read(&file, "", request->path, request->file_bytes, &failure);

    /* The next request may lie where this one does. */
    ff_read_leave(&file.folder);
    if (status < 0) {
        ff_failure_set(&failure, FORKFOLD_REASON_MEMORY, 0, -1, "a worker ran out of memory");
        status = FF_ITEM_FAILED;
    }
    if (status == FF_ITEM_DONE)
        status = ff_directory_map(item->context, &file, &running, NULL);
    if (status != FF_ITEM_DONE)
        return answer(item, FF_ANSWER_FAILED, 0, &failure);
    return running.has_result ? 0 : answer(item, FF_ANSWER_NOTHING, file.bytes, NULL);
}

/* ---- Failures ------------------------------------------------------------ */

static int fail_for_memory(forkfold_pool *pool)
{
    return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the list of files");
}

static int add_failure(struct free_job *work, const forkfold_failure *failure)
{
    if (ff_failure_list_add(&work->aggregate->failures, failure) < 0)
        return fail_for_memory(work->pool);
    work->progress.files_failed++;
    if (work->job->stop_on_failure == 0)
        return 0;
    return ff_error_set(&work->pool->error, FORKFOLD_E_STOPPED, "an input failed: %s: %s",
                        failure->path, failure->detail);
}

/* ---- Finding files ------------------------------------------------------- */

static int add_unreadable(struct free_job *work, const struct ff_found *found)
{
    forkfold_failure failure = ff_failure_of(ff_failure_text("%s", found->path));

    ff_failure_tell_found(&failure, found);
    return add_failure(work, &failure);
}

static int check_deadline(const struct free_job *work)
{
    if (work->deadline_at_ns == 0 || ff_call_clock_ns(work->pool) < work->deadline_at_ns)
        return 0;
    return ff_error_set(&work->pool->error, FORKFOLD_E_DEADLINE,
                        "the deadline passed before all files were found");
}

/* 1 with the next file, 0 at the end, or a code with the pool's error. */
static int find_file(struct free_job *work, struct ff_found *found)
{
    int more;

    while ((more = ff_discover_next(work->discover, found)) > 0) {
        int code = 0;

        if (found->kind == FF_FOUND_FAILED)
            code = add_unreadable(work, found);
        else if (found->kind == FF_FOUND_NOTHING)
            code = check_deadline(work);
        else
            break;
        if (code < 0)
            return code;
    }
    if (more < 0)
        return ff_error_set(&work->pool->error, more, "no memory to list directories");
    if (more > 0) {
        work->progress.files_found++;
        work->progress.bytes_found += found->size;
    }
    return more;
}

static void tick(struct free_job *work)
{
    const struct ff_supervisor_shared *supervisor = work->pool->layout.supervisor;
    const struct forkfold_call *call =
        work->pipeline != NULL ? ff_pipeline_call(work->pipeline, 0) : NULL;
    uint64_t now = ff_clock_ns();

    if (work->job->progress_ns == 0 || now < work->next_tick_ns)
        return;
    work->next_tick_ns = now + work->job->progress_ns;
    if (call != NULL && call->ended_ns == 0) {
        work->progress.retries = ff_peer_get(&supervisor->retries) - call->retries;
        work->progress.deaths = ff_peer_get(&supervisor->deaths) - call->deaths;
    }
    work->job->on_progress(&work->progress, work->job->progress_context);
}

/* All files, in order: nothing of them is read before. */
static int list_files(struct free_job *work)
{
    struct ff_found found;
    unsigned since_look = 0;
    int more;

    while ((more = find_file(work, &found)) > 0) {
        if (ff_path_list_add(&work->list, found.path, found.path_bytes, found.size) < 0)
            return fail_for_memory(work->pool);
        if (++since_look < FILES_PER_LOOK)
            continue;
        since_look = 0;
        more = forkfold_pool_dispatch(work->pool);
        if (more == 0)
            more = check_deadline(work);
        if (more < 0)
            return more;
        tick(work);
    }
    work->progress.discovering = 0;
    if (more == 0)
        ff_path_list_sort(&work->list);
    return more;
}

/* 1, 0 or a code as find_file. */
static int next_file(struct free_job *work, struct ff_found *found)
{
    int more;

    if (work->job->ordered == 0) {
        more = find_file(work, found);
        if (more == 0)
            work->progress.discovering = 0;
        return more;
    }
    if (work->next_in_list == work->list.count)
        return 0;
    *found = ff_path_list_at(&work->list, work->next_in_list++);
    return 1;
}

/* ---- The pipeline's input ------------------------------------------------- */

/* Who comes back as this batch. */
static int note_traveller(struct free_job *work, const struct ff_found *found)
{
    struct traveller *traveller = &work->travellers[work->sent % work->depth];

    if (traveller->room <= found->path_bytes) {
        char *grown = realloc(traveller->path, found->path_bytes * 2 + 1);

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        traveller->path = grown;
        traveller->room = found->path_bytes * 2 + 1;
    }
    memcpy(traveller->path, found->path, found->path_bytes);
    traveller->path[found->path_bytes] = '\0';
    traveller->path_bytes = found->path_bytes;
    work->sent++;
    return 0;
}

static int make_request(struct free_job *work, const struct ff_found *found, size_t *bytes)
{
    *bytes = sizeof(*work->request) + found->path_bytes + 1;
    if (work->request_room < *bytes) {
        void *grown = realloc(work->request, *bytes * 2);

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        work->request = grown;
        work->request_room = *bytes * 2;
    }
    work->request->file_bytes = found->size;
    memcpy(work->request->path, found->path, found->path_bytes);
    work->request->path[found->path_bytes] = '\0';
    return 0;
}

static int send_next(void *user, const void **batch, size_t *bytes)
{
    struct free_job *work = user;
    struct ff_found found;
    int more = next_file(work, &found);

    if (more > 0 && (make_request(work, &found, bytes) < 0 || note_traveller(work, &found) < 0))
        more = fail_for_memory(work->pool);
    if (more < 0)
        work->source_error = work->pool->error;
    *batch = work->request;
    return more;
}

/* ---- Its output ----------------------------------------------------------- */

/* Of a batch whose worker died or had no room to answer. */
static int take_item_failure(struct free_job *work, const struct traveller *traveller,
                             uint64_t index)
{
    const forkfold_item_failure *from = NULL;
    forkfold_failure failure;
    size_t number = forkfold_pipeline_failure_count(work->pipeline, 0);

    while (number > 0) {
        from = forkfold_pipeline_failure(work->pipeline, 0, --number);
        if (from->index == index)
            break;
    }
    if (from == NULL || from->index != index)
        return ff_error_set(&work->pool->error, FORKFOLD_E_DAMAGED,
                            "nobody knows why '%s' failed; there is no result", traveller->path);
    failure = ff_failure_of(ff_failure_text("%s", traveller->path));
    failure.reason = from->reason;
    failure.detail = ff_failure_text("%s", from->detail);
    failure.signal = from->signal;
    failure.exit_code = from->exit_code;
    failure.has_address = from->has_address;
    failure.address = from->address;
    failure.attempts = from->attempts;
    if (from->backtrace != NULL)
        failure.backtrace = ff_failure_text("%s", from->backtrace);
    return add_failure(work, &failure);
}

static int take_answered_failure(struct free_job *work, const struct traveller *traveller,
                                 const struct ff_answer *answer)
{
    forkfold_failure failure = ff_failure_of(ff_failure_text("%s", traveller->path));
    struct ff_item_failure from;

    memcpy(&from, answer->data, sizeof(from));
    ff_failure_tell(&failure, &from);
    return add_failure(work, &failure);
}

static int fold(struct free_job *work, const struct traveller *traveller,
                const struct ff_answer *answer, size_t bytes)
{
    forkfold_text_result result = {.path = traveller->path,
                                   .path_bytes = traveller->path_bytes,
                                   .data = answer->data,
                                   .bytes = bytes};
    int code = work->job->aggregate(work->job->total, &result, work->job->user);

    if (code != 0)
        return ff_error_set(&work->pool->error, FORKFOLD_E_CANCELLED,
                            "the aggregate function returned %d for '%s'", code, traveller->path);
    work->aggregate->totals.results++;
    return 0;
}

/* Workers write answers: what they say is not believed before it is looked at. */
static int take_answer(struct free_job *work, const struct traveller *traveller,
                       const struct ff_answer *answer, size_t bytes)
{
    forkfold_aggregate_totals *totals = &work->aggregate->totals;
    size_t data_bytes = bytes - sizeof(*answer);

    if (bytes >= sizeof(*answer) && answer->kind == FF_ANSWER_FAILED &&
        data_bytes == sizeof(struct ff_item_failure))
        return take_answered_failure(work, traveller, answer);
    if (bytes < sizeof(*answer) ||
        (answer->kind != FF_ANSWER_RESULT && answer->kind != FF_ANSWER_NOTHING))
        return ff_error_set(&work->pool->error, FORKFOLD_E_DAMAGED,
                            "a worker damaged its result of '%s'; there is no result",
                            traveller->path);
    totals->files++;
    totals->bytes += answer->file_bytes;
    work->progress.bytes_done += answer->file_bytes;
    return answer->kind == FF_ANSWER_RESULT ? fold(work, traveller, answer, data_bytes) : 0;
}

static int take(struct free_job *work, const forkfold_result *result)
{
    const struct traveller *traveller = &work->travellers[result->index % work->depth];

    work->progress.files_done++;
    if (result->failed)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): close_work() frees the travellers */
        return take_item_failure(work, traveller, result->index);
    return take_answer(work, traveller, result->data, result->bytes);
}

/* ---- The whole ----------------------------------------------------------- */

static void wait_with_ticks(struct free_job *work)
{
    bool has_come;

    if (work->job->progress_ns == 0)
        return;
    do {
        has_come = ff_pipeline_wait(work->pipeline, work->next_tick_ns);
        tick(work);
    } while (!has_come);
}

/* 0 when all is folded, or a code with the pool's error. */
static int fold_all(struct free_job *work)
{
    forkfold_result result;
    int code;

    do {
        wait_with_ticks(work);
        code = forkfold_pipeline_next(work->pipeline, &result);
        if (code > 0)
            code = take(work, &result) < 0 ? work->pool->error.code : 1;
    } while (code > 0);
    if (code == 0 || work->source_error.code == 0)
        return code;
    work->pool->error = work->source_error;
    return work->source_error.code;
}

static int open_pipeline(struct free_job *work)
{
    struct ff_directory_context *context;
    forkfold_pipeline_options options = {.stage_count = 1,
                                         .source = send_next,
                                         .user = work,
                                         .depth = work->depth,
                                         .unordered = work->job->ordered == 0};
    uint64_t now = ff_call_clock_ns(work->pool);
    size_t context_bytes;
    int code = check_deadline(work);

    if (code < 0)
        return code;
    context = ff_directory_context_new(work->job, &context_bytes);
    if (context == NULL)
        return fail_for_memory(work->pool);
    options.stages[0] = (forkfold_stage){.function = read_and_map,
                                         .context = context,
                                         .context_bytes = context_bytes,
                                         .timeout_ns = work->job->timeout_ns,
                                         .retries_plus_one = work->job->retries_plus_one};
    if (work->deadline_at_ns != 0)
        options.deadline_ns = work->deadline_at_ns - now;
    code = forkfold_pipeline_open(work->pool, &options, &work->pipeline);
    free(context);
    if (code < 0 && work->source_error.code < 0) {
        work->pool->error = work->source_error;
        code = work->source_error.code;
    }
    return code;
}

static int run(struct free_job *work)
{
    int code = work->job->ordered != 0 ? list_files(work) : 0;

    if (code == 0)
        code = open_pipeline(work);
    return code == 0 ? fold_all(work) : code;
}

static void finish(struct free_job *work)
{
    struct ff_failure_list *failures = &work->aggregate->failures;
    const struct forkfold_call *call = ff_pipeline_call(work->pipeline, 0);
    forkfold_aggregate_totals *totals = &work->aggregate->totals;

    ff_failure_list_sort(failures);
    totals->files_failed = failures->count;
    totals->files_other = ff_discover_unmatched(work->discover);
    totals->retries = call->retries;
    totals->deaths = call->deaths;
    work->aggregate->stats = (forkfold_stats){.workers = forkfold_pool_workers(work->pool),
                                              .wall_ns = call->ended_ns - call->begun_ns,
                                              .items = work->sent,
                                              .retries = call->retries,
                                              .deaths = call->deaths};
}

static int open_work(struct free_job *work)
{
    const forkfold_job *job = work->job;
    struct ff_discover_options search = {.paths = job->paths,
                                         .path_count = job->path_count,
                                         .paths_are_files = job->paths_are_files != 0,
                                         .glob = job->glob,
                                         .recursive = job->recursive != 0};
    unsigned workers = forkfold_pool_workers(work->pool);
    int code;

    work->depth = job->buffer_files;
    if (work->depth == 0)
        work->depth = workers * BUFFER_FILES_PER_WORKER > BUFFER_FILES
                          ? workers * BUFFER_FILES_PER_WORKER
                          : BUFFER_FILES;
    if (work->depth > BUFFER_FILES_MAX)
        return ff_error_set(&work->pool->error, FORKFOLD_E_INVALID,
                            "at most %d files are read ahead, not %u", BUFFER_FILES_MAX,
                            work->depth);
    code = ff_discover_open(&work->discover, &search, &work->pool->error);
    if (code < 0)
        return code;
    work->travellers = calloc(work->depth, sizeof(*work->travellers));
    if (work->travellers == NULL)
        return fail_for_memory(work->pool);
    if (job->deadline_ns != 0)
        work->deadline_at_ns = ff_call_clock_ns(work->pool) + job->deadline_ns;
    work->progress.discovering = 1;
    return 0;
}

static void close_work(struct free_job *work)
{
    struct ff_error why = work->pool->error;

    forkfold_pipeline_close(work->pipeline);
    work->pool->error = why;
    ff_discover_close(work->discover);
    ff_path_list_free(&work->list);
    for (unsigned i = 0; work->travellers != NULL && i < work->depth; i++)
        free(work->travellers[i].path);
    free(work->travellers);
    free(work->request);
}

int ff_directory_run_free(forkfold_pool *pool, const forkfold_job *job,
                          struct forkfold_aggregate *aggregate)
{
    struct free_job work = {.pool = pool, .job = job, .aggregate = aggregate};
    int code = open_work(&work);

    if (code == 0)
        code = run(&work);
    if (code == 0)
        finish(&work);
    close_work(&work);
    return code;
}
