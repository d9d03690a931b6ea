/* Runs a fuzz target once on each file that is named: the seeds without libFuzzer. */
#include "../fuzz/input.h"

#include <stdio.h>

int main(int count, char **names)
{
    static uint8_t bytes[1 << 16];
    int i;
    for (i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (file == NULL) {
            (void)fprintf(stderr, "%s cannot be read\n", names[i]);
            return 1;
        }
        (void)LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        (void)fclose(file);
    }
    (void)printf("%d inputs\n", count - 1);
    return count > 1 ? 0 : 1;
}
