/* The model that a program is for: compile with -DMODEL=name. */
#ifndef MODEL_H
#define MODEL_H

#include "edgecc.h"

#define MODEL_DECLARE(name) EDGECC_DECLARE_MODEL(name)
#define MODEL_JOIN(a, b, c) a##b##c
#define MODEL_SYMBOL(name, suffix) MODEL_JOIN(edgecc_, name, suffix)
MODEL_DECLARE(MODEL);
#define INFO MODEL_SYMBOL(MODEL, _info)
#define RUN MODEL_SYMBOL(MODEL, _run)

#define MAX_TENSORS 64

#endif
