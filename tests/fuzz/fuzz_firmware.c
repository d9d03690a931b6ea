/* libFuzzer: a unit that hears any bytes, keys and readings, and loses its supply in any write. */
#include "firmware.h"
#include "input.h"

static uint8_t read_image(void *context, uint16_t offset)
{
    return ((const uint8_t *)context)[offset];
}

static uint8_t image[PAYGO_STORAGE_BYTES];

static void boot(paygo_firmware *firmware, paygo_inputs *inputs)
{
    paygo_firmware_boot(firmware, PAYGO_BOARD_PROTECTED, &inputs->storage, 1);
    inputs->write_done = false;
}

/* Steps until the unit is not busy. `op` says whether the supply fails, in the first piece that is written or behind it. */
static void run(paygo_firmware *firmware, paygo_inputs *inputs, uint8_t op)
{
    paygo_outputs outputs;
    uint8_t late = op == 249 ? 8 : 0; /* steps in which time passes; for ever it would have an event to say again */
    do {
        paygo_firmware_step(firmware, inputs, &outputs);
        require(outputs.tx_length <= PAYGO_TX_BYTES && outputs.rx_taken <= inputs->rx_length);
        require(outputs.write.length == 0 || outputs.write.offset + outputs.write.length <= PAYGO_STORAGE_BYTES);
        require(!outputs.output || paygo_unit_active(&firmware->live.unit) || firmware->test_s > 0);
        inputs->write_done = outputs.write.length > 0;
        if (outputs.write.length > 0) {
            const uint8_t cut = op > 250 ? (uint8_t)(outputs.write.length / 2U) : outputs.write.length;
            memcpy(image + outputs.write.offset, outputs.write.bytes, cut);
            if (cut < outputs.write.length || op == 250) {
                boot(firmware, inputs);
                return;
            }
        }
        inputs->rx += outputs.rx_taken;
        inputs->rx_length = (uint16_t)(inputs->rx_length - outputs.rx_taken);
        inputs->world_ms = inputs->wire_ms = late > 0 ? 10000 : 0;
        late = (uint8_t)(late > 0 ? late - 1 : 0);
        inputs->key = 0;
    } while (outputs.busy || outputs.walking);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char setup[] = "#SETUP+;F1;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;4711;\n";
    static paygo_firmware firmware;
    paygo_inputs inputs;
    memset(image, 0xff, sizeof image);
    if (size > 0 && data[0] % 4 == 0 && size > sizeof image) {
        memcpy(image, data, sizeof image); /* a unit that wakes up on rubbish */
        data += sizeof image;
        size -= sizeof image;
    }
    memset(&inputs, 0, sizeof inputs);
    inputs.storage.read = read_image;
    inputs.storage.context = image;
    inputs.measured.battery_mv = 12600;
    inputs.rx = setup;
    inputs.rx_length = sizeof setup - 1;
    boot(&firmware, &inputs);
    while (size > 0) {
        const uint8_t op = data[0];
        const uint16_t length = (uint16_t)(op % 40U < size - 1 ? op % 40U : size - 1);
        run(&firmware, &inputs, op);
        data++;
        size--;
        inputs.world_ms = op * 100U;
        inputs.wire_ms = op;
        inputs.key = op % 16 == 0 && length > 0 ? (char)data[0] : 0;
        inputs.rtc_s += op % 8 == 7 ? 0U - op : op / 10U;
        inputs.measured.battery_mv = (int16_t)(9000 + op * 40);
        inputs.measured.battery_ma = (int16_t)(op * 20 - 2000);
        inputs.rx = (const char *)data;
        inputs.rx_length = length;
        data += length;
        size -= length;
    }
    return 0;
}
