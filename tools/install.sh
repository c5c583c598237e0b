#!/bin/sh
# Puts what was built where etc/manifest says. `make install` calls it with the
# directories in the environment. Owners are set when it runs as root and the
# users exist; a package builder who is not root gets files of his own, and
# `mtactl check --fix` on the machine does the rest.
set -eu
cd "$(dirname "$0")/.."

main=${main:-filbert} drop=${drop:-filbert-drop} admin=${admin:-filbert-adm}
missing=

fill() {
	printf '%s\n' "$1" | sed \
		-e "s|{etc}|$etc|" -e "s|{spool}|$spool|" -e "s|{db}|$db|" -e "s|{run}|$run|" \
		-e "s|{log}|$log|" -e "s|{mail}|$mail|" -e "s|{libexec}|$libexec|" \
		-e "s|{sbin}|$sbin|" -e "s|{bin}|$bin|" \
		-e "s|{main}|$main|" -e "s|{drop}|$drop|" -e "s|{admin}|$admin|"
}

# own PATH OWNER GROUP MODE: chown takes set-id bits away, so the mode comes last.
# A program is never set-id for another owner than it is meant for.
own() {
	mode=$4
	if [ "$2" != - ]; then
		if [ "$(id -u)" != 0 ]; then
			mode=${mode#[1-7]}
		elif ! chown "$2:$3" "$1" 2>/dev/null; then
			missing="$missing $2:$3"
			mode=${mode#[1-7]}
		fi
	fi
	[ "$mode" = - ] || chmod "$mode" "$1"
}

while read -r kind path owner group mode _; do
	case $kind in '' | '#'*) continue ;; esac
	path=$(fill "$path")
	to=$DESTDIR$path
	case $kind in
	dir)
		case $path in "$run") continue ;; esac # master makes it at each start
		mkdir -p "$to"
		own "$to" "$(fill "$owner")" "$(fill "$group")" "$mode"
		;;
	file)
		mkdir -p "$(dirname "$to")"
		[ -e "$to" ] || cp etc/filbert.toml.sample "$to" # a configuration is never overwritten
		own "$to" "$(fill "$owner")" "$(fill "$group")" "$mode"
		;;
	prog)
		name=$(basename "$path")
		from=bin/$name
		[ -f "$from" ] || from=bin/libexec/$name
		mkdir -p "$(dirname "$to")"
		cp "$from" "$to.new" && mv -f "$to.new" "$to" # a running program is replaced, not written to
		own "$to" "$(fill "$owner")" "$(fill "$group")" "$mode"
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

for page in doc/man/*.[1-8]; do
	[ -e "$page" ] || continue
	section=${page##*.}
	mkdir -p "$DESTDIR$man/man$section"
	cp "$page" "$DESTDIR$man/man$section/"
done
mkdir -p "$DESTDIR$etc"
cp etc/filbert.toml.sample "$DESTDIR$etc/"

if [ -n "$missing" ]; then
	echo "These users and groups do not exist yet, so their files belong to root:" >&2
	printf '%s\n' $missing | sort -u | sed 's/^/    /' >&2
	echo "INSTALL tells how to make them; then: mtactl check --fix" >&2
fi
