/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit of every word counter: opens, reads and closes each *.txt file of
 * a folder, and looks at none of the bytes.
 *
 *     reads FOLDER [WORKERS]
 *
 * With several workers the files are shared out one by one, in pieces of 4 MiB,
 * so that one large file keeps all of them at work.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_BYTES ((off_t)4 << 20)

enum { BUFFER_BYTES = 128 * 1024 };

struct piece {
    uint32_t name; /* its place in names */
    uint32_t number;
};

static char *names;
static size_t names_used, names_size;
static struct piece *pieces;
static uint32_t piece_count, piece_size;
static char buffer[BUFFER_BYTES];

static void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static int is_text(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length >= 4 &&
           strcmp(entry->d_name + length - 4, ".txt") == 0;
}

/* One worker needs no sizes: it reads to the end of each file. */
static void read_whole(int folder, const char *name)
{
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    must(file >= 0, name);
    do {
        got = read(file, buffer, sizeof(buffer));
        must(got >= 0, name);
    } while (got == (ssize_t)sizeof(buffer));
    close(file);
}

static void add_pieces(int folder, const char *name)
{
    size_t bytes = strlen(name) + 1;
    struct stat status;

    must(fstatat(folder, name, &status, 0) == 0, name);
    if (names_used + bytes > names_size) {
        names_size = 2 * (names_size + bytes);
        names = realloc(names, names_size);
        must(names != NULL, "reads");
    }
    memcpy(names + names_used, name, bytes);
    for (off_t at = 0; at == 0 || at < status.st_size; at += PIECE_BYTES) {
        if (piece_count == piece_size) {
            piece_size = 2 * piece_size + 1024;
            pieces = realloc(pieces, piece_size * sizeof(*pieces));
            must(pieces != NULL, "reads");
        }
        pieces[piece_count++] = (struct piece){(uint32_t)names_used, (uint32_t)(at / PIECE_BYTES)};
    }
    names_used += bytes;
}

static void read_piece(int folder, const struct piece *piece)
{
    const char *name = names + piece->name;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    off_t at = PIECE_BYTES * piece->number;
    off_t end = at + PIECE_BYTES;

    must(file >= 0, name);
    while (at < end) {
        ssize_t got = pread(file, buffer, sizeof(buffer), at);

        must(got >= 0, name);
        at += got;
        if (got < (ssize_t)sizeof(buffer))
            break;
    }
    close(file);
}

static void share_out(int folder, unsigned workers)
{
    atomic_uint *next =
        mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int failed = 0;
    int status;

    must(next != MAP_FAILED, "reads");
    for (unsigned i = 0; i < workers; i++) {
        pid_t pid = fork();

        must(pid >= 0, "fork");
        if (pid == 0) {
            for (unsigned at; (at = atomic_fetch_add(next, 1)) < piece_count;)
                read_piece(folder, &pieces[at]);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed |= status;
    if (failed != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    int workers = argc == 3 ? atoi(argv[2]) : 1;

    if (argc < 2 || argc > 3 || workers < 1) {
        fputs("usage: reads FOLDER [WORKERS]\n", stderr);
        return 2;
    }
    DIR *directory = opendir(argv[1]);

    must(directory != NULL, argv[1]);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0) {
        if (!is_text(entry))
            continue;
        if (workers == 1)
            read_whole(dirfd(directory), entry->d_name);
        else
            add_pieces(dirfd(directory), entry->d_name);
    }
    must(errno == 0, argv[1]);
    if (workers > 1)
        share_out(dirfd(directory), (unsigned)workers);
    return 0;
}
