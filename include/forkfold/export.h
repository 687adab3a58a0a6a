/* SPDX-License-Identifier: Apache-2.0 */
/* What the library shows: everything else has hidden visibility. */
#ifndef FORKFOLD_EXPORT_H
#define FORKFOLD_EXPORT_H

#define FORKFOLD_API __attribute__((visibility("default")))

#endif
