/* As much of Arduino's core as the keypad typist uses, to compile it by. */
#ifndef ARDUINO_H
#define ARDUINO_H
#include <stdint.h>
#define LOW 0
#define HIGH 1
#define INPUT_PULLUP 2
#define OUTPUT 1
#define A0 14
#define A1 15
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
int digitalRead(uint8_t pin);
unsigned long millis(void);
class Line
{
  public:
    void begin(unsigned long baud);
    int available();
    int read();
    void println(const char *text);
};
extern Line Serial;
#endif
