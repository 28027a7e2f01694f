/*
 * Logits that another engine has computed: scores of theirs, and a threshold, without a model.
 *
 *     ./07_foreign_logits
 *
 * Whatever runs the network, its logits are enough for six scores. Held-out rows say where the
 * threshold lies: here at the score that five in a hundred of them exceed.
 */
#include "example.h"

enum { CLASSES = 10, HELD_OUT = 1000, ROWS = 4 };

/* Stands for the other engine: `clear` says how much the class stands out. */
static void run_engine(int n, float clear, float *logits)
{
    for (int i = 0; i < n * CLASSES; i++)
        logits[i] = 2.0f * (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < n; i++)
        logits[i * CLASSES + rand() % CLASSES] += clear;
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static float held_out[HELD_OUT * CLASSES], scores[HELD_OUT];
    run_engine(HELD_OUT, 6.0f, held_out);
    CHECK(jem_score_logits(JEM_SCORE_ENERGY, NULL, HELD_OUT, CLASSES, held_out, scores));
    qsort(scores, HELD_OUT, sizeof scores[0], ascending);
    const float threshold = scores[HELD_OUT - 1 - HELD_OUT / 20];

    const float clear[ROWS] = {6.0f, 6.0f, 1.0f, 0.0f}; /* the last two are like nothing it knows */
    for (int i = 0; i < ROWS; i++) {
        float logits[CLASSES], energy, entropy;
        run_engine(1, clear[i], logits);
        CHECK(jem_score_logits(JEM_SCORE_ENERGY, NULL, 1, CLASSES, logits, &energy));
        CHECK(jem_score_logits(JEM_SCORE_ENTROPY, NULL, 1, CLASSES, logits, &entropy));
        printf("row %d: energy %.2f, entropy %.2f nats, %s\n", i, (double)energy, (double)entropy,
               energy > threshold ? "unusual" : "usual");
    }
    return 0;
}
