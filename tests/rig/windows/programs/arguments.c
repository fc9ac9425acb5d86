/* arguments.exe: print the arguments as the C runtime splits them, each with its length. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <windows.h>

int wmain(int count, WCHAR **arguments)
{
    static char text[1 << 17];
    _setmode(1, _O_BINARY);
    for (int i = 1; i < count; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, arguments[i], -1, text, sizeof text, NULL, NULL);
        printf("%d:", size - 1);
        fwrite(text, 1, size - 1, stdout);
    }
    return 0;
}
