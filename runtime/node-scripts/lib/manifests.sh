# What the manifests of this node's static pods say. A container is found by its name: a sidecar, such as a
# KMS plugin, may stand before it (F36).
manifests="$root/etc/kubernetes/manifests"

# Prints of the container `wanted` its image, as "image IMAGE", and the words of its command line, as
# "word WORD". Reads YAML as people write it: keys in any order, lists in lines or in brackets, quotes,
# comments, values on the next line. Prints nothing of a manifest that it does not understand.
# shellcheck disable=SC2016 # a program of awk
read_container='
function scalar(text,   quote, value, i, c) {
  sub(/^[ \t]+/, "", text)
  while (text ~ /^[&!]/) if (!sub(/^[&!][^ ]* +/, "", text)) break
  quote = substr(text, 1, 1)
  if (quote != "\"" && quote != "\047") {
    sub(/^#.*/, "", text); sub(/[ \t]+#.*/, "", text); sub(/[ \t]+$/, "", text)
    return text ~ /^[|>][-+0-9]*$/ ? "" : text
  }
  for (i = 2; i <= length(text); i++) {
    c = substr(text, i, 1)
    if (c == "\\" && quote == "\"") c = substr(text, ++i, 1)
    else if (c == quote && quote == "\047" && substr(text, i + 1, 1) == quote) i++
    else if (c == quote) break
    value = value c
  }
  rest = substr(text, i + 1)
  return value
}
function key(text) {
  if (!match(text, /^("[^"]*"|\047[^\047]*\047|[^:"\047 ]+) *:([ \t]|$)/)) return ""
  value = substr(text, RLENGTH + 1)
  text = substr(text, 1, RLENGTH)
  gsub(/["\047 :\t]/, "", text)
  return text
}
function join(a, b) { return a == "" || b == "" ? a b : a " " b }
function add(word) { words[field] = words[field] "\nword " word }
# A list in brackets, which may continue in the next line.
function add_flow(text) {
  for (;;) {
    sub(/^[ \t,]+/, "", text)
    if (text == "" || text ~ /^#/) return
    if (text ~ /^\]/) { flow = 0; return }
    if (text ~ /^["\047]/) { add(scalar(text)); text = rest; continue }
    match(text, /^[^],]*/)
    add(scalar(substr(text, 1, RLENGTH)))
    text = substr(text, RLENGTH + 1)
  }
}
function finish() {
  if (name == wanted) print "image " image words["command"] words["args"]
  name = image = field = words["command"] = words["args"] = ""
  flow = 0
  keys = list = -1
}
BEGIN { containers = child = item = keys = list = -1 }
{ sub(/\r$/, "") }
/^ *(#|$)/ || /^---/ { next }
{
  match($0, /^ */)
  indent = RLENGTH
  text = substr($0, indent + 1)
  dash = text ~ /^-([ \t]|$)/
}
indent == 0 && !dash { finish(); in_spec = key(text) == "spec"; containers = -1; next }
!in_spec { next }
containers < 0 {
  if (child < 0) child = indent
  if (indent == child && key(text) == "containers") { containers = indent; item = -1 }
  next
}
indent < containers || (indent == containers && !dash) { finish(); containers = -1; next }
{
  if (item < 0) item = indent
  if (indent == item && dash) {
    finish()
    match(text, /^-[ \t]*/)
    if (RLENGTH == length(text)) next
    indent += RLENGTH
    text = substr(text, RLENGTH + 1)
    dash = text ~ /^-([ \t]|$)/
  }
  if (keys < 0) keys = indent
  if (indent == keys && !dash && !flow) {
    field = key(text)
    list = -1
    if (field == "name") name = scalar(value)
    else if (field == "image") image = scalar(value)
    else if (field == "command" || field == "args") {
      sub(/^[ \t]+/, "", value)
      if (value ~ /^\[/) { flow = 1; add_flow(substr(value, 2)) }
    }
  } else if (field == "name") name = join(name, scalar(text))
  else if (field == "image") image = join(image, scalar(text))
  else if (field == "command" || field == "args") {
    if (flow) { add_flow(text); next }
    if (list < 0) list = indent
    if (indent == list && dash) add(scalar(substr(text, 2)))
    else words[field] = words[field] " " scalar(text)
  } else if (field == "env" && text ~ /ETCD_CONFIG_FILE/) words["args"] = words["args"] "\nword --config-file"
}
END { finish() }
'

# container_of NAME: image and command line of the container NAME in the static pod NAME; empty when there is
# no such manifest.
container_of() {
  ! as_root test -e "$manifests/$1.yaml" || as_root cat "$manifests/$1.yaml" | awk -v "wanted=$1" "$read_container"
}

# image_of NAME: the image of that container.
image_of() { container_of "$1" | sed -n 's/^image //p'; }

# component_tag NAME: the tag of that image without v; empty when there is no such manifest. Of an image
# without a tag, the image, which is no release.
component_tag() {
  local image name
  image=$(image_of "$1")
  name=${image%%@*}
  name=${name##*/}
  [[ $name != *:* ]] || image=${name##*:}
  [[ ! $image =~ ^v[0-9] ]] || image=${image#v}
  printf '%s' "$image"
}

# check_manifests NAME…: dies unless each one's manifest, if it is there, shows the image of its container.
check_manifests() {
  local name
  for name in "$@"; do
    ! as_root test -e "$manifests/$name.yaml" || [[ -n $(image_of "$name") ]] ||
      die "${manifests#"$root"}/$name.yaml shows no image of a container $name; write it as kubeadm does"
  done
}

# flag_of NAME FLAG: the value of a flag of that container, as --FLAG=VALUE or in two words; the last one
# counts. Go's own flags also have one dash. Empty when it is not set.
flag_of() {
  container_of "$1" | sed -n 's/^word //p' | awk -v "flag=$2" '
    wait { value = $0; wait = 0; next }
    $0 ~ "^--?" flag "$" { wait = 1 }
    $0 ~ "^--?" flag "=" { value = $0; sub(/^[^=]*=/, "", value) }
    END { print value }'
}
