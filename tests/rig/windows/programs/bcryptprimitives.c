/* bcryptprimitives.dll, which Wine 8 lacks; programs built with Rust, as uv.exe, want this of it. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG size); /* RtlGenRandom in advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    for (ULONG part; size; data += part, size -= part) {
        part = size < 0x10000 ? (ULONG)size : 0x10000;
        if (!SystemFunction036(data, part)) return FALSE;
    }
    return TRUE;
}
