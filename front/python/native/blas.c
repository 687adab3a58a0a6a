/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenBLAS, which numpy brings, has a thread for each CPU; in every worker they would be in each
 * other's way.  In a child of a process that uses it the number cannot be changed safely, so it is
 * one while the supervisor is forked.
 */
#include "native.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

static const char *const prefixes[] = {"openblas_", "scipy_openblas_"};
static const char *const suffixes[] = {"", "64_", "_64"};

static void *find_function(void *library, const char *prefix, const char *verb, const char *suffix)
{
    char name[64];

    snprintf(name, sizeof(name), "%s%s_num_threads%s", prefix, verb, suffix);
    return dlsym(library, name);
}

/* Under whichever names this build has them. */
static bool find_functions(void *library, struct ffpy_blas *blas)
{
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
            *(void **)&blas->get = find_function(library, prefixes[i], "get", suffixes[k]);
            *(void **)&blas->set = find_function(library, prefixes[i], "set", suffixes[k]);
            if (blas->get != NULL && blas->set != NULL)
                return true;
        }
    return false;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *found)
{
    struct ffpy_blas *blas = found;
    void *library;

    (void)size;
    if (info->dlpi_name == NULL || strstr(info->dlpi_name, "openblas") == NULL)
        return 0;
    library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL)
        return 0;
    /* The library stays loaded: whoever loaded it holds it, too. */
    dlclose(library);
    return find_functions(library, blas);
}

struct ffpy_blas ffpy_blas_hold(void)
{
    struct ffpy_blas blas = {0};

    if (getenv("OPENBLAS_NUM_THREADS") != NULL || getenv("OMP_NUM_THREADS") != NULL)
        return blas;
    if (dl_iterate_phdr(look_at, &blas) == 0)
        return (struct ffpy_blas){0};
    blas.threads = blas.get();
    blas.set(1);
    return blas;
}

void ffpy_blas_release(const struct ffpy_blas *blas)
{
    if (blas->set != NULL)
        blas->set(blas->threads);
}
