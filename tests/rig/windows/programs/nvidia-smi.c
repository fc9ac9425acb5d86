/* nvidia-smi.exe with a script: what it says lies beside it, in nvidia-smi.script\.
 *
 * A call looks for ARGUMENTS.txt, where every character but letters and digits is a hyphen, then
 * for default.txt, and prints it. NAME.code holds the exit code, NAME.delay the milliseconds to
 * wait first. Without a script it fails as on a machine whose driver does not answer. */
#include <ctype.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static char base[MAX_PATH * 2];

static FILE *open_script(const char *name, const char *kind, const char *mode)
{
    char path[MAX_PATH * 4];
    snprintf(path, sizeof path, "%s\\%s.%s", base, name, kind);
    return fopen(path, mode);
}

static int number(const char *name, const char *kind)
{
    int value = 0;
    FILE *file = open_script(name, kind, "r");
    if (file && fscanf(file, "%d", &value) != 1) value = 0;
    return value;
}

static void key(char *name, size_t size, int count, char **arguments)
{
    name[0] = 0;
    for (int i = 1; i < count; i++) {
        if (i > 1) strncat(name, "-", size - strlen(name) - 1);
        strncat(name, arguments[i], size - strlen(name) - 1);
    }
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at)) *at = '-';
}

int main(int count, char **arguments)
{
    static char text[1 << 16];
    char asked[120];
    const char *name = asked;
    size_t size;
    GetModuleFileNameA(NULL, base, MAX_PATH);
    strcpy(strrchr(base, '.'), ".script");
    key(asked, sizeof asked, count, arguments);
    FILE *file = open_script(name, "txt", "rb");
    if (!file) file = open_script(name = "default", "txt", "rb");
    if (!file) {
        puts("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make "
             "sure that the latest NVIDIA driver is installed and running.\n");
        return 9;
    }
    Sleep(number(name, "delay"));
    _setmode(1, _O_BINARY);
    while ((size = fread(text, 1, sizeof text, file)) > 0) fwrite(text, 1, size, stdout);
    return number(name, "code");
}
