/* The files `records` and `results` of a folder on the assembler's path. */
    .section .rodata
    .globl records, records_end, results
    .balign 64
records:
    .incbin "records"
records_end:
    .balign 64
results:
    .incbin "results"

    .section .note.GNU-stack, "", @progbits
