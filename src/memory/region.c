/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/region.h"

#include <string.h>

#include "platform/map.h"

int ff_region_open(struct ff_region *region, size_t bytes, size_t least)
{
    char *base = ff_map_reserve(&bytes, least);

    if (base == NULL)
        return -1;
    *region = (struct ff_region){.base = base, .bytes = bytes};
    return 0;
}

void ff_region_close(struct ff_region *region)
{
    if (region->base != NULL)
        ff_map_release(region->base, region->bytes);
    memset(region, 0, sizeof(*region));
}

void ff_region_keep_from_children(const struct ff_region *region)
{
    ff_map_keep_from_children(region->base, region->bytes);
}

size_t ff_region_left(const struct ff_region *region)
{
    return region->bytes - region->carved;
}

struct ff_area ff_region_carve(struct ff_region *region, size_t bytes)
{
    size_t page = ff_page_bytes();
    struct ff_area area = {0};

    if (bytes > ff_region_left(region))
        return area;
    bytes = (bytes + page - 1) & ~(page - 1);
    if (bytes > ff_region_left(region))
        return area;
    area.base = region->base + region->carved;
    area.bytes = bytes;
    region->carved += bytes;
    return area;
}

int ff_region_restrict(const struct ff_region *region, const struct ff_area *writable, size_t count)
{
    if (ff_map_read_only(region->base, region->bytes) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (ff_map_read_write(writable[i].base, writable[i].bytes) != 0)
            return -1;
    return 0;
}
