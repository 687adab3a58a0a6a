/* SPDX-License-Identifier: Apache-2.0 */
#include <forkfold/version.h>

#include "jobs/unicode_tables.h"

const char *forkfold_version(void)
{
    return FF_VERSION;
}

const char *forkfold_unicode_version(void)
{
    return ff_unicode_version_text;
}
