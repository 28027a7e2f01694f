/*
 * The digest is that of the file with the digest's own digits read as zeros. It stands at a fixed
 * place, so that whoever writes the file again in another order is found out at once.
 */
#include "io/safetensors_digest.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/header.h"

enum { PLACE = 8 + JEMI_DIGEST_PLACE, PIECE = 1 << 14 };

static uint64_t digest_of_front(const jemi_safetensors *file)
{
    static const char zeros[] = "0000000000000000";
    const size_t after = PLACE + JEMI_DIGEST_LENGTH;
    const uint64_t before = jemi_digest(0, file->front, PLACE);
    const uint64_t blanked = jemi_digest(before, zeros, JEMI_DIGEST_LENGTH);
    return jemi_digest(blanked, file->front + after, file->front_size - after);
}

// Of the data that the source still gives; one byte more is looked for, as a pipe may never end.
static jem_status digest_source(jemi_safetensors *file, uint64_t *digest)
{
    unsigned char piece[PIECE];
    size_t got = PIECE;
    for (size_t left = file->data_size; left > 0 && got > 0; left -= got) {
        JEMI_TRY(jemi_source_read(&file->source, piece, left < PIECE ? left : PIECE, &got));
        *digest = jemi_digest(*digest, piece, got);
    }
    JEMI_TRY(jemi_source_read(&file->source, piece, 1, &got));
    return got == 0 ? JEM_OK : jemi_safetensors_fail_goes_on(file);
}

// Takes the digest's two keys out of the metadata. They are the first two.
static void hide_digest(jemi_safetensors *file)
{
    size_t n = 0;
    for (size_t i = 0; i < file->n_metadata; i++)
        if (file->metadata_by_key[i] >= 2)
            file->metadata_by_key[n++] = file->metadata_by_key[i] - 2;
    file->n_metadata = n;
    memmove(file->metadata, file->metadata + 2, n * sizeof file->metadata[0]);
}

static jem_status compare(jemi_safetensors *file, const char *value, const char *remedy)
{
    uint64_t digest = digest_of_front(file);
    if (file->data != NULL)
        digest = jemi_digest(digest, file->data, file->data_size);
    else
        JEMI_TRY(digest_source(file, &digest));
    char actual[JEMI_DIGEST_LENGTH + 1];
    jemi_format(actual, sizeof actual, "%016" PRIx64, digest);
    if (strcmp(actual, value) != 0)
        return jemi_fail(JEM_EFORMAT,
                         "the file is damaged, or was changed after libjem wrote it: its digest is "
                         "%s, not %s as it says%s",
                         actual, value, remedy);
    file->has_digest = true;
    hide_digest(file);
    return JEM_OK;
}

// Each of the two keys demands the other, so that no single flipped bit makes the digest vanish.
jem_status jemi_safetensors_check_digest(jemi_safetensors *file, const char *remedy)
{
    const char *kind = jemi_safetensors_metadata(file, JEMI_DIGEST_KIND_KEY);
    const char *value = jemi_safetensors_metadata(file, JEMI_DIGEST_KEY);
    if (kind == NULL && value == NULL)
        return JEM_OK;
    if (kind == NULL || value == NULL)
        return jemi_fail(JEM_EFORMAT,
                         "the file is damaged, or was changed after libjem wrote it: it has one of "
                         "%s and %s, not both%s",
                         JEMI_DIGEST_KEY, JEMI_DIGEST_KIND_KEY, remedy);
    if (strcmp(kind, JEMI_DIGEST_KIND) != 0)
        return jemi_fail(JEM_EUNSUPPORTED, "the file's digest is of another kind than %s%s",
                         JEMI_DIGEST_KIND, remedy);
    if (file->front_size < PLACE + JEMI_DIGEST_LENGTH ||
        memcmp(file->front + 8, JEMI_DIGEST_PREFIX, JEMI_DIGEST_PLACE) != 0 ||
        strlen(value) != JEMI_DIGEST_LENGTH)
        return jemi_fail(JEM_EFORMAT,
                         "the file was changed after libjem wrote it: its digest is not where and "
                         "as libjem writes it%s",
                         remedy);
    return compare(file, value, remedy);
}
