/* SPDX-License-Identifier: Apache-2.0 */
/* What processes hold, as /proc has it. */
#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

/* What memory may differ by, at the end: calls differ in size, and allocators keep some. */
enum { SLACK_KB = 32 * 1024, PATIENCE_S = 30, CHILDREN_MOST = 16 };

static FILE *open_proc(const struct soak *soak, int pid, const char *name)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    file = fopen(path, "r");
    EXPECT(soak, file != NULL, "cannot read %s", path);
    return file;
}

static long count_descriptors(const struct soak *soak, int pid)
{
    char path[64];
    DIR *folder;
    long count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    folder = opendir(path);
    EXPECT(soak, folder != NULL, "cannot read %s", path);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void read_memory(const struct soak *soak, int pid, struct process_traces *traces)
{
    FILE *file = open_proc(soak, pid, "status");
    char *line = NULL;
    size_t size = 0;
    uint64_t from, to;
    char shared;

    while (getline(&line, &size, file) > 0) {
        sscanf(line, "RssAnon: %ld", &traces->anonymous_kb);
        sscanf(line, "RssShmem: %ld", &traces->shared_kb);
    }
    fclose(file);
    file = open_proc(soak, pid, "maps");
    while (getline(&line, &size, file) > 0) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*3c%c", &from, &to, &shared) == 3 &&
            shared == 's') {
            traces->mappings++;
            traces->mapped_kb += (long)((to - from) / 1024);
        }
    }
    fclose(file);
    free(line);
}

/* Of a process; up to most of them are written to children. */
static unsigned read_children(const struct soak *soak, int pid, int *children, unsigned most)
{
    char name[32];
    FILE *file;
    unsigned count = 0;
    int child;

    snprintf(name, sizeof(name), "task/%d/children", pid);
    file = open_proc(soak, pid, name);
    for (; fscanf(file, "%d", &child) == 1; count++)
        if (count < most)
            children[count] = child;
    fclose(file);
    return count;
}

static void read_process(const struct soak *soak, int pid, struct process_traces *traces)
{
    traces->descriptors = count_descriptors(soak, pid);
    traces->children = read_children(soak, pid, NULL, 0);
    read_memory(soak, pid, traces);
}

/* Whether the supervisor has all its workers, of which none has been killed and is still to die. */
static int has_workers(const struct soak *soak, int supervisor)
{
    int workers[CHILDREN_MOST];
    unsigned count = read_children(soak, supervisor, workers, CHILDREN_MOST);

    for (unsigned i = 0; i < count && i < CHILDREN_MOST; i++)
        if (killer_has_killed(workers[i]))
            return 0;
    return count == soak->workers;
}

/* Returns when those that were killed last have been replaced. */
static void await_workers(const struct soak *soak, int supervisor)
{
    time_t end = time(NULL) + PATIENCE_S;

    while (!has_workers(soak, supervisor)) {
        EXPECT(soak, time(NULL) < end, "there are not %u workers", soak->workers);
        sched_yield();
    }
}

/* The supervisor does one thing after the other: while there is a file for which it has been asked
 * last, it has done all that came before, and has nothing to do. */
static void read_pool(const struct soak *soak, struct traces *traces)
{
    int supervisor = 0;
    forkfold_shared *last;

    EXPECT(soak, read_children(soak, getpid(), &supervisor, 1) == 1, "there is not one child");
    await_workers(soak, supervisor);
    last = soak_open_file(soak, 1);
    read_process(soak, supervisor, &traces->supervisor);
    read_process(soak, getpid(), &traces->host);
    forkfold_shared_close(last);
}

void traces_take(const struct soak *soak, struct traces *traces)
{
    *traces = (struct traces){0};
    if (soak->pool != NULL)
        read_pool(soak, traces);
    else
        read_process(soak, getpid(), &traces->host);
    EXPECT(soak, soak->pool != NULL || waitpid(-1, NULL, WNOHANG) == -1, "a child is left behind");
}

static void compare(const struct soak *soak, const char *what, const char *who,
                    const struct process_traces *before, const struct process_traces *after)
{
    printf("%s, %s: descriptors %ld, %ld; children %ld, %ld; own memory %ld, %ld KiB; shared %ld, "
           "%ld KiB of %ld, %ld in %ld, %ld mappings\n",
           what, who, before->descriptors, after->descriptors, before->children, after->children,
           before->anonymous_kb, after->anonymous_kb, before->shared_kb, after->shared_kb,
           before->mapped_kb, after->mapped_kb, before->mappings, after->mappings);
    EXPECT(soak, after->descriptors == before->descriptors, "other descriptors");
    EXPECT(soak, after->children == before->children, "other children");
    EXPECT(soak, after->mappings == before->mappings && after->mapped_kb == before->mapped_kb,
           "other mappings");
    /* The address sanitizer keeps what was freed. */
    if (getenv("FORKFOLD_SANITIZER") != NULL)
        return;
    EXPECT(soak, after->anonymous_kb <= before->anonymous_kb + SLACK_KB, "more memory");
    EXPECT(soak, after->shared_kb <= before->shared_kb + SLACK_KB, "more shared memory");
}

void traces_compare(const struct soak *soak, const char *what, const struct traces *before,
                    const struct traces *after)
{
    compare(soak, what, "host", &before->host, &after->host);
    if (soak->pool != NULL)
        compare(soak, what, "supervisor", &before->supervisor, &after->supervisor);
}
