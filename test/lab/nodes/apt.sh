# shellcheck shell=bash disable=SC2154 # sourced after stub.sh
# The repositories in the node's apt files, and the versions in their lists.

# apt_sources FILE…: `URL|SUITE|KEYRING` for each entry of one-line and deb822 files.
apt_sources() {
  local file
  for file in "$@"; do
    [[ -f $file ]] || continue
    if [[ $file == *.sources ]]; then
      awk '
        function flush() { if (uri != "" && enabled != "no") print uri "|" suite "|" key; uri = suite = key = enabled = "" }
        /^[ \t]*$/ { flush() }
        /^URIs:/ { uri = $2 } /^Suites:/ { suite = $2 } /^Signed-By:/ { key = $2 } /^Enabled:/ { enabled = $2 }
        END { flush() }' "$file"
    else
      sed -nE -e '/^[[:space:]]*#/d' -e 's/^deb[[:space:]]+\[([^]]*)\][[:space:]]+([^ ]+)[[:space:]]+([^ ]+).*/\2|\3|\1/p' \
        -e 's/^deb[[:space:]]+([^[ ]+)[[:space:]]+([^ ]+).*/\1|\2|/p' "$file" |
        sed -E 's/\|[^|]*signed-by=([^ |]+)[^|]*$/|\1/'
    fi
  done
}

configured_sources() { apt_sources "$fs/etc/apt/sources.list" "$fs"/etc/apt/sources.list.d/*.{list,sources}; }

# list_file URL: path of that repository's package list.
list_file() {
  local name=${1#*://}
  printf '%s' "$fs/var/lib/apt/lists/${name//\//_}Packages"
}

# offers PACKAGE: `VERSION|SOURCE`, newest first, from the lists of the configured repositories.
offers() {
  {
    local url rest list
    while IFS='|' read -r url rest; do
      list=$(list_file "$url")
      [[ -f $list ]] || continue
      awk -v RS= -v want="$1" -v url="${url%/}" '
        { name = version = arch = ""
          n = split($0, line, "\n")
          for (i = 1; i <= n; i++) {
            if (line[i] ~ /^Package: /) name = substr(line[i], 10)
            if (line[i] ~ /^Version: /) version = substr(line[i], 10)
            if (line[i] ~ /^Architecture: /) arch = substr(line[i], 15)
          }
          if (name == want && arch == "amd64") print version "|" url "  Packages" }' "$list"
    done < <(configured_sources)
    awk -F '|' -v want="$1" '$1 == want { print $2 "|" $3 }' "$state/other-packages"
  } | sort -t '|' -k1,1Vr
}

# apt_option NAME: its value in the node's files; empty when no file sets it.
apt_option() {
  local file
  for file in "$fs"/etc/apt/apt.conf.d/*; do
    [[ ! -f $file ]] || sed -nE "s/^ *$1 +\"([^\"]*)\";.*/\1/p" "$file"
  done | tail -n 1
}
