/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed of a course of events: who does what to which word, and where in the code. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"
#include "platform/kill_point.h"

enum { NAMES_MAX = 256 };

static bool is_tracing;
static const char *passed; /* the kill point that the process that runs passed last */
static const char *told;   /* the same, until a trace has told it */

static struct name {
    const volatile char *begin;
    size_t bytes;
    model_show *show;
    char text[48];
} names[NAMES_MAX];
static unsigned name_count;

void engine_trace(bool is_on)
{
    is_tracing = is_on;
}

static void say(const char *format, va_list arguments)
{
    printf("#   %-12s ",
           model_self() == MODEL_NOBODY ? "" : engine_scenario()->processes[model_self()].name);
    vprintf(format, arguments);
    putchar('\n');
}

void engine_say(const char *format, ...)
{
    va_list arguments;

    if (!is_tracing)
        return;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void model_note(const char *format, ...)
{
    va_list arguments;

    if (!is_tracing)
        return;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void model_name(const volatile void *words, size_t bytes, model_show *show, const char *format, ...)
{
    struct name *name = &names[name_count++];
    va_list arguments;

    assert(name_count <= NAMES_MAX);
    name->begin = words;
    name->bytes = bytes;
    name->show = show;
    va_start(arguments, format);
    vsnprintf(name->text, sizeof(name->text), format, arguments);
    va_end(arguments);
}

/* The newest name of what a word is in: the narrower ones come later. */
static const struct name *find_name(const volatile void *word)
{
    const volatile char *at = word;

    for (unsigned i = name_count; i-- > 0;)
        if (at >= names[i].begin && at < names[i].begin + names[i].bytes)
            return &names[i];
    return NULL;
}

void engine_tell(const volatile void *word, unsigned bytes, const char *what, uint64_t value)
{
    const struct name *name = find_name(word);
    char text[64];
    char shown[64];

    if (!is_tracing)
        return;
    if (name == NULL)
        snprintf(text, sizeof(text), "a word");
    else if (name->bytes == bytes)
        snprintf(text, sizeof(text), "%s", name->text);
    else
        snprintf(text, sizeof(text), "%s[%td]", name->text,
                 ((const volatile char *)word - name->begin) / (ptrdiff_t)bytes);
    if (name != NULL && name->show != NULL)
        name->show(value, shown, sizeof(shown));
    else
        snprintf(shown, sizeof(shown), "%llu", (unsigned long long)value);
    engine_say("%s %s %s%s%s", text, what, shown, told != NULL ? "  after " : "",
               told != NULL ? told : "");
    told = NULL;
}

/* For the kill points of the code under test: they tell in a trace where it is. */
void ff_kill_point(const char *point)
{
    passed = told = point;
}

void ff_kill_points_open(void)
{
}

const char *engine_passed(void)
{
    return passed;
}

void engine_forget_passed(void)
{
    passed = NULL;
}

void engine_forget_names(void)
{
    name_count = 0;
}
