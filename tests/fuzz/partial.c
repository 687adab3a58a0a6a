/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partial in memory: whatever its bytes, the check of its structure reads
 * nothing outside, and what it accepts can be read.  Under the checksum of a
 * seal any change at all is detected.
 */
#include <stdalign.h>

#include "flow/partial.h"
#include "fuzz.h"
#include "platform/checksum.h"
#include "pool/seal.h"

enum { ALIGNMENT = 64, CLAIMS_MAX = 8, CALL = 5 };

/* A block of memory that ends where it says, at the alignment of partials and seals. */
static char *allocate(size_t bytes)
{
    char *block = NULL;

    REQUIRE(posix_memalign((void **)&block, ALIGNMENT, bytes > 0 ? bytes : 1) == 0);
    return block;
}

/* ---- Partials ------------------------------------------------------------ */

/* Uses an accepted partial in all the ways that its readers do. */
static void read_everything(const struct ff_partial *partial)
{
    const struct ff_slot *slots = ff_partial_slots(partial);
    struct ff_table table = {0};

    for (uint64_t i = 0; i < partial->entry_count; i++) {
        const char *key = ff_slot_key(&slots[i], ff_partial_heap(partial));

        (void)ff_key_hash(key, slots[i].key_bytes);
        REQUIRE(ff_partial_lower_bound(partial, slots[i].hash) <= i);
    }
    REQUIRE(ff_partial_add_to(partial, &table) == 0);
    REQUIRE(table.total == partial->total && table.used == partial->entry_count);
    /* The bytes of a partial depend on its keys and sums alone. */
    REQUIRE(ff_partial_bytes(&table) == partial->bytes);

    struct ff_partial *again = (struct ff_partial *)allocate(partial->bytes);
    size_t used = sizeof(*partial) + partial->entry_count * sizeof(*slots) + partial->heap_bytes;

    ff_partial_write(again, &table);
    REQUIRE(memcmp(again, partial, used) == 0);
    free(again);
    ff_table_free(&table);
}

static void check_raw(const struct fuzz_input *input)
{
    char *block = allocate(input->count);

    if (input->count > 0)
        memcpy(block, input->bytes, input->count);
    if (ff_partial_is_sound((struct ff_partial *)block, input->count))
        read_everything((struct ff_partial *)block);
    free(block);
}

/* The rest of the input as keys, each behind a byte of its length. */
static struct ff_table take_table(struct fuzz_input *input)
{
    struct ff_table table = {0};

    while (input->count > 0) {
        size_t key_bytes = take_byte(input);

        if (key_bytes > input->count)
            key_bytes = input->count;
        REQUIRE(ff_table_add(&table, input->bytes, key_bytes, 1 + key_bytes % 7) == 0);
        input->bytes += key_bytes;
        input->count -= key_bytes;
    }
    return table;
}

/* ---- Edits --------------------------------------------------------------- */

enum { EDITS_MAX = 8 };

struct edit {
    unsigned place;
    unsigned flipped; /* bits; none is an edit that changes nothing */
};

struct edits {
    struct edit list[EDITS_MAX];
    unsigned count;
    unsigned cut; /* bytes missing at the end */
};

static struct edits take_edits(struct fuzz_input *input)
{
    struct edits edits = {.count = take_byte(input) % EDITS_MAX};

    if (take_byte(input) % 4 == 0)
        edits.cut = take_two_bytes(input);
    for (unsigned i = 0; i < edits.count; i++) {
        edits.list[i].place = take_two_bytes(input);
        edits.list[i].flipped = take_byte(input);
    }
    return edits;
}

static void apply(const struct edits *edits, char *bytes, size_t count)
{
    for (unsigned i = 0; i < edits->count; i++)
        bytes[edits->list[i].place % count] ^= (char)edits->list[i].flipped;
}

/*
 * Makes a long key longer or shorter, and moves those behind it along: each
 * agrees with its neighbours, and only the end of the heap says that all are wrong.
 */
static void stretch_key(struct ff_partial *partial, unsigned number, int by)
{
    struct ff_slot *slots = (struct ff_slot *)(partial + 1);
    uint64_t i = partial->entry_count > 0 ? number % partial->entry_count : 0;

    while (i < partial->entry_count && slots[i].key_bytes <= FF_KEY_INLINE)
        i++;
    if (i == partial->entry_count)
        return;
    slots[i].key_bytes += (unsigned)by;
    for (i++; i < partial->entry_count; i++)
        if (slots[i].key_bytes > FF_KEY_INLINE)
            slots[i].key.far.heap_offset += (uint64_t)(int64_t)by;
}

static void check_edited(struct fuzz_input *input)
{
    unsigned stretched = take_byte(input);
    int stretch = (int8_t)take_byte(input) * 16;
    struct edits edits = take_edits(input);
    struct ff_table table = take_table(input);
    size_t bytes = ff_partial_bytes(&table);
    size_t left = bytes - edits.cut % bytes;
    struct ff_partial *written = (struct ff_partial *)allocate(bytes);
    struct ff_partial *edited = (struct ff_partial *)allocate(left);

    ff_partial_write(written, &table);
    REQUIRE(ff_partial_is_sound(written, bytes));
    read_everything(written);
    stretch_key(written, stretched, stretch);
    memcpy(edited, written, left);
    apply(&edits, (char *)edited, left);
    if (ff_partial_is_sound(edited, left))
        read_everything(edited);
    free(edited);
    free(written);
    ff_table_free(&table);
}

/* ---- Seals --------------------------------------------------------------- */

struct sealed {
    struct ff_segment_areas areas;
    size_t bytes; /* of the seal */
    size_t payload_bytes;
    uint64_t covered;
};

static struct sealed seal_table(const struct ff_table *table, unsigned covered, unsigned failures)
{
    static const struct ff_item_failure failure[3] = {{.item = 1, .detail = "no such file"}};
    size_t bytes = ff_partial_bytes(table);
    struct sealed sealed = {.payload_bytes = bytes, .covered = covered};
    struct ff_area *buffer = &sealed.areas.buffers[CALL & 1][0];
    size_t room = bytes + sizeof(struct ff_seal) + sizeof(failure) + ALIGNMENT;
    size_t capacity;

    *buffer = (struct ff_area){.base = allocate(room), .bytes = room};
    sealed.areas.head = (struct ff_segment *)allocate(sizeof(struct ff_segment));
    sealed.areas.claims = (uint64_t *)allocate(CLAIMS_MAX * sizeof(uint64_t));
    sealed.areas.claim_capacity = CLAIMS_MAX;
    memset(buffer->base, 0, room);
    memset(sealed.areas.head, 0, sizeof(struct ff_segment));
    for (uint64_t i = 0; i < CLAIMS_MAX; i++)
        sealed.areas.claims[i] = ff_claim_encode(FF_MAIN, i);

    char *payload = ff_seal_begin(*buffer, failure, failures, &capacity);

    REQUIRE(payload != NULL && capacity >= bytes);
    ff_partial_write((struct ff_partial *)payload, table);
    ff_seal_end(*buffer, CALL, sealed.areas.claims, covered, failures, bytes);
    ff_publish(&sealed.areas.head->sealed, ff_sealed_encode(covered, 0));
    sealed.bytes = (size_t)(payload - buffer->base) + bytes;
    return sealed;
}

static void free_sealed(struct sealed *sealed)
{
    free(sealed->areas.buffers[CALL & 1][0].base);
    free(sealed->areas.head);
    free(sealed->areas.claims);
}

/* Edits what the checksums cover, the seal and the claims behind it.  Returns whether it changed. */
static bool damage(struct sealed *sealed, const struct edits *edits)
{
    size_t claim_bytes = sealed->covered * sizeof(uint64_t);
    size_t all = sealed->bytes + claim_bytes;
    char *base = sealed->areas.buffers[CALL & 1][0].base;
    unsigned char *before = copy_exactly((unsigned char *)base, sealed->bytes);
    char *bytes = allocate(all);
    bool changed;

    memcpy(bytes, base, sealed->bytes);
    memcpy(bytes + sealed->bytes, sealed->areas.claims, claim_bytes);
    apply(edits, bytes, all);
    changed = memcmp(bytes, before, sealed->bytes) != 0 ||
              memcmp(bytes + sealed->bytes, sealed->areas.claims, claim_bytes) != 0;
    memcpy(base, bytes, sealed->bytes);
    memcpy(sealed->areas.claims, bytes + sealed->bytes, claim_bytes);
    free(before);
    free(bytes);
    return changed;
}

/* Gives the seal a memory that ends before it does.  Its head is whole: no buffer is smaller. */
static bool cut(struct sealed *sealed, unsigned cut_bytes)
{
    struct ff_area *buffer = &sealed->areas.buffers[CALL & 1][0];
    size_t most = sealed->bytes - sizeof(struct ff_seal);
    size_t left = sealed->bytes - cut_bytes % (most + 1);
    char *shorter = allocate(left);

    memcpy(shorter, buffer->base, left);
    free(buffer->base);
    *buffer = (struct ff_area){.base = shorter, .bytes = left};
    return left < sealed->bytes;
}

/* As if chance had hit the head's checksum too: its sizes must not be believed for that. */
static void vouch_for_head(struct sealed *sealed)
{
    struct ff_seal *seal = (struct ff_seal *)sealed->areas.buffers[CALL & 1][0].base;

    seal->head_checksum = ff_checksum(&seal->body_checksum, sizeof(*seal) - sizeof(uint64_t), 0);
}

static void check_sealed(struct fuzz_input *input)
{
    unsigned how = take_byte(input);
    struct edits edits = take_edits(input);
    struct ff_table table = take_table(input);
    struct sealed sealed = seal_table(&table, how % (CLAIMS_MAX + 1), how >> 4 & 3);
    bool is_damaged = damage(&sealed, &edits);
    bool damaged;
    uint64_t word;

    is_damaged |= cut(&sealed, edits.cut);
    if (how >> 7 != 0)
        vouch_for_head(&sealed);

    const struct ff_seal *seal = ff_seal_find(&sealed.areas, CALL, &word, &damaged);

    REQUIRE((seal == NULL) == damaged);
    REQUIRE(damaged == is_damaged || how >> 7 != 0);
    if (seal != NULL) {
        REQUIRE(ff_sealed_covered(word) == sealed.covered && seal->covered == sealed.covered);
        REQUIRE(seal->payload_bytes == sealed.payload_bytes);
        REQUIRE(ff_partial_is_sound(ff_seal_payload(seal), seal->payload_bytes));
        read_everything(ff_seal_payload(seal));
        /* Nobody takes it for a seal of another call, or of more than it covers. */
        ff_publish(&sealed.areas.head->sealed, ff_sealed_encode(sealed.covered + 1, 0));
        REQUIRE(ff_seal_find(&sealed.areas, CALL, &word, &damaged) == NULL && damaged);
    }
    free_sealed(&sealed);
    ff_table_free(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.bytes = data, .count = size};

    switch (take_byte(&input) % 3) {
    case 0:
        check_raw(&input);
        break;
    case 1:
        check_edited(&input);
        break;
    default:
        check_sealed(&input);
        break;
    }
    return 0;
}
