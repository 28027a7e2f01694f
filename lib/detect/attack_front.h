/*
 * The rows of a block that an attack is still working on. Their arrays are dense, so that the network
 * sees no row in vain: a row that is done with leaves, and the last one takes its place.
 */
#ifndef JEMI_DETECT_ATTACK_FRONT_H
#define JEMI_DETECT_ATTACK_FRONT_H

#include <stdbool.h>

#include "base/progress.h"
#include "detect/attack_ball.h"
#include "model/pass.h"

enum { JEMI_ATTACK_PLANES = 5, JEMI_ATTACK_ROWS_MAX = 256 };

/** What all blocks of an attack share. */
typedef struct jemi_attack {
    const jem_model *model;
    jemi_runner *runner; /* its parameters are those of the whole attack */
    const jem_attack_config *config;
    jemi_ball ball;
    int32_t classes;
    jemi_random_key key; /* of starts and proposals */
    bool noisy;          /* two looks at the same point may differ */
    bool minimizes;      /* the kind looks for the nearest point, not for one within eps */
} jemi_attack;

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

    /* What the kind remembers between its steps. */
    double size, other_size; /* of steps */
    double top;              /* lowest cost of this restart */
    double top_before;       /* at the last checkpoint */
    int32_t tries, hits, other_tries, other_hits;
    bool halved;
    bool idle; /* nothing is left to be done in this restart */
} jemi_attacked;

typedef struct jemi_front {
    const jemi_attack *attack;
    int64_t n;                         /* rows at work */
    jemi_attacked **rows;              /* (n) */
    float *planes[JEMI_ATTACK_PLANES]; /* (n, row_len) each, NULL where the kind needs none */
    float *refined;                    /* (n, row_len), for looks; NULL without refinement */
    float *logits;                     /* (n, K), for looks */
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
