/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partial in memory: whatever its bytes, the check of its structure reads
 * nothing outside, and what it accepts can be read.  Under the checksum of a
 * seal any change at all is detected.
 */
#include "flow/partial.h"
#include "flow/record.h"
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
    const unsigned char *next = ff_partial_records(partial);
    struct ff_table table = {0};

    for (uint64_t i = 0; i < partial->entry_count; i++) {
        const unsigned char *record = next;
        struct ff_partial_place place;
        struct ff_entry entry;

        next = ff_record_get(record, &entry);
        place = ff_partial_find(partial, ff_record_hash(&entry));
        REQUIRE(place.number <= i && place.record <= record);
        place = ff_partial_find(partial, (uint64_t)ff_record_hash(&entry) + 1);
        REQUIRE(place.number > i && place.record >= next);
    }
    REQUIRE(next == ff_partial_records(partial) + partial->record_bytes);
    REQUIRE(ff_partial_add_to(partial, &table) == 0);
    REQUIRE(table.total == partial->total && table.used == partial->entry_count);
    /* The bytes of a partial depend on its keys and sums alone. */
    struct ff_partial *again = (struct ff_partial *)allocate(ff_partial_bound(&table));

    REQUIRE(ff_partial_write(again, &table) == 0);
    REQUIRE(again->bytes == partial->bytes && memcmp(again, partial, partial->bytes) == 0);
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

/*
 * Some bytes as an input, behind the one that says how to use it, if FUZZ_KEEP names a folder.  So
 * the inputs raw and records were made, and are to be made again when partials have changed:
 *
 *     cd tests/fuzz/corpus/partial && FUZZ_KEEP=. .../replay_partial edited-none
 */
static void keep(const char *name, int how, const void *bytes, size_t count)
{
    const char *folder = getenv("FUZZ_KEEP");
    char path[4096];
    FILE *file;

    if (folder == NULL)
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    REQUIRE(file != NULL && putc(how, file) == how);
    REQUIRE(fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

/* ---- Records ------------------------------------------------------------- */

/* The rest of the input as records, in memory that ends behind their slack. */
struct records {
    unsigned char *bytes;
    unsigned char *end;
    uint64_t count;
    uint64_t total;
    bool are_sound; /* all bytes are records in their only form, strictly in order */
};

static bool is_before(const struct ff_entry *a, const struct ff_entry *b)
{
    size_t shared = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    uint64_t a_hash = ff_key_hash(a->key, a->key_bytes) >> 32;
    uint64_t b_hash = ff_key_hash(b->key, b->key_bytes) >> 32;
    int order = memcmp(a->key, b->key, shared);

    if (a_hash != b_hash)
        return a_hash < b_hash;
    return order != 0 ? order < 0 : a->key_bytes < b->key_bytes;
}

static struct records take_records(struct fuzz_input *input)
{
    unsigned char *bytes = (unsigned char *)allocate(input->count + FF_RECORD_SLACK);
    struct records records = {.bytes = bytes, .end = bytes + input->count, .are_sound = true};
    const unsigned char *next = bytes;
    struct ff_entry last = {.key = ""};
    struct ff_entry entry;

    if (input->count > 0)
        memcpy(bytes, input->bytes, input->count);
    memset(records.end, 0, FF_RECORD_SLACK);
    for (; next < records.end; records.count++) {
        const unsigned char *record = next;
        unsigned char again[FF_RECORD_HEAD_MAX];
        size_t head;

        next = ff_record_take(record, records.end, &entry);
        if (next == NULL)
            break;
        REQUIRE((const unsigned char *)entry.key + entry.key_bytes == next && next <= records.end);
        head =
            (size_t)(ff_short_number_put(ff_short_number_put(again, entry.count), entry.key_bytes) -
                     again);
        REQUIRE(record + head == (const unsigned char *)entry.key);
        REQUIRE(memcmp(record, again, head) == 0);
        if (__builtin_add_overflow(records.total, entry.count, &records.total) ||
            (records.count > 0 && !is_before(&last, &entry)))
            records.are_sound = false;
        last = entry;
    }
    records.are_sound &= next == records.end;
    return records;
}

/* Makes a partial around records that is right if they are, with the cells in their order. */
static struct ff_partial *enclose(const struct records *records, size_t *bytes)
{
    size_t record_bytes = (size_t)(records->end - records->bytes);
    unsigned bits = 0;

    while (records->count >> bits > 32)
        bits++;

    size_t cell_count = ((size_t)1 << bits) + 1;
    size_t used = sizeof(struct ff_partial) + cell_count * sizeof(struct ff_partial_cell);
    const unsigned char *next = records->bytes;

    *bytes = (used + record_bytes + FF_RECORD_SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    struct ff_partial *partial = (struct ff_partial *)allocate(*bytes);
    struct ff_partial_cell *cells = (struct ff_partial_cell *)(partial + 1);
    size_t cells_used = 0;

    memset(partial, 0, *bytes);
    *partial = (struct ff_partial){.magic = FF_PARTIAL_MAGIC,
                                   .bytes = *bytes,
                                   .entry_count = records->count,
                                   .record_bytes = record_bytes,
                                   .total = records->total,
                                   .cell_bits = bits};
    for (uint64_t i = 0; i < records->count; i++) {
        uint64_t offset = (uint64_t)(next - records->bytes);
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        while (cells_used <= (uint64_t)ff_record_hash(&entry) >> (32 - bits))
            cells[cells_used++] = (struct ff_partial_cell){.offset = offset, .number = i};
    }
    while (cells_used < cell_count)
        cells[cells_used++] =
            (struct ff_partial_cell){.offset = record_bytes, .number = records->count};
    memcpy((char *)partial + used, records->bytes, record_bytes);
    return partial;
}

static void check_records(struct fuzz_input *input)
{
    struct records records = take_records(input);
    size_t bytes;
    struct ff_partial *partial = enclose(&records, &bytes);

    REQUIRE(ff_partial_is_sound(partial, bytes) == records.are_sound);
    if (records.are_sound)
        read_everything(partial);
    free(partial);
    free(records.bytes);
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
 * Makes a key longer or shorter, and moves the cells and the ends behind it along: all agrees, and
 * only the records say that it is wrong.
 */
static void stretch_key(struct ff_partial *partial, unsigned number, int by)
{
    struct ff_partial_cell *cells = (struct ff_partial_cell *)(partial + 1);
    size_t last_cell = (size_t)1 << partial->cell_bits;
    const unsigned char *record = ff_partial_records(partial);
    unsigned char stretched[FF_SHORT_NUMBER_MAX];
    struct ff_entry entry;
    uint64_t i = 0;
    uint64_t count;

    if (partial->entry_count == 0)
        return;
    for (; i < number % partial->entry_count; i++)
        record = ff_record_get(record, &entry);
    (void)ff_record_get(record, &entry);

    unsigned char *length = (unsigned char *)ff_short_number_get(record, &count);
    size_t length_bytes = (size_t)((const unsigned char *)entry.key - length);
    uint64_t key_bytes = entry.key_bytes + (uint64_t)(int64_t)by;

    if ((size_t)(ff_short_number_put(stretched, key_bytes) - stretched) != length_bytes)
        return;
    memcpy(length, stretched, length_bytes);
    for (size_t c = 0; c <= last_cell; c++)
        if (cells[c].number > i)
            cells[c].offset += (uint64_t)(int64_t)by;
    partial->record_bytes += (uint64_t)(int64_t)by;
    partial->bytes = ((size_t)(ff_partial_records(partial) - (unsigned char *)partial) +
                      partial->record_bytes + FF_RECORD_SLACK + ALIGNMENT - 1) /
                     ALIGNMENT * ALIGNMENT;
}

static void check_edited(struct fuzz_input *input)
{
    unsigned stretched = take_byte(input);
    int stretch = (int8_t)take_byte(input) * 16;
    struct edits edits = take_edits(input);
    struct ff_table table = take_table(input);
    struct ff_partial *written = (struct ff_partial *)allocate(ff_partial_bound(&table));

    REQUIRE(ff_partial_write(written, &table) == 0 && written->bytes <= ff_partial_bound(&table));

    size_t left = written->bytes - edits.cut % written->bytes;
    struct ff_partial *edited = (struct ff_partial *)allocate(left);

    REQUIRE(ff_partial_is_sound(written, written->bytes));
    read_everything(written);
    keep("raw", 0, written, written->bytes);
    keep("records", 3, ff_partial_records(written), written->record_bytes);
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
    size_t bound = ff_partial_bound(table);
    struct sealed sealed = {.covered = covered};
    struct ff_area *buffer = &sealed.areas.buffers[CALL & 1][0];
    size_t room = bound + sizeof(struct ff_seal) + sizeof(failure) + ALIGNMENT;
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

    REQUIRE(payload != NULL && capacity >= bound);
    REQUIRE(ff_partial_write((struct ff_partial *)payload, table) == 0);
    sealed.payload_bytes = ((struct ff_partial *)payload)->bytes;
    ff_seal_end(*buffer, CALL, sealed.areas.claims, covered, failures, sealed.payload_bytes);
    ff_publish(&sealed.areas.head->sealed, ff_sealed_encode(covered, 0));
    sealed.bytes = (size_t)(payload - buffer->base) + sealed.payload_bytes;
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

    switch (take_byte(&input) % 4) {
    case 0:
        check_raw(&input);
        break;
    case 1:
        check_edited(&input);
        break;
    case 2:
        check_sealed(&input);
        break;
    default:
        check_records(&input);
        break;
    }
    return 0;
}
