/* launch.exe DIRECTORY: start a process as sshd on Windows starts one.
 *
 * DIRECTORY\line holds the command line, which goes to CreateProcessW as it is: `wine prog "..."`
 * would quote it anew. The process gets our standard streams and a job that ends its children with
 * it, whose last handle is the process's own. DIRECTORY\code gets the whole 32-bit exit code.
 * The process is terminated when DIRECTORY\kill appears. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

enum { LONGEST = 32767, FAILED = 250 };

static WCHAR line[LONGEST + 1], code_file[MAX_PATH], kill_file[MAX_PATH];

static void fail(const char *what)
{
    fprintf(stderr, "launch: %s: error %lu\r\n", what, GetLastError());
    exit(FAILED);
}

static void read_line(const WCHAR *directory)
{
    static char text[4 * LONGEST];
    WCHAR path[MAX_PATH];
    DWORD size = 0;
    _snwprintf(path, MAX_PATH, L"%ls\\line", directory);
    HANDLE file = CreateFileW(path, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE || !ReadFile(file, text, sizeof text, &size, NULL))
        fail("no command line");
    CloseHandle(file);
    if (!MultiByteToWideChar(CP_UTF8, 0, text, size, line, LONGEST)) fail("command line too long");
}

static void inherit(DWORD which, HANDLE *handle)
{
    *handle = GetStdHandle(which);
    SetHandleInformation(*handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
}

static HANDLE start(void)
{
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL), copy;
    inherit(STD_INPUT_HANDLE, &startup.hStdInput);
    inherit(STD_OUTPUT_HANDLE, &startup.hStdOutput);
    inherit(STD_ERROR_HANDLE, &startup.hStdError);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW | CREATE_SUSPENDED, NULL,
                        _wgetenv(L"USERPROFILE"), &startup, &process))
        fail("CreateProcess");
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK;
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)
        || !AssignProcessToJobObject(job, process.hProcess)
        || !DuplicateHandle(GetCurrentProcess(), job, process.hProcess, &copy, 0, FALSE,
                            DUPLICATE_SAME_ACCESS))
        fail("job");
    CloseHandle(job);
    ResumeThread(process.hThread);
    CloseHandle(startup.hStdInput);
    CloseHandle(startup.hStdOutput);
    return process.hProcess;
}

int wmain(int count, WCHAR **arguments)
{
    DWORD code;
    if (count != 2) return FAILED;
    read_line(arguments[1]);
    _snwprintf(code_file, MAX_PATH, L"%ls\\code", arguments[1]);
    _snwprintf(kill_file, MAX_PATH, L"%ls\\kill", arguments[1]);
    HANDLE process = start();
    while (WaitForSingleObject(process, 50) == WAIT_TIMEOUT)
        if (GetFileAttributesW(kill_file) != INVALID_FILE_ATTRIBUTES) TerminateProcess(process, 0);
    GetExitCodeProcess(process, &code);
    FILE *file = _wfopen(code_file, L"wb");
    if (!file) fail("exit code");
    fprintf(file, "%lu", code);
    fclose(file);
    return 0;
}
