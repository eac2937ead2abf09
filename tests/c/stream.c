/* Feeds chunks to a model with a state and prints each level; `stream AGAIN` resets in between. */
#include "net.h"

#include <stdio.h>

#define CHUNKS 3
#define SAMPLES (NET_INPUT_AUDIO_SIZE / sizeof(float))

static unsigned char memory[NET_WORKSPACE_SIZE + NET_WORKSPACE_ALIGN];

int main(int argc, char **argv) {
    float audio[SAMPLES], level[SAMPLES];
    size_t excess = (size_t)memory % NET_WORKSPACE_ALIGN;
    void *workspace = memory + (NET_WORKSPACE_ALIGN - excess) % NET_WORKSPACE_ALIGN;
    net_inputs inputs = {audio};
    net_outputs outputs = {level};
    net_state state;
    (void)argv;
    net_state_reset(&state);
    if (net_run(&inputs, &outputs, NULL, workspace, NET_WORKSPACE_SIZE) != NET_ERR_NULL)
        return 1;
    for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
        if (argc > 1)
            net_state_reset(&state);
        for (unsigned i = 0; i < SAMPLES; i++)
            audio[i] = (float)(chunk * SAMPLES + i) / 16.0f;
        if (net_run(&inputs, &outputs, &state, workspace, NET_WORKSPACE_SIZE) != NET_OK)
            return 2;
        for (unsigned i = 0; i < SAMPLES; i++)
            printf("%.9g ", level[i]);
        printf("%.9g\n", state.h[5]);
    }
    return 0;
}
