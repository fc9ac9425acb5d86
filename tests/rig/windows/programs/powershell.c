/* powershell.exe that fails loudly: Wine's own does nothing and reports success.
 *
 * As the default shell of sshd it answers the two lines that the connector sends to it, by what
 * PowerShell's documentation says of them; no PowerShell is tested here:
 *   echo %OS%:$PSHOME
 *   [$env:NAME='TEXT'; ...]Set-Location -LiteralPath $env:USERPROFILE; PROGRAM; exit $LASTEXITCODE
 * And it does what the one line of places.cmd asks of Get-Item and Get-Acl: it says attributes and
 * security descriptor of each path in a file. Those are Wine's, which makes them of Unix modes.
 * What it says of a signature is what stands in C:\rig\signature.txt. */
#include <stdio.h>
#include <windows.h>
#include <aclapi.h>
#include <sddl.h>

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

static const WCHAR security[] =
    L"Get-Content -Encoding UTF8 -LiteralPath $env:work\\places | ForEach-Object { $_.Trim([char]34) } "
    L"| ForEach-Object { 'places acl {0} {1}' -f [int](Get-Item -Force -LiteralPath $_).Attributes, "
    L"(Get-Acl -LiteralPath $_).Sddl }";

static void say_security(const WCHAR *path)
{
    PSECURITY_DESCRIPTOR descriptor;
    char *text = "";
    DWORD attributes = GetFileAttributesW(path), wanted = OWNER_SECURITY_INFORMATION
                                                         | GROUP_SECURITY_INFORMATION
                                                         | DACL_SECURITY_INFORMATION;
    if (!GetNamedSecurityInfoW((WCHAR *)path, SE_FILE_OBJECT, wanted, 0, 0, 0, 0, &descriptor))
        ConvertSecurityDescriptorToStringSecurityDescriptorA(descriptor, SDDL_REVISION_1, wanted,
                                                             &text, NULL);
    printf("places acl %lu %s\r\n", attributes == INVALID_FILE_ATTRIBUTES ? 0 : attributes, text);
}

static int say_all(void)
{
    char line[4096];
    WCHAR path[4096];
    FILE *file;
    _snwprintf(path, 4096, L"%ls\\places", _wgetenv(L"work"));
    if (!(file = _wfopen(path, L"r"))) return 1;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line + 1, "\"\r\n") + 1] = 0;
        MultiByteToWideChar(CP_UTF8, 0, line + 1, -1, path, 4096);
        say_security(path);
    }
    return fclose(file);
}

static const WCHAR signature[] =
    L"Get-AuthenticodeSignature -LiteralPath $env:package | ForEach-Object "
    L"{ '{0} {1}' -f $_.Status, $_.SignerCertificate.Subject }";

static int say_signature(void)
{
    char line[1024];
    FILE *file = fopen("C:\\rig\\signature.txt", "r");
    if (!file || !_wgetenv(L"package")
        || GetFileAttributesW(_wgetenv(L"package")) == INVALID_FILE_ATTRIBUTES
        || !fgets(line, sizeof line, file))
        return 1;
    fputs(line, stdout);
    return fclose(file);
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
    if (count == 5 && !wcscmp(arguments[3], L"-Command") && !wcscmp(arguments[4], security))
        return say_all();
    if (count == 5 && !wcscmp(arguments[3], L"-Command") && !wcscmp(arguments[4], signature))
        return say_signature();
    fputs("powershell.exe: there is no PowerShell under Wine, so nothing may need it\r\n", stderr);
    return 87;
}
