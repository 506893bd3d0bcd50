#!/usr/bin/env bash
# The main job on the embedded default: a server on a data folder of its own,
# an account, a project, and previews of examples/hello-expo for two platforms.
# Everything it makes lies in .demo; delete that folder to start from nothing. Of
# examples/hello-expo it builds a copy: what you edit there stays, and is shown.
set -euo pipefail
cd "$(dirname "$0")/.."

demo=$PWD/.demo
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
hivesync=$target/debug/hivesync
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
# In a session of its own: Ctrl-C is for this script, which ends it in order.
setsid env PORT="$port" BIND=127.0.0.1 BUILD_NPMRC="$demo/npmrc" PREVIEW_MAX_TIMEOUT_MS=60000 \
  "$hivesync" serve >"$demo/server.log" 2>&1 &
pid=$!
stop() { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; }
trap stop EXIT
trap 'echo; exit 130' INT
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

# Copies the example as it is now, and edits a line of the copy.
edit() {
  rm -rf "$demo/hello-expo"
  cp -r examples/hello-expo "$demo/hello-expo"
  rm -rf "$demo/hello-expo/node_modules"
  stamp="$1 $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  # Behind the sentence that is there, however it is written.
  printf "\nexport const edited = '%s';\n" "$stamp" >>"$demo/hello-expo/src/greeting.js"
}

say "4. A project: a copy of examples/hello-expo, with a line added"
edit "demo of"
tail -n 1 "$demo/hello-expo/src/greeting.js"

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

say "7. One more edit, now that a bundler is kept"
# It comes up beside the server's other work, once the first builds have ended.
kept() { "$hivesync" health --json 2>/dev/null | node -p 'JSON.parse(fs.readFileSync(0)).warm_bundlers' 2>/dev/null; }
bundlers=0
for _ in {1..240}; do
  bundlers=$(kept) || bundlers=0
  ((bundlers >= 2)) && break
  sleep 0.5
done
if ((bundlers > 0)); then
  edit "edited again"
  answer=$("$hivesync" preview "$demo/hello-expo" --project hello-expo --platform ios,android --json)
  node -e '
    for (const { platform, seconds, warm } of JSON.parse(fs.readFileSync(0)).previews)
      console.log(`   ${platform}: ${seconds.toFixed(1)} s from request to bundle${warm ? ", warm" : ""}`);
  ' <<<"$answer"
else
  echo "   No bundler came up on this machine; $demo/server.log may say why."
fi

say "8. Done"
if [[ -f $demo/first-seconds ]]; then
  first=$(cat "$demo/first-seconds")
  echo "   The first two previews took $seconds s this time, and $first s from nothing: with the kept"
  echo "   dependencies and transform cache that is $(node -p "($first / $seconds).toFixed(1)") times faster."
else
  echo "$seconds" >"$demo/first-seconds"
  echo "   The first two previews took $seconds s from nothing. Run make demo again to see what a"
  echo "   server that starts anew saves by its kept dependencies and transform cache."
fi
cat <<TEXT

   Go on from here, in another terminal:

     # the account is demo, its password lies in $demo/password
     $hivesync login --server $server --username demo --password-file $demo/password

     # edit the sentence in $PWD/examples/hello-expo/src/greeting.js, then
     $hivesync preview $PWD/examples/hello-expo --platform ios

     # or preview the Expo, React Native or web project in whose folder you are
     $hivesync preview

   $PWD/README.md has the first five minutes, and what everything is.
TEXT
if [[ -t 0 && -t 1 ]]; then
  echo "   The server goes on at $server until you press Ctrl-C."
  trap 'echo; echo "   The server stops."; exit 0' INT
  wait "$pid"
else
  echo "   No terminal is attached, so the server stops now."
fi
