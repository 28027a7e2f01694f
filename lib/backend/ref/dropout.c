/*
 * The reference backend's dropout (Srivastava et al. 2014). The mask is not kept: a backward pass
 * draws the same numbers again.
 */
#include "backend/ref/nodes.h"

void jemi_ref_dropout(const jemi_node *node, const jemi_dropout *dropout, int64_t row,
                      const double *x, bool add, double *y)
{
    const int64_t size = jemi_shape_size(node->shape);
    const double scale = 1.0 / (1.0 - (double)node->rate);
    for (int64_t i = 0; i < size; i += 4) {
        uint32_t bits[4];
        jemi_random_u32x4(dropout->key, (uint32_t)((node->mask_offset + i) / 4),
                          dropout->first_row + (uint32_t)row, dropout->step, bits);
        for (int64_t j = 0; j < 4 && i + j < size; j++) {
            // Multiplied where dropped too: NaN stays visible.
            const double factor = jemi_unit_from_u32(bits[j]) < node->rate ? 0.0 : scale;
            y[i + j] = (add ? y[i + j] : 0.0) + factor * x[i + j];
        }
    }
}
