rem Where a Windows host has what the question would run or read, and who can change it there. Only
rem cmd, and programs in System32 by their full path, are run: whether others can be trusted is
rem decided on the controller, by sddl.py.
:begin
cd /d "%SystemRoot%\System32"
set "NoDefaultCurrentDirectoryInExePath=1"
set "search=%PATH:"=%"
set "PATH=%SystemRoot%\System32"
set PSModulePath=
set "work=%TEMP%\fleetwheel-%RANDOM%%RANDOM%"
md "%work%"
set "root=%asked_root:/=\%"
if "%asked_root%"=="" set "root=%ProgramData%\fleetwheel"
goto :eof

:end
rd /s /q "%work%" 2>nul
goto :eof

:ask
for /f "delims=" %%l in ('%SystemRoot%\System32\whoami.exe /user /fo csv /nh') do echo places user %%l
call :root
call :pythons
call :smi
for /f "usebackq delims=" %%l in ("%work%\places") do echo places at %%l
"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -NonInteractive -Command "Get-Content -Encoding UTF8 -LiteralPath $env:work\places | ForEach-Object { $_.Trim([char]34) } | ForEach-Object { 'places acl {0} {1}' -f [int](Get-Item -Force -LiteralPath $_).Attributes, (Get-Acl -LiteralPath $_).Sddl }" <nul 2>nul
goto :eof

:root
for /f "delims=" %%v in ("%root%") do set "place=%%~fv"
for /f "delims=" %%v in ("%place%") do echo places root %%v
if exist "%place%\." echo places exists yes
call :way
for %%n in (bin lib cache pythons envs environments state.json) do call :part %%n
goto :eof

rem :way: has the permissions of %place%, and of all above it, asked where they are there. It stands
rem in a variable: a call reads percent signs and carets in its words once more, so that a program
rem in a place with such a name is not found.
:way
set "at=%place%"
:upwards
if exist "%at%\." >>"%work%\places" echo "%at%"
set "before=%at%"
for %%p in ("%at%\..") do set "at=%%~fp"
if /i not "%at%"=="%before%" goto upwards
>>"%work%\places" echo "%at%"
goto :eof

:part
set "at=%place%\%1"
if exist "%at%" >>"%work%\places" echo "%at%"
goto :eof

:pythons
for %%k in (HKLM HKCU) do for /f "delims=" %%l in ('%SystemRoot%\System32\reg.exe query %%k\SOFTWARE\Python\PythonCore /s 2^>nul') do call :registered "%%l"
for %%d in ("%search:;=" "%") do if exist "%%~d\python.exe" call :python "%%~fd"
for %%p in ("%SystemRoot:~0,2%" "%ProgramFiles%" "%LOCALAPPDATA%\Programs\Python" "%APPDATA%\uv\python" "%root%\pythons") do if exist "%%~p\*" call :below "%%~p"
goto :eof

rem The name of a key's own value is translated, and may have blanks: what counts stands behind.
:registered
set "line=%~1"
set "value=%line:*REG_SZ    =%"
if "%value%"=="%line%" goto :eof
if exist "%value%\python.exe" call :python "%value%"
goto :eof

:below
pushd "%~1\"
for /d %%d in (*python*) do if exist "%%d\python.exe" call :python "%%~fd"
popd
goto :eof

rem What lies in WindowsApps is no Python, but the Store's offer of one.
:python
set "place=%~1"
if not exist "%place%\python.exe" goto :eof
for %%p in ("%place%\.") do set "place=%%~fp"
if not "%place:WindowsApps=%"=="%place%" goto :eof
if exist "%place%\..\pyvenv.cfg" goto :made_from
for /f "delims=" %%v in ("%place%") do echo places python %%v\python.exe
call :way
for %%n in (python.exe Lib DLLs) do call :part %%n
goto :eof

:made_from
set base=
for /f "usebackq tokens=1,* delims== " %%a in ("%place%\..\pyvenv.cfg") do if "%%a"=="home" for /f "delims=" %%h in ("%%b") do set "base=%%~fh"
if not defined base goto :eof
if not exist "%base%\..\pyvenv.cfg" call :python "%base%"
goto :eof

:smi
for %%d in ("%search:;=" "%" "%SystemRoot%\System32" "%ProgramFiles%\NVIDIA Corporation\NVSMI") do if exist "%%~d\nvidia-smi.exe" call :found_smi "%%~fd"
for %%s in (DriverStore HostDriverStore) do if exist "%SystemRoot%\System32\%%s\FileRepository\*" call :stored_smi "%SystemRoot%\System32\%%s\FileRepository"
goto :eof

:stored_smi
pushd "%~1\"
for /d %%d in (nv*) do if exist "%%d\nvidia-smi.exe" call :found_smi "%%~fd"
popd
goto :eof

:found_smi
set "place=%~1"
for %%p in ("%place%\.") do set "place=%%~fp"
for /f "delims=" %%v in ("%place%") do echo places smi %%v\nvidia-smi.exe
call :way
call :part nvidia-smi.exe
goto :eof
