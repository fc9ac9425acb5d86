rem What a Windows host is asked, with what every Windows has, cmd and reg, and with a Python of the
rem host, if there is one. What calls these parts stands before; after them, in lines that begin
rem with two colons and a name, the programs that Python runs.
rem Wine 8 shapes a few lines: there a quoted pattern finds nothing, and a call ends a loop's names.
:begin
set "self=%~f0"
set "work=%TEMP%\fleetwheel-%RANDOM%%RANDOM%"
set run=import base64,sys;exec(base64.b64decode(''.join(line.split()[1] for line in open(sys.argv[1]) if line.startswith('::'+sys.argv[2]+' '))))
set "root=%asked_root:/=\%"
if "%asked_root%"=="" set "root=%ProgramData%\fleetwheel"
set python=
goto :eof

:end
if exist "%work%\." rd /s /q "%work%" 2>nul
goto :eof

:ask_platform
set "machine=%PROCESSOR_ARCHITECTURE%"
if defined PROCESSOR_ARCHITEW6432 set "machine=%PROCESSOR_ARCHITEW6432%"
echo platform uname Windows %machine%
set "control=HKLM\SYSTEM\CurrentControlSet\Control"
for %%v in (ProductName DisplayVersion CurrentBuild UBR EditionID) do call :value platform "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion" %%v
call :value platform "%control%\Session Manager\Memory Management\PrefetchParameters" BootId
call :value platform "%control%\Windows" ShutdownTime
call :value platform "%control%\FileSystem" LongPathsEnabled
call :value platform "%control%\SecureBoot\State" UEFISecureBootEnabled
set "updates=HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion"
for %%k in ("Component Based Servicing\RebootPending" "WindowsUpdate\Auto Update\RebootRequired") do call :reboot "%updates%\%%~k"
goto :eof

:reboot
reg query %1 >nul 2>&1
if not errorlevel 1 echo platform reboot yes
goto :eof

rem :value SECTION KEY NAME
:value
for /f "delims=" %%l in ('reg query %2 /v %3 2^>nul') do echo %1 registry %%l
goto :eof

:ask_pythons
call :find_python say
goto :eof

rem :find_python [say]: sets python to the first that can be used; says each of them.
:find_python
for %%k in (HKLM HKCU) do for /f "tokens=2,*" %%a in ('reg query %%k\SOFTWARE\Python\PythonCore /s 2^>nul') do if "%%a"=="REG_SZ" if exist "%%b\python.exe" call :ask_python "%%b\python.exe" %1
set "unquoted=%PATH:"=%"
for %%d in ("%unquoted:;=" "%") do if exist "%%~d\python.exe" call :ask_python "%%~d\python.exe" %1
for %%p in ("%SystemRoot:~0,2%" "%ProgramFiles%" "%LOCALAPPDATA%\Programs\Python" "%APPDATA%\uv\python" "%root%\pythons") do if exist "%%~p\*" call :look_for_python "%%~p" %1
goto :eof

:look_for_python
pushd "%~1\"
for /d %%d in (*python*) do if exist "%%d\python.exe" call :ask_python "%%~fd\python.exe" %2
popd
goto :eof

rem What lies in WindowsApps is no Python, but the Store's offer of one.
:ask_python
set "candidate=%~1"
if not "%candidate:WindowsApps=%"=="%candidate%" goto :eof
if "%2"=="" if defined python goto :eof
if "%2"=="" (call :run_python >nul) else call :run_python
set code=%errorlevel%
if "%code%"=="0" if not defined python set "python=%candidate%"
if "%code%"=="0" goto :eof
if "%code%"=="3" goto :eof
if "%2"=="say" for /f "delims=" %%v in ("%candidate%") do echo pythons broken %code% %%v
goto :eof

:run_python
"%candidate%" -E -s -S -B -c "%run%" "%self%" python <nul 2>nul
goto :eof

:ask_environments
for /f "delims=" %%v in ("%root%") do echo environments root %%v
for /f "delims=" %%v in ('whoami') do echo environments user %%v
set "near=%root%"
:upwards
if not exist "%near%\." for %%p in ("%near%\..") do if not "%%~fp"=="%near%" set "near=%%~fp"& goto upwards
if exist "%root%\." echo environments exists yes
call :ask_writable
set last=
for /f "delims=" %%l in ('dir /-c "%near%" 2^>nul') do set "last=%%l"
for /f "delims=" %%v in ("%last%") do echo environments dir %%v
if exist "%root%\bin\uv.exe" for /f "delims=" %%v in ('call "%root%\bin\uv.exe" --version') do echo environments uv %%v
if exist "%root%\lib\." call :ask_node
if not exist "%root%\envs\." goto :eof
if not defined python call :find_python
if defined python "%python%" -E -s -S -B -c "%run%" "%self%" environments "%root%" <nul
if defined python goto :eof
cd /d "%root%\envs"
for /d %%d in (*) do echo environments generation %%d
goto :eof

:ask_node
pushd "%root%\lib"
for /d %%d in (node-*) do echo environments node %%d
popd
goto :eof

rem Windows has no way to ask: a directory is made, and removed at once.
:ask_writable
set "trial=%near%\.fleetwheel-%RANDOM%%RANDOM%"
md "%trial%" 2>nul
if exist "%trial%\." echo environments writable yes
rd "%trial%" 2>nul
goto :eof

rem nvidia-smi and NVML can hang where nothing ends them, so nobody waits for them: they write to
rem files, and remove the one that says that they run.
:start_gpu
md "%work%" 2>nul
call :find_smi
if defined smi call :start smi
set nvml=
for %%f in ("%SystemRoot%\System32\nvml.dll" "%ProgramFiles%\NVIDIA Corporation\NVSMI\nvml.dll") do if exist %%f set "nvml=%%~f"
if defined nvml call :start nvml
goto :eof

:start
>"%work%\%1.runs" echo yes
start "" /b cmd /d /c call "%self%" background %1 <nul >nul 2>&1
goto :eof

:smi
set "options=--format=csv,noheader,nounits"
set "fields=index,uuid,pci.bus_id,name,compute_cap,memory.total,driver_version,driver_model.current"
"%smi%" --query-gpu=%fields% %options% >"%work%\query" 2>&1 <nul
set code=%errorlevel%
find "is not a valid field" "%work%\query" >nul 2>&1
if not errorlevel 1 set "fields=index,uuid,pci.bus_id,name,memory.total,driver_version,driver_model.current"
if not errorlevel 1 "%smi%" --query-gpu=%fields% %options% >"%work%\query" 2>&1 <nul & call set code=%%errorlevel%%
"%smi%" >"%work%\banner" 2>nul <nul
>"%work%\smi" echo gpu fields %fields%
>>"%work%\smi" echo gpu exit %code%
del "%work%\smi.runs"
exit 0

:nvml
call :find_python
set code=127
if defined node if defined python "%python%" -E -s -S -B "%node%" nvml gpu nvml >"%work%\nvml" 2>nul <nul & call set code=%%errorlevel%%
if not defined node if defined python "%python%" -E -s -S -B -c "%run%" "%self%" nvml "%work%\nvml.zip" >"%work%\nvml" 2>nul <nul & call set code=%%errorlevel%%
>>"%work%\nvml" echo.
>>"%work%\nvml" echo gpu nvml_exit %code%
del "%work%\nvml.runs"
exit 0

:find_smi
set smi=
for %%f in (nvidia-smi.exe) do set "smi=%%~$PATH:f"
for %%f in ("%SystemRoot%\System32\nvidia-smi.exe" "%ProgramFiles%\NVIDIA Corporation\NVSMI\nvidia-smi.exe") do if not defined smi if exist %%f set "smi=%%~f"
if defined smi goto :eof
pushd "%SystemRoot%\System32\DriverStore\FileRepository" 2>nul
if errorlevel 1 goto :eof
for /d %%d in (nv*) do if exist "%%d\nvidia-smi.exe" set "smi=%%~fd\nvidia-smi.exe"
popd
goto :eof

:ask_gpu
for /f "delims=" %%k in ('reg query HKLM\SYSTEM\CurrentControlSet\Enum\PCI 2^>nul') do call :ask_pci "%%k"
for /f "delims=" %%k in ('reg query "HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}" 2^>nul') do for %%v in (MatchingDeviceId DriverVersion) do call :value gpu "%%k" %%v
for /l %%i in (1,1,%gpu_seconds%) do if exist "%work%\*.runs" ping -n 2 127.0.0.1 >nul
if exist "%work%\nvml.runs" echo gpu nvml_exit 124
if not exist "%work%\nvml.runs" if exist "%work%\nvml" type "%work%\nvml"
if not defined smi goto :eof
for /f "delims=" %%v in ("%smi%") do echo gpu smi %%v
if exist "%work%\smi.runs" echo gpu exit 124
if not exist "%work%\smi.runs" type "%work%\smi"
if exist "%work%\query" for /f "usebackq delims=" %%l in ("%work%\query") do echo gpu query %%l
if exist "%work%\banner" for /f "usebackq delims=" %%l in ("%work%\banner") do echo gpu banner %%l
goto :eof

:ask_pci
set "key=%~1"
if "%key:VEN_10DE=%"=="%key%" goto :eof
for /f "delims=" %%l in ('reg query "%key%" /s /v CompatibleIDs 2^>nul') do echo gpu pci_key %%l
goto :eof
