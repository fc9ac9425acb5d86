/* whoami.exe, of which Wine's knows no options: the name, or with /user the name and the SID. */
#include <stdio.h>
#include <string.h>
#include <windows.h>
#include <sddl.h>

int main(int count, char **arguments)
{
    char user[256], domain[256], buffer[256], *sid;
    DWORD users = sizeof user, domains = sizeof domain, size;
    SID_NAME_USE use;
    HANDLE token;
    TOKEN_USER *found = (TOKEN_USER *)buffer;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return 1;
    if (!GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size)) return 1;
    if (!LookupAccountSidA(NULL, found->User.Sid, user, &users, domain, &domains, &use)) return 1;
    if (count == 1) return printf("%s\\%s\r\n", domain, user) < 0;
    if (count != 5 || strcmp(arguments[1], "/user") || strcmp(arguments[3], "csv")) return 1;
    ConvertSidToStringSidA(found->User.Sid, &sid);
    return printf("\"%s\\%s\",\"%s\"\r\n", domain, user, sid) < 0;
}
