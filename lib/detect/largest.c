/*
 * A binary heap: the children of place i are at 2 i + 1 and 2 i + 2.
 */
#include "detect/largest.h"

#include <string.h>

#include "detect/sorted.h"

static void sift_up(float *at, int64_t i)
{
    while (i > 0 && at[i] < at[(i - 1) / 2]) {
        jemi_swap_floats(&at[i], &at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(float *at, int64_t count)
{
    int64_t i = 0;
    for (int64_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && at[child + 1] < at[child])
            child++;
        if (at[i] <= at[child])
            return;
        jemi_swap_floats(&at[i], &at[child]);
        i = child;
    }
}

void jemi_largest_add(jemi_largest *heap, int64_t n, const float *values, int64_t most)
{
    for (int64_t i = 0; i < n; i++)
        if (heap->count < most) {
            heap->values[heap->count] = values[i];
            sift_up(heap->values, heap->count++);
        } else if (values[i] > heap->values[0]) {
            heap->values[0] = values[i];
            sift_down(heap->values, heap->count);
        }
}

int64_t jemi_find_top(int64_t n, const float *values)
{
    int64_t top = 0;
    for (int64_t i = 1; i < n; i++)
        if (values[i] > values[top])
            top = i;
    return top;
}

// Integers in the order of the floats.
static uint32_t order_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t order)
{
    const uint32_t bits = (order & 0x80000000u) != 0 ? order & 0x7fffffffu : ~order;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Bit by bit the largest number that at least k of the values reach.
float jemi_kth_largest(int64_t n, const float *values, int64_t k)
{
    uint32_t reached = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            count += order_of(values[i]) >= (reached | bit);
        reached |= count >= k ? bit : 0;
    }
    return value_of(reached);
}
