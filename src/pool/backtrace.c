/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdw is loaded when there is something to look up, so that a run without deaths, however short,
 * does not pay for it and the five libraries that it needs.  Where it cannot be loaded, addresses
 * stay numbers.
 */
#include "pool/backtrace.h"

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The functions of libdw that are used here, each a pointer of the same name and type. */
#define FUNCTIONS(each)                                                                            \
    each(dwfl_addrmodule) each(dwfl_begin) each(dwfl_end) each(dwfl_lineinfo)                      \
        each(dwfl_linux_proc_find_elf) each(dwfl_linux_proc_report) each(dwfl_module_addrname)     \
            each(dwfl_module_getsrc) each(dwfl_module_info) each(dwfl_report_end)                  \
                each(dwfl_standard_find_debuginfo)

#define POINTER(name) __typeof__(&(name)) name##_;

struct ff_symbols {
    void *library;
    Dwfl_Callbacks callbacks;
    Dwfl *dwfl; /* NULL when the tables cannot be read */
    FUNCTIONS(POINTER)
};

static bool load(struct ff_symbols *symbols)
{
#define LOAD(name)                                                                                 \
    *(void **)&symbols->name##_ = dlsym(symbols->library, #name);                                  \
    if (symbols->name##_ == NULL)                                                                  \
        return false;

    symbols->library = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
    if (symbols->library == NULL)
        return false;
    FUNCTIONS(LOAD)
#undef LOAD
    return true;
}

/* The tables of this process: its addresses are those of the workers. */
static void open_tables(struct ff_symbols *symbols)
{
    symbols->callbacks = (Dwfl_Callbacks){
        .find_elf = symbols->dwfl_linux_proc_find_elf_,
        .find_debuginfo = symbols->dwfl_standard_find_debuginfo_,
    };
    symbols->dwfl = symbols->dwfl_begin_(&symbols->callbacks);
    if (symbols->dwfl == NULL)
        return;
    if (symbols->dwfl_linux_proc_report_(symbols->dwfl, getpid()) != 0 ||
        symbols->dwfl_report_end_(symbols->dwfl, NULL, NULL) != 0) {
        symbols->dwfl_end_(symbols->dwfl);
        symbols->dwfl = NULL;
    }
}

struct ff_symbols *ff_symbols_open(void)
{
    struct ff_symbols *symbols = calloc(1, sizeof(*symbols));

    if (symbols != NULL && load(symbols))
        open_tables(symbols);
    return symbols;
}

void ff_symbols_close(struct ff_symbols *symbols)
{
    if (symbols == NULL)
        return;
    if (symbols->dwfl != NULL)
        symbols->dwfl_end_(symbols->dwfl);
    if (symbols->library != NULL)
        dlclose(symbols->library);
    free(symbols);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* What is known of an address; NULL and 0 for what is not. */
struct place {
    const char *function;
    const char *file;
    int line;
    const char *module;
};

static struct place find_place(const struct ff_symbols *symbols, Dwarf_Addr at)
{
    struct place place = {0};
    Dwfl_Module *module;
    Dwfl_Line *line;

    if (symbols == NULL || symbols->dwfl == NULL)
        return place;
    module = symbols->dwfl_addrmodule_(symbols->dwfl, at);
    if (module == NULL)
        return place;
    place.function = symbols->dwfl_module_addrname_(module, at);
    place.module = symbols->dwfl_module_info_(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    line = symbols->dwfl_module_getsrc_(module, at);
    if (line != NULL)
        place.file = symbols->dwfl_lineinfo_(line, NULL, &place.line, NULL, NULL, NULL);
    return place;
}

static void write_frame(FILE *out, const struct ff_symbols *symbols, unsigned index,
                        uint64_t address)
{
    /* All but the first are return addresses: the call is the instruction before. */
    struct place place = find_place(symbols, index == 0 ? address : address - 1);

    fprintf(out, "%s#%u ", index > 0 ? "\n" : "", index);
    if (place.function != NULL)
        fprintf(out, "%s", place.function);
    else
        fprintf(out, "0x%llx", (unsigned long long)address);
    if (place.file != NULL)
        fprintf(out, " at %s:%d", base_name(place.file), place.line);
    else if (place.module != NULL)
        fprintf(out, " in %s", base_name(place.module));
}

char *ff_backtrace_text(struct ff_symbols *symbols, const struct ff_crash *crash)
{
    uint64_t count = ff_peer_get(&crash->frame_count);
    char *text = NULL;
    size_t bytes;
    FILE *out;

    if (count == 0 || ff_peer_get(&crash->written) == 0)
        return NULL;
    if (count > FF_FRAMES_MAX)
        count = FF_FRAMES_MAX;
    out = open_memstream(&text, &bytes);
    if (out == NULL)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        write_frame(out, symbols, i, crash->frames[i]);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
