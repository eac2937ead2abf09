/* Starts a program without an operating system: a boot loader that knows Multiboot 2 enters at
   `_start` in 32 bits; `main` runs in 64 bits on the first GiB, one to one, with every register of
   SSE, AVX, AVX-512 and AMX. `finish` gets what it returns. */

    .set PRESENT, 3                     /* a page that is there and may be written */
    .set LARGE, 0x80                    /* a page of 2 MiB */
    .set FEATURES, 0x600e7              /* x87, SSE, AVX, opmasks, AVX-512, tiles (xcr0) */
    .set CR4, 0x40620                   /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    .set EFER, 0xc0000080
    .set LONG_MODE, 0x100

    .section .multiboot, "a"
    .balign 8
header:
    .long 0xe85250d6, 0, end - header, -(0xe85250d6 + end - header)
    .short 0, 0
    .long 8
end:

    .text
    .code32
    .globl _start
_start:
    cli
    movl $tables2 + PRESENT, tables1
    movl $tables3 + PRESENT, tables2
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $(LARGE + PRESENT), %eax
    movl %eax, tables3(, %ecx, 8)
    incl %ecx
    cmpl $512, %ecx
    jne 1b
    movl $tables1, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4, %eax
    movl %eax, %cr4
    movl $EFER, %ecx
    rdmsr
    orl $LONG_MODE, %eax
    wrmsr
    movl %cr0, %eax
    andl $~0xc, %eax                    /* no emulation, no task switches: vectors may be used */
    orl $0x80000002, %eax               /* paging */
    movl %eax, %cr0
    lgdt descriptors
    ljmp $8, $long_mode

    .code64
long_mode:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $FEATURES, %eax
    xsetbv
    movq $stack, %rsp
    call main
    movl %eax, %edi
    call finish

    .balign 16
table:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
descriptors:
    .short descriptors - table - 1
    .long table

    .bss
    .balign 4096
tables1:
    .skip 4096
tables2:
    .skip 4096
tables3:
    .skip 4096
    .skip 1 << 20
stack:

    .section .note.GNU-stack, "", @progbits
