/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FORKFOLD_VERSION_H
#define FORKFOLD_VERSION_H

#include <forkfold/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "MAJOR.MINOR.PATCH" of the library that is linked; static storage. */
FORKFOLD_API const char *forkfold_version(void);

/* The version of the Unicode tables behind the word rules, e.g. "15.0.0". */
FORKFOLD_API const char *forkfold_unicode_version(void);

#ifdef __cplusplus
}
#endif

#endif
