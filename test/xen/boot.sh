#!/usr/bin/env bash
# boot.sh [-s SHARE] [-r REPO] [SCRIPT [ARGUMENT...] | -c COMMAND]
#
# Boots the emulated Xen host, runs SCRIPT (or COMMAND) in dom0 with bash, powers
# off, and exits with its status. Status 124: RIG_TIMEOUT expired; 125: dom0 ended
# before the script did. stdout is the output of the script (both its streams) and
# nothing else. Without SCRIPT and COMMAND: a shell on dom0's console, until "exit".
#
#   -s SHARE  the directory that is /share in dom0, read and write, and the working
#             directory of the script (default: out/$XEN/share). boot.sh creates in
#             it: run, log, status and consoles/ (of dom0 and of every guest).
#             Only one boot at a time can use a SHARE.
#   -r REPO   a directory that is /repo in dom0, read-only.
#
# Environment:
#   XEN            4.17 (the default) or 4.20
#   RIG_MEMORY     MiB of dom0 (2048); the guests have 2048 more
#   RIG_VCPUS      vCPUs of dom0 (1)
#   RIG_XENSTORED  oxenstored (the default) or c: xenstored
#   RIG_LIBVIRTD   1 (the default): libvirtd is started, or 0
#   RIG_TIMEOUT    seconds for the whole run (600)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "boot.sh: $*" >&2; exit 2; }

XEN=${XEN:-4.17}
out=$here/out/$XEN
memory=${RIG_MEMORY:-2048}
vcpus=${RIG_VCPUS:-1}
share=$out/share repo='' command=''
while getopts s:r:c: option; do
  case $option in
    s) share=$OPTARG ;;
    r) repo=$(realpath "$OPTARG") ;;
    c) command=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[[ -f $out/stamp ]] || die "out/$XEN is not built: run XEN=$XEN ./build.sh"

mkdir -p "$share"
share=$(realpath "$share")
exec {lock}>"$share/.lock"
flock -n "$lock" || die "$share is in use by another boot"
rm -rf "$share"/{run,log,status,consoles}
mkdir "$share/consoles"
if [[ -n $command ]]; then
  printf '%s\n' "$command" >"$share/run"
elif [[ $# -gt 0 ]]; then
  { printf 'set --%s\n' "$([[ $# = 1 ]] || printf ' %q' "${@:2}")"; cat "$1"; } >"$share/run"
fi

qemu=(
  # Nehalem has no SMAP and no MWAIT: Debian 12's QEMU emulates an IRET with SMAP
  # incorrectly in ring 3 and faults Xen's MWAIT. libvirt has no CPU model for an
  # AMD one.
  -accel 'tcg,thread=multi' -cpu Nehalem -smp $((vcpus > 2 ? vcpus : 2)) -m "$((memory + 2048))M"
  -nodefaults -no-user-config -display none -no-reboot
  -kernel "$out/xen"
  -append "console=com1 com1=115200,8n1 dom0_mem=${memory}M,max:${memory}M dom0_max_vcpus=$vcpus loglvel=warning guest_loglvl=warning spec-ctrl=no xpti=no"
  # dom0's init has the RIG_ variables in its environment.
  -initrd "$out/vmlinux console=hvc0 loglevel=4 panic=1 mitigations=off RIG_XENSTORED=${RIG_XENSTORED:-oxenstored} RIG_LIBVIRTD=${RIG_LIBVIRTD:-1},$out/dom0.cpio"
  -virtfs "local,path=$share,mount_tag=rig.share,security_model=none,multidevs=remap"
)
[[ -z $repo ]] || qemu+=(-virtfs "local,path=$repo,mount_tag=rig.repo,security_model=none,multidevs=remap,readonly=on")

# dom0's disks: 512 bytes logical and physical, 512 / 4096, 4096 / 4096. The files
# are removed before QEMU opens their descriptors, so that none is left behind.
add_disk() { # name, logical and physical block size
  local file fd
  file=$(mktemp)
  exec {fd}<>"$file"
  rm "$file"
  truncate -s 256M "/dev/fd/$fd"
  qemu+=(-drive "if=none,id=$1,format=raw,file=/dev/fd/$fd,cache=unsafe,discard=unmap"
    -device "virtio-blk-pci,drive=$1,logical_block_size=$2,physical_block_size=$3")
}
add_disk vda 512 512
add_disk vdb 512 4096
add_disk vdc 4096 4096

# The console goes to a file. The output of the script has a port of its own.
console=$share/consoles/dom0.log
if [[ -f $share/run ]]; then
  exec {printed}> >(exec cat)
  cat=$!
  exec </dev/null
  qemu+=(-serial "file:$console" -device virtio-serial-pci
    -chardev "file,id=printed,path=/dev/fd/$printed,logfile=$share/log"
    -device 'virtserialport,chardev=printed,name=rig.printed')
else
  qemu+=(-chardev "stdio,id=console,signal=off,logfile=$console" -serial chardev:console)
fi

# QEMU ends with this script: by the trap, or, if this script is killed, by the
# signal that the kernel then sends to QEMU (pdeathsig).
pid=''
trap '[[ -z $pid ]] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
setpriv --pdeathsig KILL timeout --foreground -k 5 "${RIG_TIMEOUT:-600}" \
  setpriv --pdeathsig KILL qemu-system-x86_64 "${qemu[@]}" <&0 &
pid=$!
rc=0
wait "$pid" || rc=$?
pid=''
if [[ -f $share/run ]]; then
  exec {printed}>&-
  wait "$cat"
fi

if [[ $rc = 124 ]]; then
  echo "boot.sh: timeout after ${RIG_TIMEOUT:-600} seconds" >&2
elif [[ -f $share/status ]]; then
  exit "$(<"$share/status")"
else
  echo "boot.sh: dom0 ended before the script did; the end of $console:" >&2
  tail -n 20 "$console" >&2
  rc=125
fi
exit "$rc"
