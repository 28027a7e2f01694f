#include "detect/monitor_snapshot.h"

#include <string.h>

#include "base/status.h"
#include "io/digest.h"

enum {
    FORMAT = 1,
    WORD = 8,
    LAW_WORDS = sizeof(jemi_monitor_law) / WORD,
    STATE_WORDS = sizeof(jemi_monitor_state) / WORD,
    FORMAT_AT = WORD,
    LAW_AT = 2 * WORD,
    STATE_AT = LAW_AT + LAW_WORDS * WORD,
    END = STATE_AT + STATE_WORDS * WORD,
    DIGEST_AT = JEM_MONITOR_SNAPSHOT_BYTES - WORD,
};

_Static_assert(sizeof(jemi_monitor_state) == WORD * (4 + JEMI_MONITOR_BETS), "no padding");
_Static_assert((int)END <= (int)DIGEST_AT, "room");

static const unsigned char magic[WORD] = "jem-mon";

static void put_words(unsigned char *bytes, const void *words, int count)
{
    for (int w = 0; w < count; w++) {
        uint64_t word;
        memcpy(&word, (const unsigned char *)words + w * WORD, WORD);
        for (int i = 0; i < WORD; i++)
            bytes[w * WORD + i] = (unsigned char)(word >> 8 * i);
    }
}

static void get_words(const unsigned char *bytes, void *words, int count)
{
    for (int w = 0; w < count; w++) {
        uint64_t word = 0;
        for (int i = 0; i < WORD; i++)
            word |= (uint64_t)bytes[w * WORD + i] << 8 * i;
        memcpy((unsigned char *)words + w * WORD, &word, WORD);
    }
}

void jemi_monitor_snapshot_write(const jem_monitor *monitor,
                                 unsigned char bytes[JEM_MONITOR_SNAPSHOT_BYTES])
{
    const uint64_t format = FORMAT;
    memset(bytes, 0, JEM_MONITOR_SNAPSHOT_BYTES);
    memcpy(bytes, magic, WORD);
    put_words(bytes + FORMAT_AT, &format, 1);
    put_words(bytes + LAW_AT, &monitor->law, LAW_WORDS);
    put_words(bytes + STATE_AT, &monitor->state, STATE_WORDS);
    const uint64_t digest = jemi_digest(0, bytes, DIGEST_AT);
    put_words(bytes + DIGEST_AT, &digest, 1);
}

static bool is_sound(const jemi_monitor_state *state)
{
    if (state->n_seen < 0 || state->n_seen > JEMI_MONITOR_SEEN_MAX || state->alarm_at < 0 ||
        state->alarm_at > JEMI_MONITOR_SEEN_MAX)
        return false;
    if (!(state->evidence > 0.0 && state->evidence <= state->largest &&
          state->largest <= 2.0 * JEMI_MONITOR_WEALTH_MAX))
        return false;
    for (int k = 0; k < JEMI_MONITOR_BETS; k++)
        if (!(state->wealth[k] >= 0.0 && state->wealth[k] <= JEMI_MONITOR_WEALTH_MAX))
            return false;
    return true;
}

static jem_status check_frame(const unsigned char *bytes)
{
    uint64_t format, digest;
    get_words(bytes + FORMAT_AT, &format, 1);
    get_words(bytes + DIGEST_AT, &digest, 1);
    if (memcmp(bytes, magic, WORD) != 0)
        return jemi_fail(JEM_EFORMAT, "these bytes are no snapshot of a monitor; expected those of "
                                      "jem_monitor_snapshot()");
    if (digest != jemi_digest(0, bytes, DIGEST_AT))
        return jemi_fail(JEM_EFORMAT, "the snapshot's digest does not match; expected the bytes as "
                                      "they were written");
    if (format != FORMAT)
        return jemi_fail(JEM_EFORMAT, "the snapshot has format %llu; expected %d",
                         (unsigned long long)format, (int)FORMAT);
    return JEM_OK;
}

jem_status jemi_monitor_snapshot_read(jem_monitor **out,
                                      const unsigned char bytes[JEM_MONITOR_SNAPSHOT_BYTES])
{
    jemi_monitor_law law;
    jemi_monitor_state state;
    JEMI_TRY(check_frame(bytes));
    get_words(bytes + LAW_AT, &law, LAW_WORDS);
    get_words(bytes + STATE_AT, &state, STATE_WORDS);
    if (!jemi_monitor_law_is_sound(&law) || !is_sound(&state))
        return jemi_fail(JEM_EFORMAT,
                         "the snapshot holds numbers that no monitor has; expected the "
                         "bytes of jem_monitor_snapshot()");
    JEMI_TRY(jemi_monitor_create(out, &law));
    (*out)->state = state;
    return JEM_OK;
}
