/* Built where cuDNN's headers were not found: attention runs on flash.h's kernels. */
#include "trainer/cuda/cudnn_attention.h"

bool cudnn_forward(struct device *, struct view, struct view, struct view, struct view, struct view,
                   struct attention_shape)
{
    return false;
}

bool cudnn_backward(struct device *, struct view, struct view, struct view, struct view,
                    struct view, struct view, struct view, struct view, struct view,
                    struct attention_shape)
{
    return false;
}

void cudnn_attention_open(struct device *) {}
void cudnn_attention_close(struct device *) {}
