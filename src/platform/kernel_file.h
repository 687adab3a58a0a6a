/* SPDX-License-Identifier: Apache-2.0 */
/* Small files in which the kernel tells numbers: in /proc, and in the folders of cgroups. */
#ifndef FF_PLATFORM_KERNEL_FILE_H
#define FF_PLATFORM_KERNEL_FILE_H

#include <stdbool.h>

/* Up to two numbers of a one-line file in a folder; "max" reads as -1.  Returns how many. */
int ff_kernel_file_numbers(const char *folder, const char *name, long long numbers[2]);

/* The number behind a word at the start of a line, as in memory.stat; false without that line. */
bool ff_kernel_file_line(const char *folder, const char *name, const char *word, long long *number);

#endif
