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
#   XEN            4.17 (the default), 4.20 or 4.17-arm64
#   RIG_MEMORY     MiB of dom0 (2048, at most that on arm64); the guests have 2048 more
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

# dom0's init has the RIG_ variables in its environment.
linux_options="console=hvc0 loglevel=4 panic=1 RIG_XENSTORED=${RIG_XENSTORED:-oxenstored} RIG_LIBVIRTD=${RIG_LIBVIRTD:-1}"
xen_options="dom0_mem=${memory}M,max:${memory}M dom0_max_vcpus=$vcpus loglvl=warning guest_loglvl=warning"
qemu=(
  -accel 'tcg,thread=multi' -smp $((vcpus > 2 ? vcpus : 2)) -nodefaults -no-user-config -display none -no-reboot
  -kernel "$out/xen"
)
if [[ $XEN = *-arm64 ]]; then
  # Memory begins at 1 GiB. dom0's memory is one piece below 4 GiB, so its kernel and
  # initramfs are loaded above that.
  transport=device
  qemu=(
    qemu-system-aarch64 "${qemu[@]}" -machine virt,virtualization=on,gic-version=3 -cpu cortex-a57 -m 6G
    -append "console=dtuart dtuart=/pl011@9000000 $xen_options"
    -device "guest-loader,addr=0x180000000,kernel=$out/vmlinux,bootargs=$linux_options rdinit=/init"
    -device "guest-loader,addr=0x190000000,initrd=$out/dom0.cpio"
  )
else
  # Nehalem has no SMAP and no MWAIT: Debian 12's QEMU emulates an IRET with SMAP
  # incorrectly in ring 3 and faults Xen's MWAIT. libvirt has no CPU model for an
  # AMD one.
  transport=pci
  qemu=(
    qemu-system-x86_64 "${qemu[@]}" -cpu Nehalem -m "$((memory + 2048))M"
    -append "console=com1 com1=115200,8n1 $xen_options spec-ctrl=no xpti=no"
    -initrd "$out/vmlinux $linux_options mitigations=off,$out/dom0.cpio"
  )
fi

add_directory() { # name, path, option
  qemu+=(-fsdev "local,id=$1,path=$2,security_model=none,multidevs=remap$3"
    -device "virtio-9p-$transport,fsdev=$1,mount_tag=rig.$1")
}
add_directory share "$share" ''
[[ -z $repo ]] || add_directory repo "$repo" ,readonly=on

# dom0's disks: 512 bytes logical and physical, 512 / 4096, 4096 / 4096. The files
# are removed before QEMU opens their descriptors, so that none is left behind.
add_disk() { # logical and physical block size
  local file fd
  file=$(mktemp)
  exec {fd}<>"$file"
  rm "$file"
  truncate -s 256M "/dev/fd/$fd"
  qemu+=(-drive "if=none,id=disk$fd,format=raw,file=/dev/fd/$fd,cache=unsafe,discard=unmap"
    -device "virtio-blk-$transport,drive=disk$fd,logical_block_size=$1,physical_block_size=$2")
}
disks=('512 512' '512 4096' '4096 4096')
[[ $transport = pci ]] || disks=('4096 4096' '512 4096' '512 512') # Linux finds the last one first
for disk in "${disks[@]}"; do
  # shellcheck disable=SC2086  # two sizes
  add_disk $disk
done

# The console goes to a file. The output of the script has a port of its own.
console=$share/consoles/dom0.log
if [[ -f $share/run ]]; then
  exec {printed}> >(exec cat)
  cat=$!
  exec </dev/null
  qemu+=(-serial "file:$console" -device "virtio-serial-$transport"
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
  setpriv --pdeathsig KILL "${qemu[@]}" <&0 &
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
