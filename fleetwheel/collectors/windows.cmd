rem What a Windows host is asked, with what every Windows has, cmd and reg, and with a Python of the
rem host, if there is one. What calls these parts stands before; after them, in lines that begin
rem with two colons and a name, the programs that Python runs.
rem Wine 8 shapes a few lines: there a quoted pattern finds nothing, and a call ends a loop's names.
:begin
set "self=%~f0"
cd /d "%SystemRoot%\System32"
set "PATH=%SystemRoot%\System32"
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
for %%k in (SOFTWARE SOFTWARE\Wow6432Node) do for %%a in (x64 arm64) do call :visual_cpp %%k %%a
if not exist "%SystemRoot%\System32\msvcp140.dll" echo platform visual_cpp_absent yes
set "updates=HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion"
for %%k in ("Component Based Servicing\RebootPending" "WindowsUpdate\Auto Update\RebootRequired") do call :reboot "%updates%\%%~k"
goto :eof

:reboot
"%SystemRoot%\System32\reg.exe" query %1 >nul 2>&1
if not errorlevel 1 echo platform reboot yes
goto :eof

rem The runtime of Visual C++, as its redistributable says: in either view of the registry.
:visual_cpp
for /f "delims=" %%l in ('%SystemRoot%\System32\reg.exe query HKLM\%1\Microsoft\VisualStudio\14.0\VC\Runtimes\%2 /v Version 2^>nul') do echo platform visual_cpp_%2 %%l
goto :eof

rem :value SECTION KEY NAME
:value
for /f "delims=" %%l in ('%SystemRoot%\System32\reg.exe query %2 /v %3 2^>nul') do echo %1 registry %%l
goto :eof

:ask_pythons
call :find_python say
goto :eof

rem :find_python [say]: sets python to the first that runs; says each of them. Only those are tried
rem that the controller has named, one variable each: see places.cmd. One that fails is asked once
rem more: a virus scanner that holds a file of it has let go by then.
:find_python
for /l %%i in (1,1,%pythons%) do call :ask_python %%i %1
goto :eof

:ask_python
call set "candidate=%%trusted_python_%1%%"
for %%p in ("%candidate%\..") do if "%2"=="say" if exist "%%~fp\msvcp140.dll" for /f "delims=" %%v in ("%candidate%") do echo platform visual_cpp_own %%v
if not "%2"=="say" if defined python goto :eof
call :try_python %2
if not "%code%"=="0" if not "%code%"=="3" call :try_python %2
if "%code%"=="0" if not defined python set "python=%candidate%"
if "%code%"=="0" goto :eof
if "%code%"=="3" goto :eof
if "%2"=="say" for /f "delims=" %%v in ("%candidate%") do echo pythons broken %code% %%v
goto :eof

:try_python
if "%1"=="say" call :run_python
if not "%1"=="say" call :run_python >nul
set code=%errorlevel%
goto :eof

:run_python
"%candidate%" -I -S -B -c "%run%" "%self%" python <nul 2>nul
goto :eof

:ask_environments
for /f "delims=" %%v in ("%root%") do echo environments root %%v
for /f "delims=" %%v in ('%SystemRoot%\System32\whoami.exe') do echo environments user %%v
set "near=%root%"
:upwards
if not exist "%near%\." for %%p in ("%near%\..") do if not "%%~fp"=="%near%" set "near=%%~fp"& goto upwards
if exist "%root%\." echo environments exists yes
if defined distrusted goto :eof
call :ask_writable
set last=
for /f "delims=" %%l in ('dir /-c "%near%" 2^>nul') do set "last=%%l"
for /f "delims=" %%v in ("%last%") do echo environments dir %%v
if exist "%root%\bin\." call :ask_uv
if exist "%root%\lib\." call :ask_node
if not exist "%root%\envs\." goto :eof
if not defined python call :find_python
if defined python "%python%" -I -S -B -c "%run%" "%self%" environments "%root%" <nul
if defined python goto :eof
cd /d "%root%\envs"
for /d %%d in (*) do echo environments generation %%d
goto :eof

:ask_uv
pushd "%root%\bin"
for %%f in (uv-*.exe) do echo environments uv %%~nf
popd
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
if defined smi call :start smi
set nvml=
for %%f in ("%SystemRoot%\System32\nvml.dll" "%ProgramFiles%\NVIDIA Corporation\NVSMI\nvml.dll") do if exist %%f set "nvml=%%~f"
if defined nvml call :start nvml
goto :eof

:start
>"%work%\%1.runs" echo yes
start "" /b "%SystemRoot%\System32\cmd.exe" /d /c call "%self%" background %1 <nul >nul 2>&1
goto :eof

:smi
set "options=--format=csv,noheader,nounits"
set "fields=index,uuid,pci.bus_id,name,compute_cap,memory.total,driver_version,driver_model.current"
"%smi%" --query-gpu=%fields% %options% >"%work%\query" 2>&1 <nul
set code=%errorlevel%
"%SystemRoot%\System32\find.exe" "is not a valid field" "%work%\query" >nul 2>&1
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
if defined node if defined python "%python%" -I -S -B "%node%" nvml gpu nvml >"%work%\nvml" 2>nul <nul & call set code=%%errorlevel%%
if not defined node if defined python "%python%" -I -S -B -c "%run%" "%self%" nvml "%work%\nvml.zip" >"%work%\nvml" 2>nul <nul & call set code=%%errorlevel%%
>>"%work%\nvml" echo.
>>"%work%\nvml" echo gpu nvml_exit %code%
del "%work%\nvml.runs"
exit 0

:ask_gpu
for /f "delims=" %%k in ('%SystemRoot%\System32\reg.exe query HKLM\SYSTEM\CurrentControlSet\Enum\PCI 2^>nul') do call :ask_pci "%%k"
for /f "delims=" %%k in ('%SystemRoot%\System32\reg.exe query "HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}" 2^>nul') do for %%v in (MatchingDeviceId DriverVersion) do call :value gpu "%%k" %%v
call :ask_connected
for /l %%i in (1,1,%gpu_seconds%) do if exist "%work%\*.runs" "%SystemRoot%\System32\ping.exe" -n 2 127.0.0.1 >nul
if exist "%work%\nvml.runs" echo gpu nvml_exit 124
if not exist "%work%\nvml.runs" if exist "%work%\nvml" type "%work%\nvml"
if not defined smi goto :eof
for /f "delims=" %%v in ("%smi%") do echo gpu smi %%v
if exist "%work%\smi.runs" echo gpu exit 124
if not exist "%work%\smi.runs" type "%work%\smi"
if exist "%work%\query" for /f "usebackq delims=" %%l in ("%work%\query") do echo gpu query %%l
if exist "%work%\banner" for /f "usebackq delims=" %%l in ("%work%\banner") do echo gpu banner %%l
goto :eof

rem The registry keeps devices that were taken out; from Windows 10 1903 on pnputil leaves them out.
:ask_connected
%SystemRoot%\System32\pnputil.exe /enum-devices /connected >"%work%\devices" 2>nul
"%SystemRoot%\System32\find.exe" "PCI\" "%work%\devices" >nul 2>&1
if errorlevel 1 goto :eof
echo gpu connected_known yes
for /f "delims=" %%l in ('%SystemRoot%\System32\find.exe "VEN_10DE" "%work%\devices"') do echo gpu connected %%l
goto :eof

:ask_pci
set "key=%~1"
if "%key:VEN_10DE=%"=="%key%" goto :eof
for /f "delims=" %%l in ('%SystemRoot%\System32\reg.exe query "%key%" /s /v CompatibleIDs 2^>nul') do echo gpu pci_key %%l
goto :eof
