/* A QEMU plugin: how often each instruction of a range of addresses ran.
 *
 * qemu-aarch64 -plugin count.so,from=ADDRESS,to=ADDRESS,out=FILE PROGRAM
 *
 * The range is [from, to), addresses in hexadecimal. FILE gets one number per instruction word of
 * the range, a line each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_VERSION;

#define WORD 4

static uint64_t from, to;
static uint64_t *counts;
static FILE *out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        if (address >= from && address < to)
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       &counts[(address - from) / WORD], 1);
    }
}

static void at_exit(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    for (uint64_t i = 0; i < (to - from) / WORD; i++)
        fprintf(out, "%" PRIu64 "\n", counts[i]);
    fclose(out);
}

/* The value of `name=value`, if the argument is that. */
static const char *value(const char *arg, const char *name) {
    size_t length = strlen(name);
    return strncmp(arg, name, length) == 0 && arg[length] == '=' ? arg + length + 1 : NULL;
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
                                      char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *text;
        if ((text = value(argv[i], "from")))
            from = strtoull(text, NULL, 16);
        else if ((text = value(argv[i], "to")))
            to = strtoull(text, NULL, 16);
        else if ((text = value(argv[i], "out")))
            out = fopen(text, "w");
    }
    if (from >= to || !out)
        return 1;
    counts = calloc((to - from) / WORD, sizeof *counts);
    if (!counts)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
