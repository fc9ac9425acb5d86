/* powershell.exe that fails loudly: Wine's own does nothing and reports success.
 *
 * As the default shell of sshd it answers the two lines that the connector sends to it, by what
 * PowerShell's documentation says of them; no PowerShell is tested here:
 *   echo %OS%:$PSHOME
 *   [$env:NAME='TEXT'; ...]Set-Location -LiteralPath $env:USERPROFILE; PROGRAM; exit $LASTEXITCODE */
#include <stdio.h>
#include <windows.h>

static const WCHAR question[] = L"echo %OS%:$PSHOME";
static const WCHAR before[] = L"Set-Location -LiteralPath $env:USERPROFILE; ";
static const WCHAR after[] = L"; exit $LASTEXITCODE";
static const WCHAR variable[] = L"$env:";
static const WCHAR quotes[] = L"'\x2018\x2019\x201a\x201b";

static int starts(const WCHAR *text, const WCHAR *with)
{
    return !wcsncmp(text, with, wcslen(with));
}

/* Set one variable; return what stands behind, or NULL where this is no such statement. */
static WCHAR *set_variable(WCHAR *name)
{
    WCHAR *equals = wcschr(name, L'='), *from = equals + 2, *to = from;
    if (!equals || equals[1] != L'\'') return NULL;
    *equals = 0;
    while (*from) {
        if (wcschr(quotes, *from) && (!*++from || !wcschr(quotes, *from))) break;
        *to++ = *from++;
    }
    if (!starts(from, L"; ")) return NULL;
    *to = 0;
    SetEnvironmentVariableW(name, equals + 2);
    return from + 2;
}

static int run(WCHAR *line)
{
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 88;
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, _wgetenv(L"USERPROFILE"), &startup,
                        &process))
        return code;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}

int wmain(int count, WCHAR **arguments)
{
    if (count == 3 && !wcscmp(arguments[1], L"-c")) {
        WCHAR *line = arguments[2], *end;
        if (!wcscmp(line, question))
            return !puts("%OS%:C:\\Windows\\System32\\WindowsPowerShell\\v1.0");
        while (line && starts(line, variable)) line = set_variable(line + wcslen(variable));
        end = line ? wcsstr(line, after) : NULL;
        if (end && !end[wcslen(after)] && starts(line, before)) {
            *end = 0;
            return run(line + wcslen(before));
        }
    }
    fputs("powershell.exe: there is no PowerShell under Wine, so nothing may need it\r\n", stderr);
    return 87;
}
