/*
 * Rows come and go, and what was best of each is kept.
 */
#include "detect/attack_front.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/grain.h"

static bool make_floats(float **out, int64_t rows, int64_t row_len)
{
    size_t count;
    *out = jemi_mul((size_t)rows, (size_t)row_len, &count) ? jemi_alloc(count, sizeof **out) : NULL;
    return *out != NULL;
}

jem_status jemi_front_init(jemi_front *front, const jemi_attack *attack, int64_t capacity,
                           int n_planes)
{
    const int64_t row_len = attack->ball.row_len;
    front->attack = attack;
    front->capacity = capacity;
    front->all = jemi_calloc((size_t)capacity, sizeof *front->all);
    front->rows = jemi_calloc((size_t)capacity, sizeof *front->rows);
    bool enough = front->all != NULL && front->rows != NULL;
    enough = enough && make_floats(&front->logits, capacity, attack->classes);
    for (int i = 0; i < n_planes; i++)
        enough = enough && make_floats(&front->planes[i], capacity, row_len);
    if (attack->config->refine_steps > 0)
        enough = enough && make_floats(&front->refined, capacity, row_len);
    if (!enough)
        return jemi_fail_memory("rows under attack");
    if (attack->config->goal != JEM_GOAL_DETECTOR)
        return JEM_OK;
    const jem_detector *detector = attack->config->detector;
    JEMI_TRY(jemi_detector_work_create(&front->scored, detector, capacity));
    return jemi_detector_gradient_create(&front->gradient, detector, attack->model, capacity);
}

void jemi_front_fini(jemi_front *front)
{
    for (int i = 0; i < JEMI_ATTACK_PLANES; i++)
        jemi_free(front->planes[i]);
    jemi_free(front->refined);
    jemi_free(front->logits);
    jemi_free(front->rows);
    jemi_free(front->all);
    jemi_detector_work_fini(&front->scored);
    jemi_detector_gradient_fini(&front->gradient);
}

void jemi_front_gather(jemi_front *front, bool settled_too)
{
    front->n = 0;
    for (int64_t i = 0; i < front->n_all; i++) {
        front->all[i].idle = false;
        if (settled_too || !front->all[i].settled)
            front->rows[front->n++] = &front->all[i];
    }
}

static void move_last_to(jemi_front *front, int64_t i)
{
    const int64_t last = --front->n;
    front->rows[i] = front->rows[last];
    for (int p = 0; p < JEMI_ATTACK_PLANES && i < last; p++)
        if (front->planes[p] != NULL)
            memcpy(jemi_front_row(front, p, i), jemi_front_row(front, p, last),
                   (size_t)front->attack->ball.row_len * sizeof(float));
}

void jemi_front_retire(jemi_front *front)
{
    for (int64_t i = front->n - 1; i >= 0; i--)
        if (front->rows[i]->settled || front->rows[i]->idle)
            move_last_to(front, i);
}

typedef struct row_task {
    jemi_front *front;
    jemi_front_fn work;
    const void *args;
} row_task;

static void run_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const row_task *task = context;
    for (int64_t i = begin; i < end; i++)
        task->work(task->front, i, task->args);
}

void jemi_front_each(jemi_front *front, jemi_front_fn work, const void *args)
{
    const int64_t effort = front->attack->ball.row_len * JEMI_WORK_OF_FLOAT;
    jemi_parallel(front->n, jemi_grain(front->n, effort), run_rows, &(row_task){front, work, args});
}

// A point that reaches the goal is better than any that does not.
static bool is_better(const jemi_attacked *row, double merit)
{
    return row->reached != row->won ? row->reached : merit < row->merit;
}

static void keep_row(jemi_front *front, int64_t i, const void *args)
{
    const jemi_ball *ball = &front->attack->ball;
    const float *point = jemi_front_row(front, *(const int *)args, i);
    jemi_attacked *row = front->rows[i];
    const bool minimizes = front->attack->minimizes;
    if (minimizes && !row->reached)
        return; // what is near, but does not reach the goal, is x itself
    const double merit = minimizes ? jemi_ball_distance(ball, row->x, point) : row->cost;
    if (!is_better(row, merit))
        return;
    memcpy(row->best, point, (size_t)ball->row_len * sizeof *point);
    row->won = row->reached;
    row->merit = merit;
}

void jemi_front_keep(jemi_front *front, int plane)
{
    jemi_front_each(front, keep_row, &plane);
}
