#!/bin/sh
# Puts what was built where etc/manifest says. `make install` calls it with the
# directories in the environment. Owners are set when it runs as root and the
# users exist; a package builder who is not root gets files of his own. What could
# not be set is listed at the end, and `mtactl check --fix` on the machine does it.
set -eu
umask 022
cd "$(dirname "$0")/.."

objdir=${objdir:-bin}
main=${main:-filbert} memory=${memory:-filbert-db} drop=${drop:-filbert-drop} admin=${admin:-filbert-adm}
left=

fill() {
	printf '%s\n' "$1" | sed \
		-e "s|{etc}|$etc|" -e "s|{spool}|$spool|" -e "s|{db}|$db|" -e "s|{run}|$run|" \
		-e "s|{log}|$log|" -e "s|{mail}|$mail|" -e "s|{libexec}|$libexec|" \
		-e "s|{sbin}|$sbin|" -e "s|{bin}|$bin|" \
		-e "s|{main}|$main|" -e "s|{memory}|$memory|" -e "s|{drop}|$drop|" -e "s|{admin}|$admin|"
}

# own PATH OWNER GROUP MODE sets what it can and remembers what it could not. chown
# takes set-id bits away, so the mode comes last; and nothing is set-id for an owner
# whom it is not meant for.
own() {
	mode=$4
	if [ "$2" != - ] && ! { [ "$(id -u)" = 0 ] && chown "$2:$3" "$DESTDIR$1" 2>/dev/null; }; then
		remains "$@"
		case $mode in
		-) ;;
		*) mode=0${mode#[0-7]} ;;
		esac
	fi
	[ "$mode" = - ] || chmod "$mode" "$DESTDIR$1"
}

remains() {
	left="$left
    chown $2:$3 $1; chmod $4 $1"
}

while read -r kind path owner group mode _; do
	case $kind in '' | '#'*) continue ;; esac
	path=$(fill "$path")
	to=$DESTDIR$path
	case $kind in
	dir)
		case $path in "$run") continue ;; esac # master makes it at each start
		mkdir -p "$to"
		own "$path" "$(fill "$owner")" "$(fill "$group")" "$mode"
		;;
	file)
		mkdir -p "$(dirname "$to")"
		[ -e "$to" ] || cp etc/filbert.toml.sample "$to" # a configuration is never overwritten
		own "$path" "$(fill "$owner")" "$(fill "$group")" "$mode"
		;;
	prog)
		name=$(basename "$path")
		from=$objdir/$name
		[ -f "$from" ] || from=$objdir/libexec/$name
		mkdir -p "$(dirname "$to")"
		# Never set-id before its owner is right, and a running program is replaced,
		# not written to.
		install -m 0755 "$from" "$to.new"
		mv -f "$to.new" "$to"
		own "$path" "$(fill "$owner")" "$(fill "$group")" "$mode"
		;;
	link)
		mkdir -p "$(dirname "$to")"
		ln -sf "$(fill "$owner")" "$to"
		;;
	*)
		echo "etc/manifest: $kind is not known" >&2
		exit 1
		;;
	esac
done <etc/manifest

for page in doc/man/*.[1-8] "$objdir"/man/*.[1-8]; do
	[ -e "$page" ] || continue
	section=${page##*.}
	mkdir -p "$DESTDIR$man/man$section"
	install -m 0644 "$page" "$DESTDIR$man/man$section/"
done
install -m 0644 etc/filbert.toml.sample "$DESTDIR$etc/"

if [ -n "${unit:-}" ]; then
	mkdir -p "$DESTDIR$unit"
	sed -e "s|/usr/local/sbin|$sbin|" -e "s|/usr/local/libexec/filbert|$libexec|" \
		contrib/systemd/filbert.service >"$DESTDIR$unit/filbert.service"
	chmod 0644 "$DESTDIR$unit/filbert.service"
fi

if [ -n "$left" ]; then
	if [ "$(id -u)" = 0 ]; then
		why="These users and groups do not all exist yet (INSTALL, section 2, makes them)"
	else
		why="Owners can be set by root alone"
	fi
	cat >&2 <<END
$why, so this remains to be done
as root on the machine; \`$sbin/mtactl check --fix\` does it:
$left
END
fi
