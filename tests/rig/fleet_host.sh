# shellcheck shell=sh
# One host of tests/rig/fleet.py: a root file system of its own, then sshd. $1 is its directory.
set -e
own=$1 address=$2 controller=$3
echo unshared
read -r _ # until the controller has laid the cable
cd "$own/disk"
mkdir -p upper work root home
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root
chmod 700 ../home
mount --bind ../home root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs sys
mkdir -p sys/devices/system sys/bus/pci/devices sys/module run/sshd
mount --rbind /sys/devices/system sys/devices/system
cp -r "$own/kernel/." sys
if [ ! -e etc/rig ]; then
    mkdir etc/rig
    cp -r "$own/etc/." etc/rig
    chmod 600 etc/rig/host
    if [ -e "$own/nvidia-smi" ]; then cp "$own/nvidia-smi" usr/bin/nvidia-smi; fi
    rm -rf opt/fleetwheel
    if [ -e "$own/no-python" ]; then rm -f usr/bin/python3* usr/local/bin/python3*; fi
fi
mount -t tmpfs tmpfs tmp
ip link set lo up
ip address add "$address" peer "$controller/32" dev eth0
ip link set eth0 up
ip neighbour replace "$controller" lladdr 02:fe:00:00:00:01 dev eth0 nud permanent
hostname "${own##*/}"
echo up
# sshd may be started again while the host lives on.
while true; do
    chroot . /usr/sbin/sshd -D -e -f /etc/rig/sshd_config </dev/null || sleep 0.1
done
