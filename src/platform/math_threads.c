/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/math_threads.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/* The names that builds of OpenBLAS give to the two functions. */
static const char *const setters[] = {"openblas_set_num_threads", "openblas_set_num_threads64_",
                                      "scipy_openblas_set_num_threads",
                                      "scipy_openblas_set_num_threads64_"};
static const char *const getters[] = {"openblas_get_num_threads", "openblas_get_num_threads64_",
                                      "scipy_openblas_get_num_threads",
                                      "scipy_openblas_get_num_threads64_"};

struct loaded {
    const char *paths[FF_MATH_LIBRARIES_MAX];
    unsigned count;
};

bool ff_math_threads_are_named(void)
{
    return getenv("OPENBLAS_NUM_THREADS") != NULL || getenv("GOTO_NUM_THREADS") != NULL ||
           getenv("OMP_NUM_THREADS") != NULL;
}

static int note(struct dl_phdr_info *object, size_t bytes, void *pointer)
{
    struct loaded *loaded = pointer;
    const char *slash = strrchr(object->dlpi_name, '/');

    (void)bytes;
    if (strstr(slash != NULL ? slash : object->dlpi_name, "openblas") != NULL)
        loaded->paths[loaded->count++] = object->dlpi_name;
    return loaded->count == FF_MATH_LIBRARIES_MAX;
}

static void hold(struct ff_math_threads *held, void *library)
{
    for (size_t i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
        void (*set)(int) = NULL;
        int (*get)(void) = NULL;

        *(void **)&set = dlsym(library, setters[i]);
        *(void **)&get = dlsym(library, getters[i]);
        if (set == NULL || get == NULL || get() <= 1)
            continue;
        held->libraries[held->count].set = set;
        held->libraries[held->count++].threads = get();
        set(1);
        return;
    }
}

void ff_math_threads_hold(struct ff_math_threads *held)
{
    struct loaded loaded = {.count = 0};

    held->count = 0;
    if (ff_math_threads_are_named())
        return;
    dl_iterate_phdr(note, &loaded);
    for (unsigned i = 0; i < loaded.count; i++) {
        void *library = dlopen(loaded.paths[i], RTLD_LAZY | RTLD_NOLOAD);

        if (library == NULL)
            continue;
        hold(held, library);
        dlclose(library);
    }
}

void ff_math_threads_release(const struct ff_math_threads *held)
{
    for (unsigned i = 0; i < held->count; i++)
        held->libraries[i].set(held->libraries[i].threads);
}

void ff_math_threads_name_one(void)
{
    /* OpenBLAS, MKL and BLIS heed this one where it is the only one. */
    if (!ff_math_threads_are_named())
        (void)setenv("OMP_NUM_THREADS", "1", 1);
}
