/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver's epoll reports. */
#ifndef FF_POOL_POOL_TAGS_H
#define FF_POOL_POOL_TAGS_H

enum ff_tag { FF_TAG_BELL, FF_TAG_SUPERVISOR, FF_TAG_ALARM, FF_TAG_WATCH };

#endif
