/*
 * A host that notices when its inputs change: a monitor beside any engine that gives scores.
 *
 *     ./06_monitor
 *
 * Half way through the stream one input in five comes from a camera that is out of focus. While
 * nothing changes, the chance of an alarm is at most 1 %, however long that takes.
 */
#include "example.h"

enum { HELD_OUT = 2000, STREAM = 100000, CHANGE = STREAM / 2, PORTION = 100 };

/* Stands for jem_score(), jem_detector_score() or another engine: higher = more unusual. */
static float score_of(int out_of_focus)
{
    const float u = (float)(rand() + 1.0) / ((float)RAND_MAX + 2.0f);
    return -logf(u) + (out_of_focus ? 4.0f : 0.0f);
}

static void told(void *user, const jem_monitor_info *info)
{
    (void)user;
    printf("alarm at input %lld\n", (long long)info->alarm_at);
}

int main(void)
{
    static float held_out[HELD_OUT];
    for (int i = 0; i < HELD_OUT; i++)
        held_out[i] = score_of(0);

    jem_monitor *monitor;
    CHECK(jem_monitor_create(&monitor, NULL, HELD_OUT, held_out));
    CHECK(jem_monitor_set_alarm(monitor, told, NULL));

    int32_t alarm = 0;
    for (int t = 0; t < STREAM && !alarm; t += PORTION) {
        float scores[PORTION];
        for (int i = 0; i < PORTION; i++)
            scores[i] = score_of(t + i >= CHANGE && rand() % 5 == 0);
        CHECK(jem_monitor_update(monitor, PORTION, scores, &alarm));
    }
    printf(alarm ? "the change was at input %d\n" : "the change at input %d was not noticed\n",
           CHANGE);
    jem_monitor_destroy(monitor);
    return 0;
}
