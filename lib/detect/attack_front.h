/*
 * The rows of a block that an attack is still working on. Their arrays are dense, so that the network
 * sees no row in vain: a row that is done with leaves, and the last one takes its place.
 */
#ifndef JEMI_DETECT_ATTACK_FRONT_H
#define JEMI_DETECT_ATTACK_FRONT_H

#include <stdbool.h>

#include "base/progress.h"
#include "detect/attack_ball.h"
#include "detect/detector_gradient.h"
#include "model/pass.h"

enum { JEMI_ATTACK_PLANES = 5, JEMI_ATTACK_ROWS_MAX = JEMI_DETECTOR_ROWS };

/** What all blocks of an attack share. */
typedef struct jemi_attack {
    const jem_model *model;
    jemi_runner *runner; /* its parameters are those of the whole attack */
    const jem_attack_config *config;
    jemi_ball ball;
    const float *low, *high; /* (C), the input range, also where the ball does not clip to it */
    int32_t classes;
    jemi_random_key key; /* of starts and proposals */
    bool noisy;          /* two looks at the same point may differ */
    bool minimizes;      /* the kind looks for the nearest point, not for one within eps */
} jemi_attack;

typedef struct jemi_apgd_pace {
    double size;            /* of a step */
    double last_cost;       /* of the point before */
    double best_cost;       /* lowest of this restart */
    double checkpoint_cost; /* that, at the last checkpoint */
    int32_t steps, hits;    /* since then; those that lowered the cost */
    bool halved;            /* the size was, then */
} jemi_apgd_pace;

/** Parts of the way from x at which the goal is reached, and at which it is not. */
typedef struct jemi_start_search {
    bool found;
    double reached, missed;
} jemi_start_search;

/** Of each move its size, in distances from x, and how often it was tried and succeeded. */
typedef struct jemi_boundary_pace {
    double aside, closer;
    int32_t aside_tries, aside_hits, closer_tries, closer_hits;
} jemi_boundary_pace;

/** Changed values are counted in the random order of a pass. */
typedef struct jemi_pointwise_pace {
    uint64_t pass;      /* the moment that names its order */
    int64_t next, size; /* of the values that are tried: the first, how many */
    bool gained;        /* in this pass some went back */
} jemi_pointwise_pace;

/** A row under attack. */
typedef struct jemi_attacked {
    uint32_t row;   /* of its random numbers */
    int64_t label;  /* -1 = none */
    const float *x; /* as it was */
    float *best;    /* the best point so far */
    bool won;       /* that point reaches the goal */
    bool settled;   /* nothing is left to be gained */
    double merit; /* of that point, low is good: its cost, or its distance if the kind minimises */

    /* The point that was looked at last: */
    double cost;  /* low is close to the goal */
    bool reached; /* it reaches the goal */

    bool idle; /* nothing is left to be done in this restart */
    union {    /* what the kind remembers between its steps */
        jemi_apgd_pace apgd;
        double square_cost; /* of the point, the last one that was accepted */
        jemi_start_search start;
        jemi_boundary_pace boundary;
        jemi_pointwise_pace pointwise;
    };
} jemi_attacked;

typedef struct jemi_front {
    const jemi_attack *attack;
    int64_t n;                         /* rows at work */
    jemi_attacked **rows;              /* (n) */
    float *planes[JEMI_ATTACK_PLANES]; /* (n, row_len) each, NULL where the kind needs none */
    float *refined;                    /* (n, row_len), for looks; NULL without refinement */
    float *logits;                     /* (n, K), for looks */
    jemi_detector_work scored;         /* for looks at a detector, as the next */
    jemi_detector_gradient gradient;
    /* Of the whole block: */
    int64_t n_all, capacity;
    jemi_attacked *all;
} jemi_front;

/** Zeroed before. Memory for `capacity` rows, JEMI_ATTACK_ROWS_MAX at most, and so many planes. */
jem_status jemi_front_init(jemi_front *front, const jemi_attack *attack, int64_t capacity,
                           int n_planes);
void jemi_front_fini(jemi_front *front);

/** A row of a plane. */
static inline float *jemi_front_row(const jemi_front *front, int plane, int64_t i)
{
    return front->planes[plane] + i * front->attack->ball.row_len;
}

/** All rows of the block go to work that are not settled, or all of them. Planes are not filled. */
void jemi_front_gather(jemi_front *front, bool settled_too);

/** Rows that are settled or idle leave; planes keep what they hold of the others. */
void jemi_front_retire(jemi_front *front);

/** Calls `work` for the places 0 .. n-1, in parallel. */
typedef void (*jemi_front_fn)(jemi_front *front, int64_t i, const void *args);
void jemi_front_each(jemi_front *front, jemi_front_fn work, const void *args);

/** The points of a plane that was looked at replace the best ones where they are better. */
void jemi_front_keep(jemi_front *front, int plane);

#endif
