/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items and results that vary in size: offsets say where each item begins, and the function reserves
 * memory for its result once it knows how much.  Here texts become parts of URLs.
 */
#include <ctype.h>
#include <stdio.h>

#include <forkfold.h>

static int is_plain(unsigned char byte)
{
    return isalnum(byte) || byte == '-' || byte == '.' || byte == '_';
}

static int encode(const forkfold_item *item)
{
    const unsigned char *text = item->arguments[0];
    size_t length = 0;
    char *url;

    for (size_t i = 0; i < item->argument_bytes[0]; i++)
        length += is_plain(text[i]) ? 1 : 3;
    url = forkfold_item_reserve(item, length + 1);
    if (url == NULL)
        return forkfold_item_fail(item, "no room for %zu bytes", length);
    for (size_t i = 0; i < item->argument_bytes[0]; i++)
        url += sprintf(url, is_plain(text[i]) ? "%c" : "%%%02X", text[i]);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    static const char texts[] = "fish & chips"
                                "50 % off"
                                "caf\xc3\xa9";
    static const uint64_t offsets[] = {0, 12, 20, 25};
    forkfold_call_options options = {.function = encode,
                                     .count = 3,
                                     .arrays = {{.data = texts, .offsets = offsets}},
                                     .array_count = 1,
                                     .results_vary = 1,
                                     .stop_on_failure = 1};
    forkfold_result result;
    forkfold_call *call;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_map(pool, &options, &call) < 0) {
        fprintf(stderr, "varying: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    for (uint64_t i = 0; i < options.count; i++) {
        forkfold_call_result(call, i, &result);
        printf("%s\n", (const char *)result.data);
    }
    forkfold_call_close(call);
    return 0;
}
