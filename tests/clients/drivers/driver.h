/* The line protocol of clients_driven.py: what is the same for every library of C. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 65536
#define WORDS 3

static char *from_hex(const char *word)
{
    size_t length = strlen(word) / 2;
    char *bytes = calloc(length + 1, 1);
    for (size_t i = 0; i < length; i++) {
        unsigned value;
        sscanf(word + 2 * i, "%2x", &value);
        bytes[i] = (char) value;
    }
    return bytes;
}

static void tell(const char *bytes)
{
    putchar(' ');
    for (; *bytes; bytes++)
        printf("%02x", (unsigned char) *bytes);
}

static void tell_number(unsigned long long number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", number);
    tell(text);
}

/* Carries an operation out; on success it has printed "ok" and its results, else it returns the reason. */
static const char *operate(const char *name, char **words);

static void serve(void)
{
    static char line[LINE];
    while (fgets(line, sizeof line, stdin)) {
        char *words[WORDS] = {0};
        char *name = strtok(line, " \n");
        for (int i = 0; i < WORDS; i++) {
            char *word = strtok(NULL, " \n");
            words[i] = word ? from_hex(word) : NULL;
        }
        const char *reason = operate(name, words);
        if (reason) {
            printf("failed");
            tell(reason);
        }
        printf("\n");
        fflush(stdout);
        for (int i = 0; i < WORDS; i++)
            free(words[i]);
    }
}

static void require(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}
