#!/bin/sh
# Written by fleetwheel. Without it, pip would be that of the system, which installs elsewhere.
here=$(cd "$(dirname "$0")/.." && pwd -L)
case $here in
*/environments/*) root=${here%/environments/*} name=${here##*/} ;;
*/current) root=${here%/current} name=default ;;
*) root=${here%/envs/*} name= ;;
esac
echo "pip: $here is deployed by fleetwheel, the same for everybody who uses it: nothing is" >&2
echo "installed into it. Its packages are those of the inventory. To have your own on top of" >&2
if [ -x "$root/bin/overlay" ]; then
    echo "them: $root/bin/overlay DIR${name:+ $name}" >&2
else
    echo "them, ask whoever deploys it." >&2
fi
exit 1
