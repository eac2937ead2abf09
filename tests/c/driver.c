/* Runs any model under hard conditions: driver INPUTS OUTPUTS
 *
 * Compile with -DMODEL=name and link with the model's object. Input number i is the raw bytes of
 * INPUTS/i; outputs go to OUTPUTS/i. Each buffer touches a page that traps, once at its end and
 * once at its start; inputs are read-only; bytes around buffers must not change; both runs must
 * agree in every byte; the entry point must refuse bad calls. Prints the model's facts as JSON. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "model.h"

#define FILLER 0xA5
#define STACK_BYTES ((size_t)1 << 20)
/* What the call itself and its caller's frame may take of a measured stack. */
#define STACK_SLACK 64u

static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

#define CHECK(condition, ...)      \
    do {                           \
        if (!(condition))          \
            fail(__VA_ARGS__);     \
    } while (0)

/* ---- Memory between two pages that trap ---- */

typedef enum { TOUCH_END, TOUCH_START } side;

typedef struct {
    unsigned char *pages; /* without the trapping ones */
    size_t pages_size;
    unsigned char *data;
    size_t size;
} buffer;

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static buffer buffer_new(size_t size, size_t align, side where) {
    size_t page = page_size();
    size_t inner = (size + align + page - 1) / page * page;
    unsigned char *base =
        mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED, "out of memory: %zu bytes", size);
    buffer made = {base + page, inner, base + page, size};
    CHECK(!mprotect(made.pages, inner, PROT_READ | PROT_WRITE), "mprotect failed");
    memset(made.pages, FILLER, inner);
    if (where == TOUCH_END)
        made.data = made.pages + (inner - size) / align * align;
    return made;
}

static void buffer_free(const buffer *b) {
    size_t page = page_size();
    munmap(b->pages - page, b->pages_size + 2 * page);
}

/* Whether nothing was written beside the data. */
static int is_intact(const buffer *b) {
    for (unsigned char *p = b->pages; p < b->pages + b->pages_size; p++)
        if (*p != FILLER && (p < b->data || p >= b->data + b->size))
            return 0;
    return 1;
}

static int is_untouched(const buffer *b) {
    for (size_t i = 0; i < b->size; i++)
        if (b->data[i] != FILLER)
            return 0;
    return is_intact(b);
}

/* ---- Files ---- */

static FILE *open_numbered(const char *folder, uint32_t number, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", folder, number);
    FILE *file = fopen(path, mode);
    CHECK(file, "cannot open %s", path);
    return file;
}

static void read_file(const char *folder, uint32_t number, const buffer *into) {
    FILE *file = open_numbered(folder, number, "rb");
    CHECK(fread(into->data, 1, into->size, file) == into->size, "input %u is too short", number);
    CHECK(fgetc(file) == EOF, "input %u is too long", number);
    fclose(file);
}

static void write_file(const char *folder, uint32_t number, const buffer *from) {
    FILE *file = open_numbered(folder, number, "wb");
    CHECK(fwrite(from->data, 1, from->size, file) == from->size, "cannot write %u", number);
    CHECK(!fclose(file), "cannot write %u", number);
}

/* ---- One set of buffers ---- */

typedef struct {
    buffer inputs[MAX_TENSORS], outputs[MAX_TENSORS], workspace, state;
    const void *input_list[MAX_TENSORS];
    void *output_list[MAX_TENSORS];
    edgecc_call call;
} setting;

static buffer tensor_new(const edgecc_tensor_v1 *tensor, side where) {
    return buffer_new(tensor->size_bytes, edgecc_elem_size(tensor->elem), where);
}

static void setting_init(setting *s, const char *folder, side where) {
    for (uint32_t i = 0; i < INFO->n_inputs; i++) {
        buffer *b = &s->inputs[i];
        *b = tensor_new(edgecc_model_input(INFO, i), where);
        read_file(folder, i, b);
        CHECK(!mprotect(b->pages, b->pages_size, PROT_READ), "mprotect failed");
        s->input_list[i] = b->data;
    }
    for (uint32_t i = 0; i < INFO->n_outputs; i++) {
        s->outputs[i] = tensor_new(edgecc_model_output(INFO, i), where);
        s->output_list[i] = s->outputs[i].data;
    }
    s->workspace = buffer_new(INFO->arena_bytes, INFO->arena_align, where);
    s->state = buffer_new(INFO->state_bytes, INFO->state_align, where);
    s->call = (edgecc_call){
        .abi_version = EDGECC_ABI_VERSION,
        .n_inputs = INFO->n_inputs,
        .n_outputs = INFO->n_outputs,
        .inputs = s->input_list,
        .outputs = s->output_list,
        .workspace = s->workspace.data,
        .workspace_size = INFO->arena_bytes,
        .state = s->state.data,
        .state_size = INFO->state_bytes,
    };
}

static void setting_check(const setting *s) {
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        CHECK(is_intact(&s->outputs[i]), "bytes beside output %u were written", i);
    CHECK(is_intact(&s->workspace), "bytes beside the workspace were written");
    CHECK(is_intact(&s->state), "bytes beside the state were written");
}

static void setting_free(const setting *s) {
    for (uint32_t i = 0; i < INFO->n_inputs; i++)
        buffer_free(&s->inputs[i]);
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        buffer_free(&s->outputs[i]);
    buffer_free(&s->workspace);
    buffer_free(&s->state);
}

/* ---- Calls that must be refused ---- */

static void refuse(const setting *s, const edgecc_call *call, int32_t status, const char *what) {
    int32_t got = RUN(call);
    CHECK(got == status, "%s: got \"%s\", expected \"%s\"", what, edgecc_strerror(got),
          edgecc_strerror(status));
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        CHECK(is_untouched(&s->outputs[i]), "%s: output %u was written", what, i);
    CHECK(is_untouched(&s->workspace), "%s: the workspace was written", what);
    CHECK(is_untouched(&s->state), "%s: the state was written", what);
}

static void refuse_workspaces(const setting *s) {
    edgecc_call call;
    call = s->call, call.workspace_size--;
    refuse(s, &call, EDGECC_ERR_WORKSPACE, "a workspace that is one byte short");
    call = s->call, call.workspace = NULL;
    refuse(s, &call, EDGECC_ERR_NULL, "no workspace");
    call = s->call, call.workspace = (char *)call.workspace - 1;
    refuse(s, &call, EDGECC_ERR_ALIGN, "a misaligned workspace");
}

static void refuse_states(const setting *s) {
    edgecc_call call;
    call = s->call, call.state_size--;
    refuse(s, &call, EDGECC_ERR_STATE, "a state that is one byte short");
    call = s->call, call.state = NULL;
    refuse(s, &call, EDGECC_ERR_NULL, "no state");
    call = s->call, call.state = (char *)call.state - 1;
    if (INFO->state_align > 1)
        refuse(s, &call, EDGECC_ERR_ALIGN, "a misaligned state");
}

static void refuse_calls(setting *s) {
    edgecc_call call = s->call;
    refuse(s, NULL, EDGECC_ERR_NULL, "no call");
    call.abi_version++;
    refuse(s, &call, EDGECC_ERR_ABI, "another ABI version");
    call = s->call, call.n_inputs++;
    refuse(s, &call, EDGECC_ERR_DIM, "too many inputs");
    call = s->call, call.n_outputs--;
    refuse(s, &call, EDGECC_ERR_DIM, "too few outputs");
    call = s->call, call.outputs = NULL;
    refuse(s, &call, EDGECC_ERR_NULL, "no list of outputs");
    if (INFO->arena_bytes)
        refuse_workspaces(s);
    if (INFO->state_bytes)
        refuse_states(s);
}

static void refuse_pointer(setting *s, const void **slot, uint32_t elem, const char *what) {
    const void *good = *slot;
    *slot = NULL;
    refuse(s, &s->call, EDGECC_ERR_NULL, what);
    *slot = (const char *)good - 1;
    if (edgecc_elem_size(elem) > 1)
        refuse(s, &s->call, EDGECC_ERR_ALIGN, what);
    *slot = good;
}

static void refuse_pointers(setting *s) {
    for (uint32_t i = 0; i < INFO->n_inputs; i++)
        refuse_pointer(s, &s->input_list[i], edgecc_model_input(INFO, i)->elem, "an input");
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        refuse_pointer(s, (const void **)&s->output_list[i], edgecc_model_output(INFO, i)->elem,
                       "an output");
}

/* ---- A run on a stack that shows how deep it went ---- */

static ucontext_t main_context, run_context;
static const edgecc_call *current_call;
static int32_t current_status;

static void run_current(void) { current_status = RUN(current_call); }

static size_t run_on(const buffer *stack, const edgecc_call *call) {
    memset(stack->data, FILLER, stack->size);
    CHECK(!getcontext(&run_context), "getcontext failed");
    run_context.uc_stack.ss_sp = stack->data;
    run_context.uc_stack.ss_size = stack->size;
    run_context.uc_link = &main_context;
    current_call = call;
    makecontext(&run_context, run_current, 0);
    CHECK(!swapcontext(&main_context, &run_context), "swapcontext failed");
    CHECK(!current_status, "the run failed: %s", edgecc_strerror(current_status));
    size_t untouched = 0;
    while (untouched < stack->size && stack->data[untouched] == FILLER)
        untouched++;
    return stack->size - untouched;
}

static size_t run(setting *s) {
    buffer stack = buffer_new(STACK_BYTES, 16, TOUCH_START);
    edgecc_state_reset(INFO, s->state.data);
    size_t used = run_on(&stack, &s->call);
    buffer_free(&stack);
    CHECK(!INFO->stack_bytes || used <= INFO->stack_bytes + STACK_SLACK,
          "%zu bytes of stack were used, the bound is %u", used, INFO->stack_bytes);
    setting_check(s);
    return used;
}

/* ---- Services ---- */

typedef struct {
    uint32_t step;
    int is_running;
    uint32_t events;
} progress;

/* Steps do not overlap; those of a repetition come again, those of a choice may not come at all. */
static void follow(void *ctx, uint32_t step, uint32_t event) {
    progress *p = ctx;
    CHECK(event == (p->is_running ? EDGECC_PROFILE_END : EDGECC_PROFILE_BEGIN),
          "event %u of step %u comes out of order", event, step);
    CHECK(!p->is_running || step == p->step, "step %u ends in step %u", step, p->step);
    p->step = step;
    p->is_running = !p->is_running;
    p->events++;
}

/* Runs the parts of a step, the last one first. */
static void backwards(void *ctx, edgecc_parallel_body body, void *arg, uint32_t count) {
    CHECK(!ctx && count > 0, "a step of no parts");
    while (count--)
        body(arg, count);
}

/* Runs with services that the caller knows, and with one behind the end of its struct. */
static void run_with_services(const setting *s) {
    progress heard = {0, 0, 0};
    edgecc_services services = {
        .size = sizeof services,
        .parallel_for = backwards,
        .profile_ctx = &heard,
        .profile = follow,
    };
    edgecc_call call = s->call;
    call.services = &services;
    edgecc_state_reset(INFO, s->state.data);
    CHECK(!RUN(&call), "the run with services failed");
    CHECK(!heard.is_running, "step %u has no end", heard.step);
    uint32_t events = heard.events;
    services.size -= 1;
    edgecc_state_reset(INFO, s->state.data);
    CHECK(!RUN(&call), "the run with short services failed");
    CHECK(heard.events == events, "a service behind the end of its struct was called");
}

static void compare(const setting *a, const setting *b) {
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        CHECK(!memcmp(a->outputs[i].data, b->outputs[i].data, a->outputs[i].size),
              "output %u differs between two runs", i);
    CHECK(!memcmp(a->state.data, b->state.data, a->state.size),
          "the state differs between two runs");
}

int main(int argc, char **argv) {
    static setting first, second;
    CHECK(argc == 3, "usage: %s INPUTS OUTPUTS", argv[0]);
    CHECK(INFO->n_inputs <= MAX_TENSORS && INFO->n_outputs <= MAX_TENSORS, "too many tensors");
    setting_init(&first, argv[1], TOUCH_END);
    setting_init(&second, argv[1], TOUCH_START);
    refuse_calls(&first);
    refuse_pointers(&first);
    size_t stack = run(&first);
    run(&second);
    compare(&first, &second);
    run_with_services(&second);
    compare(&first, &second);
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        write_file(argv[2], i, &first.outputs[i]);
    setting_free(&first);
    setting_free(&second);
    printf("{\"arena\": %llu, \"stack_bound\": %u, \"stack_used\": %zu, \"weights\": %llu, "
           "\"macs\": %llu}\n",
           (unsigned long long)INFO->arena_bytes, INFO->stack_bytes, stack,
           (unsigned long long)INFO->weights_bytes, (unsigned long long)INFO->macs);
    return 0;
}
