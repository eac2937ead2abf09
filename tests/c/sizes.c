/* Runs each size of a model in turn on one state; prints each level. */
#include "net.h"

#include <stdio.h>

#define MOST 16

static unsigned char memory[NET_WORKSPACE_SIZE + NET_WORKSPACE_ALIGN];

int main(void) {
    static const size_t sizes[] = {4, 16, 8};
    float audio[MOST], level[MOST];
    size_t excess = (size_t)memory % NET_WORKSPACE_ALIGN;
    void *workspace = memory + (NET_WORKSPACE_ALIGN - excess) % NET_WORKSPACE_ALIGN;
    net_inputs inputs = {audio};
    net_outputs outputs = {level};
    net_dims dims = {5};
    net_state state;
    net_state_reset(&state);
    for (unsigned i = 0; i < MOST; i++)
        audio[i] = (float)i / 16.0f;
    if (net_workspace_size(&dims) != SIZE_MAX)
        return 1;
    if (net_run(&dims, &inputs, &outputs, &state, workspace, sizeof memory) != NET_ERR_DIM)
        return 2;
    for (unsigned n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        dims.samples = sizes[n];
        size_t size = net_workspace_size(&dims);
        if (size > NET_WORKSPACE_SIZE)
            return 3;
        if (net_run(&dims, &inputs, &outputs, &state, workspace, size) != NET_OK)
            return 4;
        for (unsigned i = 0; i < sizes[n]; i++)
            printf("%.9g ", level[i]);
        puts("");
    }
    return 0;
}
