/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/backtrace.h"

#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ff_symbols {
    Dwfl *dwfl; /* NULL when the tables cannot be read */
};

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_linux_proc_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
};

struct ff_symbols *ff_symbols_open(void)
{
    struct ff_symbols *symbols = calloc(1, sizeof(*symbols));

    if (symbols == NULL)
        return NULL;
    symbols->dwfl = dwfl_begin(&callbacks);
    if (symbols->dwfl != NULL && (dwfl_linux_proc_report(symbols->dwfl, getpid()) != 0 ||
                                  dwfl_report_end(symbols->dwfl, NULL, NULL) != 0)) {
        dwfl_end(symbols->dwfl);
        symbols->dwfl = NULL;
    }
    return symbols;
}

void ff_symbols_close(struct ff_symbols *symbols)
{
    if (symbols == NULL)
        return;
    if (symbols->dwfl != NULL)
        dwfl_end(symbols->dwfl);
    free(symbols);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* All but the first are return addresses: the call is the instruction before. */
static void write_frame(FILE *out, const struct ff_symbols *symbols, unsigned index,
                        uint64_t address)
{
    Dwarf_Addr at = index == 0 ? address : address - 1;
    Dwfl_Module *module =
        symbols != NULL && symbols->dwfl != NULL ? dwfl_addrmodule(symbols->dwfl, at) : NULL;
    const char *function = module != NULL ? dwfl_module_addrname(module, at) : NULL;
    Dwfl_Line *line = module != NULL ? dwfl_module_getsrc(module, at) : NULL;
    int line_number = 0;
    const char *file =
        line != NULL ? dwfl_lineinfo(line, NULL, &line_number, NULL, NULL, NULL) : NULL;

    fprintf(out, "%s#%u ", index > 0 ? "\n" : "", index);
    if (function != NULL)
        fprintf(out, "%s", function);
    else
        fprintf(out, "0x%llx", (unsigned long long)address);
    if (file != NULL)
        fprintf(out, " at %s:%d", base_name(file), line_number);
    else if (module != NULL)
        fprintf(out, " in %s",
                base_name(dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL)));
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
