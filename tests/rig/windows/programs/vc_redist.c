/* vc_redist.exe: registers the version in C:\rig\vc_redist.txt, as Microsoft's
 * redistributable does, and ends with the exit code behind it. It installs nothing. */
#include <stdio.h>
#include <windows.h>

static const char key[] = "SOFTWARE\\Microsoft\\VisualStudio\\14.0\\VC\\Runtimes\\x64";

int main(void)
{
    char version[64] = "";
    int code = 1;
    HKEY opened;
    FILE *script = fopen("C:\\rig\\vc_redist.txt", "r");
    if (!script || fscanf(script, "%63s %d", version, &code) != 2) return 87;
    if (!strstr(GetCommandLineA(), " /install /quiet /norestart")) return 1639;
    if (RegCreateKeyA(HKEY_LOCAL_MACHINE, key, &opened)) return 1603;
    RegSetValueExA(opened, "Version", 0, REG_SZ, (BYTE *)version, strlen(version) + 1);
    return code;
}
