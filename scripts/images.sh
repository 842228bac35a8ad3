#!/bin/sh
# images.sh gets the Redis and Valkey images that the tests use.
#
#   scripts/images.sh [image…]   default: redis:8.0 redis:7.0 valkey/valkey:8.1
#   scripts/images.sh --local    a redis-server binary for use without Docker
#
# An image that is present is left alone. One that is missing is pulled, and
# where no registry answers it is made from Debian's packages under the official
# image's name: with the same entrypoint behaviour, so that nothing else needs
# to know which of the two it got. Building takes about 25 s an image, and needs
# root on a Debian machine; its mirror is the one apt is set up with.
#
# Quiet on success, but for one line for each image made. Safe to run again.
set -eu

# Seconds that a pull may take before the image is made from packages instead.
# A registry that cannot be reached fails at once; this bounds one that hangs.
PULL_TIMEOUT=${PULL_TIMEOUT:-90}

work=
# rm never crosses into a file system that debootstrap left mounted.
cleanup() { [ -z "$work" ] || rm -rf --one-file-system "$work"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "images.sh: $*" >&2
	exit 1
}

# quietly runs a command, and shows what it printed only when it fails.
quietly() {
	if ! "$@" >"$work/log" 2>&1; then
		tail -n 30 "$work/log" >&2
		return 1
	fi
}

need_root_apt() {
	command -v apt-get >/dev/null || die "$1, and this machine has no apt-get to make it with. $2"
	[ "$(id -u)" = 0 ] || die "$1. Run 'sudo scripts/images.sh' to make it from Debian's packages. $2"
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -qq --no-install-recommends "$@" ||
		{ quietly apt-get update -qq && DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -qq --no-install-recommends "$@"; }
}

# debian_mirror prints the archive that this machine's apt takes Debian's own
# packages from.
debian_mirror() {
	# shellcheck disable=SC2016 # apt-get itself expands the format
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1
}

# spec sets suite, package and server for an image that can be made.
spec() {
	case $1 in
	redis:8.0) suite=trixie package=redis-server server=redis-server ;;
	redis:7.0) suite=bookworm package=redis-server server=redis-server ;;
	valkey/valkey:8.1) suite=trixie package=valkey-server server=valkey-server ;;
	*) return 1 ;;
	esac
}

# entrypoint prints the image's entrypoint. Like the official ones it gives bare
# options and a config path to the server, runs everything else as it is, leaves
# root where the server is what runs, and execs, so that signals arrive. The
# official servers are compiled with protected mode off, or a published port
# would be refused; Debian's are not, so it is switched off here unless the
# caller speaks of it.
entrypoint() {
	user=${1%-server}
	cat <<-END
		#!/bin/sh
		set -e
		case \${1:-} in
		-* | *.conf | '') set -- $1 "\$@" ;;
		esac
		case \$1 in
		redis-server | valkey-server)
		    mode=--protected-mode
		    for a; do
		        case \$a in
		        --protected-mode | --sentinel) mode= ;;
		        *.conf) if grep -qs '^ *protected-mode' "\$a"; then mode=; fi ;;
		        esac
		    done
		    if [ -n "\$mode" ]; then set -- "\$@" --protected-mode no; fi
		    ;;
		redis-sentinel | valkey-sentinel) ;;
		*) exec "\$@" ;;
		esac
		if [ "\$(id -u)" = 0 ]; then
		    find . \! -user $user -exec chown $user {} + 2>/dev/null || true
		    exec setpriv --reuid=$user --regid=$user --clear-groups -- "\$@"
		fi
		exec "\$@"
	END
}

make_image() {
	image=$1
	root=$work/root
	need_root_apt "image $image is missing and no registry gave it" "Or: docker load an image of that name."
	command -v debootstrap >/dev/null || apt_install debootstrap || die "cannot install debootstrap (see above): check apt-get's sources and the network"

	mirror=$(debian_mirror)
	if [ -z "$mirror" ]; then
		quietly apt-get update -qq || die "apt-get update failed (see above)"
		mirror=$(debian_mirror)
	fi
	[ -n "$mirror" ] || die "apt knows no Debian archive, so $image cannot be made here: docker pull or docker load it"

	mkdir -p "$work/debs"
	quietly debootstrap --variant=minbase --cache-dir="$work/debs" --include="$package" "$suite" "$root" "$mirror" ||
		die "debootstrap of $suite from the machine's Debian mirror failed (see above)"

	# Every name that the official images answer to, in both families.
	for tool in server sentinel cli benchmark check-aof check-rdb; do
		for name in redis-$tool valkey-$tool; do
			[ -e "$root/usr/bin/$name" ] && continue
			case $tool in server | sentinel | check-*) to=$server ;; *) to=${server%-server}-$tool ;; esac
			ln -s "$to" "$root/usr/bin/$name"
		done
	done
	entrypoint "$server" >"$root/usr/local/bin/docker-entrypoint.sh"
	chmod 755 "$root/usr/local/bin/docker-entrypoint.sh"
	chroot "$root" install -d -o "${server%-server}" -g "${server%-server}" /data

	# What a server never reads at run time: a third of the size.
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
	tar -C "$root" --one-file-system -c . | docker import \
		--change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change "CMD [\"$server\"]" \
		--change 'WORKDIR /data' --change 'VOLUME /data' --change 'EXPOSE 6379' \
		--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		- "$image" >/dev/null || die "docker import of $image failed"
	rm -rf --one-file-system "$root"
	echo "images.sh: made $image from Debian $suite: $(docker run --rm --network none "$image" "$server" --version)"
}

# local_server makes redis-server runnable without its service. Debian's
# redis-server package is the unit files and a link to a binary of redis-tools;
# installing only the latter starts nothing, at this or the next boot.
local_server() {
	command -v redis-server >/dev/null && return
	need_root_apt "there is no redis-server in PATH" "Or: install Redis 7.0 or newer by hand."
	apt_install redis-tools || die "cannot install redis-tools (see above): check apt-get's sources and the network"
	if ! command -v redis-server >/dev/null; then
		ln -s "$(command -v redis-check-rdb)" /usr/local/bin/redis-server
	fi
	redis-server --version >/dev/null || die "redis-server does not run after the install of redis-tools"
	echo "images.sh: installed $(redis-server --version)"
}

work=$(mktemp -d)

if [ "${1:-}" = --local ]; then
	local_server
	exit
fi

command -v docker >/dev/null || die "there is no docker command. Install a Docker engine, or run 'scripts/images.sh --local' for a local redis-server"
docker version >/dev/null 2>&1 || die "no Docker engine answers. Start it, or run 'scripts/images.sh --local' for a local redis-server"

[ $# -gt 0 ] || set -- redis:8.0 redis:7.0 valkey/valkey:8.1
for image; do
	docker image inspect "$image" >/dev/null 2>&1 && continue
	timeout "$PULL_TIMEOUT" docker pull -q "$image" >/dev/null 2>&1 && continue
	spec "$image" || die "$image cannot be pulled, and there is no recipe for it: docker load it, or name one of redis:8.0 redis:7.0 valkey/valkey:8.1"
	make_image "$image"
done
