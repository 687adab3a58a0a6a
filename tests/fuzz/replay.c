/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer:
 *
 *     replay_TARGET [-n COUNT] FILE|FOLDER...
 *
 * calls it with each file, and then with COUNT random mutations of them.  The
 * seed of those is printed, and taken from FORKFOLD_TEST_SEED when that is set.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/random_keys.h"
#include "fuzz.h"

enum { INPUTS_MAX = 1000, INPUT_BYTES_MAX = 1 << 20, MUTATED_BYTES_MAX = 12000 };

struct input {
    uint8_t *bytes;
    size_t count;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;

static _Noreturn void complain(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(2);
}

static void load_file(const char *path)
{
    struct input *input = &inputs[input_count++];
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        complain(path);
    input->bytes = malloc(INPUT_BYTES_MAX);
    REQUIRE(input->bytes != NULL);
    input->count = fread(input->bytes, 1, INPUT_BYTES_MAX, file);
    fclose(file);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of the names, so that a seed means the same everywhere. */
static void load(const char *path)
{
    struct dirent **entries;
    struct stat status;

    if (stat(path, &status) != 0)
        complain(path);
    if (!S_ISDIR(status.st_mode)) {
        REQUIRE(input_count < INPUTS_MAX);
        load_file(path);
        return;
    }
    int count = scandir(path, &entries, is_visible, alphasort);

    if (count < 0)
        complain(path);
    for (int i = 0; i < count; i++) {
        char name[4096];

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        load(name);
        free(entries[i]);
    }
    free(entries);
}

/* ---- Mutations ----------------------------------------------------------- */

/* Replaces removed bytes at a place by others, as far as there is room. */
static void replace(struct input *input, size_t place, size_t removed, const void *bytes,
                    size_t count)
{
    if (removed > input->count - place)
        removed = input->count - place;
    if (count > MUTATED_BYTES_MAX - (input->count - removed))
        return;
    memmove(input->bytes + place + count, input->bytes + place + removed,
            input->count - place - removed);
    memcpy(input->bytes + place, bytes, count);
    input->count += count;
    input->count -= removed;
}

static void mutate(struct input *input)
{
    static const char *const parts[] = {" ",
                                        "\n",
                                        "a",
                                        "Z",
                                        "'",
                                        "0",
                                        "\x1F",
                                        "\xC2\x85",
                                        "\u00A0",
                                        "\u0130",
                                        "\u2028",
                                        "\u3000",
                                        "\uFEFF",
                                        "\u212A",
                                        "\u4E2D",
                                        "\xE2\x82",
                                        "\xF0\x9F\x98",
                                        "\xED\xA0\x80",
                                        "\xF4\x90",
                                        "\U00010400",
                                        "\x80",
                                        "\xFF",
                                        "sixteen-letters",
                                        "abcdefghijklmnop",
                                        "abcdefghijklmnopq"};
    const struct input *other = &inputs[random_below(input_count)];
    const char *part = parts[random_below(sizeof(parts) / sizeof(parts[0]))];
    size_t place = random_below(input->count + 1);
    uint8_t byte = (uint8_t)random_u64();
    uint8_t copied[256];

    switch (random_below(7)) {
    case 0:
        if (place < input->count)
            input->bytes[place] ^= (uint8_t)(1U << random_below(8));
        break;
    case 1:
        replace(input, place, random_below(2), &byte, 1);
        break;
    case 2:
        replace(input, place, random_below(3), part, strlen(part));
        break;
    case 3:
        replace(input, place, 1 + random_below(16), "", 0);
        break;
    case 4: /* the same once more, from a copy, as it moves what it reads */
        byte = (uint8_t)random_below(input->count - place < 255 ? input->count - place + 1 : 256);
        memcpy(copied, input->bytes + place, byte);
        for (size_t times = random_below(40); times > 0; times--)
            replace(input, place, 0, copied, byte);
        break;
    case 5:
        replace(input, place, input->count, other->bytes,
                random_below((other->count < MUTATED_BYTES_MAX ? other->count : MUTATED_BYTES_MAX) +
                             1));
        break;
    default:
        if (input->count > 0) /* how the input is to be used is in its first bytes */
            input->bytes[random_below(input->count < 8 ? input->count : 8)] = byte;
        break;
    }
}

static void run_mutations(unsigned long count)
{
    struct input input = {.bytes = malloc(MUTATED_BYTES_MAX)};

    REQUIRE(input.bytes != NULL);
    for (; count > 0; count--) {
        const struct input *from = &inputs[random_below(input_count)];

        input.count = from->count < MUTATED_BYTES_MAX ? from->count : MUTATED_BYTES_MAX;
        memcpy(input.bytes, from->bytes, input.count);
        for (size_t steps = 1 + random_below(8); steps > 0; steps--)
            mutate(&input);
        LLVMFuzzerTestOneInput(input.bytes, input.count);
    }
    free(input.bytes);
}

int main(int argc, char **argv)
{
    unsigned long mutations = 0;
    int option;

    while ((option = getopt(argc, argv, "n:")) != -1) {
        if (option != 'n')
            return 2;
        mutations = strtoul(optarg, NULL, 10);
    }
    for (int i = optind; i < argc; i++)
        load(argv[i]);
    if (input_count == 0) {
        fprintf(stderr, "usage: %s [-n COUNT] FILE|FOLDER...\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < input_count; i++)
        LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].count);
    seed_random();
    run_mutations(mutations);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].bytes);
    return 0;
}
