# Run a command with /upload bound to a folder, in a mount namespace: NEW-ROOT FOLDER DIRECTORY COMMAND…
set -euo pipefail
root=$1 folder=$2 directory=$3
shift 3
mkdir -p "$root"
mount -t tmpfs none "$root"
for entry in /*; do
	if [ -L "$entry" ]; then
		cp -P "$entry" "$root$entry"
	elif [ -d "$entry" ]; then
		mkdir "$root$entry"
		mount --rbind "$entry" "$root$entry"
	fi
done
mkdir -p "$root/upload"
mount --bind "$folder" "$root/upload"
exec chroot "$root" env -C "$directory" "$@"
