#!/usr/bin/env bash
# The main job on the embedded default: a server on a data folder of its own,
# an account, a project, and previews of examples/hello-expo for two platforms.
# Everything it makes lies in .demo; delete that folder to start from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

demo=$PWD/.demo
hivesync=${CARGO_TARGET_DIR:-target}/debug/hivesync
mkdir -p "$demo"
chmod 700 "$demo"

say() {
  if [[ -t 1 && -z ${NO_COLOR:-} ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

free_port() {
  local port
  for port in {4000..4099}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port between 4000 and 4099" >&2
  return 1
}

# Builds see none of our environment: what npm needs to reach its registry
# from here (a mirror, a proxy, a company's CA) goes in a file of its own.
npmrc() {
  local key value
  for key in registry cafile proxy https-proxy noproxy; do
    value=$(npm config get "$key" 2>/dev/null || true)
    [[ $key == cafile && ($value == null || -z $value) ]] && value=${NODE_EXTRA_CA_CERTS:-}
    case $value in '' | null | undefined) ;; *) echo "$key=$value" ;; esac
  done
}

say "1. Building HiveSync"
cargo build --quiet --bin hivesync

say "2. Starting it on $demo/data"
port=$(free_port)
server=http://127.0.0.1:$port
npmrc >"$demo/npmrc"
export XDG_CONFIG_HOME=$demo/config HIVESYNC_SERVER=$server
# DATA_DIR stands before each command that needs it: the client needs none.
export DATA_DIR=$demo/data
env PORT="$port" BIND=127.0.0.1 BUILD_NPMRC="$demo/npmrc" PREVIEW_MAX_TIMEOUT_MS=60000 \
  "$hivesync" serve >"$demo/server.log" 2>&1 &
pid=$!
stop() { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; }
trap stop EXIT
for _ in {1..100}; do
  "$hivesync" health --json >/dev/null 2>&1 && break
  kill -0 "$pid" 2>/dev/null || { cat "$demo/server.log" >&2; exit 1; }
  sleep 0.1
done
echo "   $server (log: $demo/server.log)"

say "3. An account"
if [[ ! -f $demo/password ]]; then
  (umask 077 && node -p 'require("crypto").randomBytes(18).toString("base64url")' >"$demo/password")
  "$hivesync" admin create-user --username demo --email demo@example.com --role admin \
    --password-file "$demo/password"
fi
"$hivesync" login --username demo --password-file "$demo/password"

say "4. A project: a copy of examples/hello-expo, with one line edited"
rm -rf "$demo/hello-expo"
cp -r examples/hello-expo "$demo/hello-expo"
rm -rf "$demo/hello-expo/node_modules"
stamp="demo of $(date -u +%Y-%m-%dT%H:%M:%SZ)"
sed -i "s/^export const greeting = .*/export const greeting = 'Hello from the $stamp';/" \
  "$demo/hello-expo/src/greeting.js"
grep "$stamp" "$demo/hello-expo/src/greeting.js"

say "5. Previews for iOS and Android"
rm -rf "$demo/bundles"
started=$(date +%s.%N)
"$hivesync" preview "$demo/hello-expo" --project hello-expo --platform ios,android \
  --output "$demo/bundles"
seconds=$(node -p "($(date +%s.%N) - $started).toFixed(1)")

say "6. What is in the bundles"
for zip in "$demo"/bundles/*.zip; do
  listing=$(unzip -Z1 "$zip")
  for wanted in main.jsbundle metadata.json build.log; do
    grep -qx "$wanted" <<<"$listing" || { echo "$zip has no $wanted" >&2; exit 1; }
  done
  grep -q '^assets/' <<<"$listing" || { echo "$zip has no assets" >&2; exit 1; }
  unzip -p "$zip" main.jsbundle >"$demo/main.jsbundle"
  grep -q "$stamp" "$demo/main.jsbundle" || {
    echo "$zip was not built from the edited source" >&2
    exit 1
  }
  echo "   ${zip##*/}: $(wc -l <<<"$listing") files, with the line that was edited"
done

say "7. Done"
if [[ -f $demo/first-seconds ]]; then
  first=$(cat "$demo/first-seconds")
  echo "   This time $seconds s, the first time $first s: with the kept dependencies and transform"
  echo "   cache that is $(node -p "($first / $seconds).toFixed(1)") times faster."
else
  echo "$seconds" >"$demo/first-seconds"
  echo "   Both previews took $seconds s from nothing. Run make demo again to see what the caches save."
fi
cat <<TEXT

   Go on from here:
     $hivesync serve                        a server with a data folder of its own
     $hivesync preview YOUR_APP             from the folder of any Expo, React Native or web project
     README.md                              the first five minutes, and what everything is
TEXT
if [[ -t 0 && -t 1 ]]; then
  echo "   The server goes on at $server until you press Ctrl-C."
  wait "$pid"
else
  echo "   No terminal is attached, so the server stops now."
fi
