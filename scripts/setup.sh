#!/usr/bin/env bash
# What `make setup` runs, one step a call: tools | environment DIR REQUIREMENTS | project | jars.
# Everything lands inside the checkout (.venv, .tools, .cache). uv is told what pip is configured with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=.tools/uv/bin/uv

fail() {
  echo "setup: $*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3 python; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "Python 3.11 was not found. Install it (package python3.11 with its venv module)," \
    "or name an interpreter: make setup PYTHON=/path/to/python3.11"
}

check_tools() {
  local python java
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python lacks its venv module. Install it (on Debian and Ubuntu: package python3.11-venv)."
  command -v git >/dev/null 2>&1 || fail "git was not found. Install it."
  command -v java >/dev/null 2>&1 ||
    fail "Java was not found. Spark needs Java 17: install it (a package named like openjdk-17-jre-headless)."
  command -v keytool >/dev/null 2>&1 || fail "keytool was not found. It comes with Java 17: put Java's bin on PATH."
  java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "$java" = 17 ] || fail "Java 17 is needed, \`java -version\` says ${java:-nothing readable}. Put Java 17 first on PATH."
}

# uv reads no pip configuration: hand it over, unless uv has its own.
pip_setting() { # NAME -> the value pip would use ('' if none); the environment comes first in pip's list
  .tools/uv/bin/python -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | head -n 1
}

adopt() { # UV_VARIABLE pip-setting [separator]
  local value
  [ -z "${!1:-}" ] || return 0
  value=$(pip_setting "$2")
  [ -z "$value" ] || export "$1=${value// /${3:- }}"
}

adopt_pip_configuration() {
  adopt UV_DEFAULT_INDEX index-url
  adopt UV_INDEX extra-index-url
  adopt UV_FIND_LINKS find-links ,
  adopt UV_NO_INDEX no-index
  adopt UV_INSECURE_HOST trusted-host
  adopt SSL_CERT_FILE cert
  adopt ALL_PROXY proxy
  adopt UV_HTTP_TIMEOUT default-timeout
  adopt UV_HTTP_TIMEOUT timeout
}

tools() {
  check_tools
  local python
  python=$(find_python)
  [ -x .tools/uv/bin/python ] || "$python" -m venv .tools/uv
  .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/uv.txt ||
    fail "pip could not install uv. Read its message above: most often the network or pip's configuration."
}

environment() { # DIR REQUIREMENTS
  adopt_pip_configuration
  export UV_PYTHON_DOWNLOADS=never
  [ -x "$1/bin/python" ] || "$uv" venv --quiet --python "$(find_python)" "$1"
  echo "setup: $1 from $2"
  "$uv" pip install --quiet --python "$1/bin/python" -r "$2" ||
    fail "$1 could not be installed from $2. Read uv's message above, then run make setup again."
}

project() {
  # Without dependencies and build isolation: nothing is fetched.
  "$uv" pip install --quiet --offline --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
    fail "the project could not be installed into .venv. Read uv's message above."
}

# The jars are large: what one checkout resolved, the next one takes from the user's cache.
jars() {
  local shared record=.cache/jars/resolved.json
  shared="${XDG_CACHE_HOME:-$HOME/.cache}/lakehouse/jars"
  if [ ! -f "$record" ] && [ -f "$shared/resolved.json" ]; then
    take "$shared" .cache/jars
  fi
  .venv/bin/python -m twin.jars ||
    fail "the Spark jars could not be resolved. Read the message above, then run make setup again."
  cmp -s "$record" "$shared/resolved.json" || take .cache/jars "$shared"
}

take() { # FROM TO: a folder of jars, whole or not at all, without using the disk twice where links are possible
  rm -rf "$2.part.$$"
  mkdir -p "$2.part.$$"
  cp -l "$1"/*.jar "$1/resolved.json" "$2.part.$$/" 2>/dev/null || cp "$1"/*.jar "$1/resolved.json" "$2.part.$$/"
  rm -rf "$2"
  mv "$2.part.$$" "$2"
}

"$@"
