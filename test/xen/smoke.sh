#!/bin/bash
# Runs in dom0 (./boot.sh smoke.sh): checks the statements of README.md about the
# emulated host. Prints a line for each check; the status is 0 if all pass.
# shellcheck disable=SC2317  # functions that are called through `try`
set -uo pipefail
failed=0
virsh() { command virsh -q -c xen:///system "$@"; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
vbd() { echo "/sys/bus/xen-backend/devices/vbd-$(xl domid "$1")-$2"; }
backend() { xenstore-read "/local/domain/0/backend/${4:-vbd}/$(xl domid "$1")/$2/$3"; }
counters() { # guest, devid: rd_req rd_sect wr_req wr_sect f_req ds_req oo_req
  local name
  for name in rd_req rd_sect wr_req wr_sect f_req ds_req oo_req; do
    cat "$(vbd "$1" "$2")/statistics/$name"
  done | paste -sd ' '
}
is() { # what, expected, actual
  if [[ $3 == "$2" ]]; then
    echo "ok      $1: ${3//$'\n'/ | }"
  else
    failed=1
    echo "NOT OK  $1"
    echo "        expected: $2"
    echo "        actual:   $3"
  fi
}
soon() { # seconds, command: repeats the command until it succeeds
  local end=$((SECONDS + $1))
  until "${@:2}" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}
section() { echo "-- $* [$(cut -d' ' -f1 /proc/uptime)s]"; }
has() { [[ -e $(vbd "$1" "$2") ]]; }
has_not() { ! has "$@"; }
state_is() { [[ $(backend "$1" "$2" state) == "$3" ]]; }

section "the machine: Xen $(xl info | sed -n 's/^xen_version *: //p'), Linux $(uname -r), $RIG_XENSTORED, node $(node --version)"
xl info | grep -E '^(nr_cpus|total_memory)'
truncate -s 64M /tmp/image /tmp/loop0 /tmp/loop1
losetup /dev/loop0 /tmp/loop0
losetup -b 4096 /dev/loop1 /tmp/loop1
for disk in vda:512:512 vdb:512:4096 vdc:4096:4096 loop0:512:512 loop1:4096:4096; do
  IFS=: read -r name logical physical <<<"$disk"
  is "$name logical, physical" "$logical $physical" \
    "$(cat "/sys/block/$name/queue/logical_block_size" "/sys/block/$name/queue/physical_block_size" | paste -sd ' ')"
done

section 'known I/O: 8 MiB out, 4 MiB in, 4 KiB and fsync, 1 MiB discarded'
mkdom a vda=xvda vdb=xvdb1 vdc=sdc loop0=hdd loop1=xvdaa || exit
for disk in 51712:xvda:512 51729:xvdb1:4096 2080:xvdc:4096 5696:xvdd:512 268442112:xvdaa:4096; do
  IFS=: read -r devid name physical <<<"$disk"
  is "$name physical-sector-size" "$physical" "$(backend a "$devid" physical-sector-size)"
  is "$name after connecting" '3 24 0 0 0 0 0' "$(counters a "$devid")"
  domu a "set -e; exec 2>/dev/null
    dd if=/dev/zero of=/dev/$name bs=64k count=128 oflag=direct
    dd if=/dev/$name of=/dev/null bs=64k count=64 iflag=direct
    dd if=/dev/zero of=/dev/$name bs=4k count=1 conv=fsync,notrunc
    blkdiscard -o 0 -l 1048576 /dev/$name"
  is "$name after the I/O" '67 8216 129 16392 1 1 0' "$(counters a "$devid")"
done
is 'domblkstat of a 512/4096 disk: eight times the bytes' 'xvdb1 wr_bytes 67141632' \
  "$(virsh domblkstat a xvdb1 | grep wr_bytes)"

section 'the console'
domu a 'exit 7'
is 'status of a command in a guest' 7 $?
is 'its output, with quotes' "it's \"so\" \$5" "$(domu a "echo 'it'\\''s \"so\" \$5'")"
is '1000 lines' "$(seq 1000 | md5sum)" "$(domu a 'seq 1000' | md5sum)"
domu nosuch true 2>/dev/null
is 'status for no such guest' 125 $?

section 'an unprivileged user'
is 'the user nobody reads the counters' 67 "$(nobody cat "$(vbd a 51712)/statistics/rd_req")"
is 'the user nobody cannot connect to xenstored' 'xenstore-read: xs_open: Permission denied' "$(nobody xenstore-read -s / 2>&1 | head -1)"

section 'a running virsh that reads commands from a pipe'
is 'two commands, one virsh' 2 "$(printf 'domblkstat a xvda\ndomblkstat a hdd\n' | command virsh -c xen:///system | grep -c 'rd_req 67')"

section 'disks attached to and detached from a running guest'
rm -f /tmp/hot && truncate -s 32M /tmp/hot
losetup /dev/loop7 /tmp/hot
virsh attach-disk a /dev/loop7 xvdf --driver phy --sourcetype block --live
is 'attached (virsh)' '3 24 0 0 0 0 0' "$(soon 20 state_is a 51792 4; sleep 1; counters a 51792)"
virsh detach-disk a xvdf --live
is 'detached (virsh)' gone "$(soon 20 has_not a 51792 && echo gone)"
xl block-attach a "vdev=xvdg,format=raw,target=/dev/loop7"
is 'attached (xl)' '3 24 0 0 0 0 0' "$(soon 20 state_is a 51808 4; sleep 1; counters a 51808)"
xl block-detach a xvdg
is 'detached (xl)' gone "$(soon 20 has_not a 51808 && echo gone)"

section 'the guest unbinds a disk'
domu a 'echo vbd-51712 >/sys/bus/xen/drivers/vbd/unbind'
is 'unbound: backend state' 6 "$(soon 20 state_is a 51712 6; backend a 51712 state)"
is 'unbound: counters' '0 0 0 0 0 0 0' "$(counters a 51712)"
domu a 'echo vbd-51712 >/sys/bus/xen/drivers/vbd/bind'
# Linux's frontend stays in the state Closed and does not connect again.
is 'bound again: backend state unchanged' 6 "$(sleep 3; backend a 51712 state)"
domu a 'xenstore-write device/vbd/51712/state 1'
is 'frontend state set to 1 in xenstore: backend state' 2 "$(soon 10 state_is a 51712 2; backend a 51712 state)"
is 'counters of virsh' 'xvda rd_req 0' "$(virsh domblkstat a xvda | head -n 1)"

section 'the guest writes its own xenstore nodes'
link=/local/domain/$(xl domid a)/device/vbd/51729/backend
was=$(xenstore-read "$link")
# shellcheck disable=SC2016  # for the guest's shell
domu a 'xenstore-write data/x/physical-sector-size 1048576
        xenstore-write device/vbd/51729/backend /local/domain/$(xenstore-read domid)/data/x'
is 'its backend node has the written path' "/local/domain/$(xl domid a)/data/x" "$(xenstore-read "$link")"
domu a "xenstore-write device/vbd/51729/backend $was"
is 'its backend node is restored' "$was" "$(xenstore-read "$link")"
is 'it may not write the backend directory' 1 "$(domu a "xenstore-write $was/physical-sector-size 1 2>/dev/null"; echo $?)"

section 'a reboot'
old=$(xl domid a)
virsh reboot a
renewed() { [[ $(xl domid a) -gt $old ]]; }
is 'a new domid' yes "$(soon 60 renewed && echo yes)"
is 'counters after the reboot' '3 24 0 0 0 0 0' "$(domu a && counters a 51712)"
virsh destroy a

section 'with xl: numbers and dXpY; paused; read-only; qdisk; a file; an empty drive'
truncate -s 64M /tmp/phy
mkdom --xl --paused b vda=51712 vdb=d5p1,ro vdc=0xca20 /tmp/image=xvdh,qdisk /tmp/phy=xvdi =xvdj,cdrom || exit
is 'paused: backend state' 2 "$(soon 20 state_is b 51712 2; backend b 51712 state)"
is 'paused: counters' '0 0 0 0 0 0 0' "$(counters b 51712)"
is 'paused: no physical-sector-size' 1 "$(backend b 51712 physical-sector-size >/dev/null 2>&1; echo $?)"
xl unpause b
domu b || exit
ls /sys/bus/xen-backend/devices
is 'resumed' '3 24 0 0 0 0 0' "$(counters b 51712)"
is 'd5p1' '3 24 0 0 0 0 0' "$(counters b 51793)"
is '0xca20' '3 24 0 0 0 0 0' "$(counters b 51744)"
is 'file on a loop device' '3 24 0 0 0 0 0' "$(counters b 51840)"
is 'qdisk does I/O' 0 "$(domu b 'dd if=/dev/zero of=/dev/xvdh bs=64k count=16 oflag=direct 2>/dev/null'; echo $?)"
is 'qdisk has no statistics' '' "$(ls "/sys/bus/xen-backend/devices/qdisk-$(xl domid b)-51824/statistics" 2>/dev/null)"
losetup -a
xl destroy b

section 'with libvirt: paused; qdisk; a file; an empty drive; shut off'
mkdom --paused c vda=xvda /tmp/image=xvdb,qdisk /tmp/phy=xvdc || exit
is 'paused: counters' '0 0 0 0 0 0 0' "$(counters c 51712)"
virsh resume c
domu c || exit
is 'qdisk does I/O' 0 "$(domu c 'dd if=/dev/zero of=/dev/xvdb bs=64k count=16 oflag=direct 2>/dev/null'; echo $?)"
is 'file on a loop device' '3 24 0 0 0 0 0' "$(counters c 51744)"
virsh destroy c
mkdom --define off vda=xvda || exit
is 'shut off' 'shut off' "$(virsh domstate off)"
mkdom e vda=xvda =xvdb,cdrom
is 'empty drive' 0 $?
ls /sys/bus/xen-backend/devices
virsh destroy e

section "done, failed: $failed"
exit $failed
