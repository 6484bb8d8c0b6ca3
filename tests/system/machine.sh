#!/bin/bash
# A machine with systemd in namespaces of its own, over a copy of this one's root that nothing is written through to.
# Runs DIR/prepare before systemd starts, with this machine's network, and DIR/check as a service, with none but loopback.
# They find REPOSITORY at /run/machine/source, and what they write to /run/machine/result is in DIR/result: nothing of
# this machine's root is in the way there. As process 1 of new namespaces:
# unshare --mount --pid --fork --uts --ipc --cgroup --kill-child bash machine.sh DIR REPOSITORY
set -euo pipefail
dir=$1 repository=$2
mkdir -p "$dir/fs" "$dir/result"
mount --make-rprivate /
mount -t tmpfs tmpfs "$dir/fs"
cd "$dir/fs"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount -t sysfs sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
for folder in dev run tmp; do
    mount -t tmpfs tmpfs root/$folder
done
for device in null zero full random urandom tty; do
    touch root/dev/$device
    mount --bind /dev/$device root/dev/$device
done
mkdir -p root/dev/pts root/dev/shm root/run/machine/source root/run/machine/result
mount -t devpts devpts root/dev/pts -o newinstance,ptmxmode=0666
mount -t tmpfs tmpfs root/dev/shm
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
mount --bind "$repository" root/run/machine/source
mount -o remount,bind,ro root/run/machine/source
mount --bind "$dir/result" root/run/machine/result
cp "$dir/prepare" root/run/machine/prepare
cp "$dir/check" root/run/machine/check
cat >root/etc/systemd/system/check.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/bash /run/machine/check
ExecStopPost=/bin/systemctl --no-block --force --force exit
UNIT
cat >root/etc/systemd/system/check.target <<'UNIT'
[Unit]
Wants=check.service
UNIT
chroot root /bin/bash /run/machine/prepare
# As a machine's are: what systemd mounts for a service reaches it by that.
mount --make-rshared root
exec unshare --net chroot root env -i container=oci PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=check.target --log-target=null --show-status=no
