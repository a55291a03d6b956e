# Sourced by the scripts of this folder: packages of the host's own Debian archive, downloaded into a folder of its own.
# apt checks the signatures; nothing is installed, the host's apt stays as it is, and no root is needed.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "$(basename "$0"): $1" >&2
  echo "To do: $2" >&2
  exit 1
}

# read_index [RELEASE]: the archive's index, of the host's release or of another one.
read_index() {
  local sources codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mkdir -p "$work"/{sources,lists/partial,cache/archives/partial}
  touch "$work/status"
  for sources in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    grep -qsE "^(deb|URIs:) .*/debian(-security)?/?( |$)" "$sources" && sed "s/$codename/${1:-$codename}/g" "$sources" > "$work/sources/$(basename "$sources")"
  done
  apt update > "$work/log" 2>&1 || fail "cannot read the index of Debian ${1:-$codename}: $(tail -n 3 "$work/log")" "see to the network, or to the host's apt sources"
}

apt() {
  apt-get --quiet=2 -o Dir::State="$work" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
    -o APT::Architecture=amd64 -o Acquire::Languages=none -o APT::Sandbox::User= "$@"
}
