/* The first instructions of a Cortex-M3 program: the vector table, initial values, main. */
#include <stdint.h>

extern uint32_t image_stack_top[], image_data_from[], image_data[], image_data_end[], image_bss[], image_bss_end[];

int main(void);
void reset_handler(void);
void fault_handler(void);
void console_handler(void);
void link_handler(void);

void reset_handler(void)
{
    const uint32_t *from = image_data_from;
    uint32_t *to;
    for (to = image_data; to < image_data_end; to++) {
        *to = *from++;
    }
    for (to = image_bss; to < image_bss_end; to++) {
        *to = 0;
    }
    (void)main();
}

typedef struct {
    uint32_t *stack;
    void (*handlers[22])(void);
} vectors;

/* 1 reset, 2 ... 15 exceptions, then the chip's interrupts: 5 is UART0, 6 is UART1. */
extern const vectors vector_table;
__attribute__((section(".vectors"), used)) const vectors vector_table = {
    image_stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, console_handler,
     link_handler},
};
