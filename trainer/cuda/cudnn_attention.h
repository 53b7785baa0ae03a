#ifndef TRAINER_CUDA_CUDNN_ATTENTION_H
#define TRAINER_CUDA_CUDNN_ATTENTION_H

#include "trainer/cuda/device.h"

/*
 * Causal attention through cuDNN, in bf16. One of cudnn_attention.cu and cudnn_absent.cu is built,
 * by whether cuDNN's headers were found; the library itself is looked for at run time. Each
 * function answers false, having done nothing, when cuDNN is not there or does not take the shape;
 * the caller then takes our own kernels (flash.h). A shape's plans are made once and kept.
 *
 * With device.exact only engines that give the same bits every time are asked for. Otherwise the
 * backward pass may add up d_q in an order that varies.
 */
bool cudnn_forward(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s);
bool cudnn_backward(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                    struct view d_out, struct view out, struct view lse, struct view q,
                    struct view k, struct view v, struct attention_shape s);

void cudnn_attention_open(struct device *d);
void cudnn_attention_close(struct device *d);

#endif
