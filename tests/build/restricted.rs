//! What a build can and cannot do where there are no namespaces: the level
//! `restricted`.

use std::fs;
use std::process::Command;

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::{Platform, SandboxLevel};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

async fn restricted() -> Builder {
    Builder::with(|config| config.builds.sandbox = SandboxChoice::Restricted).await
}

/// Whoever installs bubblewrap later has caches that other users have filled.
#[tokio::test(flavor = "multi_thread")]
async fn caches_are_kept_when_the_level_changes() {
    let builder = restricted().await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree = |text: &str| {
        Tree::script(&format!(
            "umask 077; d=\"$TMPDIR/metro-cache/x\"; mkdir -p \"$d\" && echo {text} >> \"$d/y\" && \
             mkdir dist && cp \"$d/y\" dist/index.html"
        ))
    };
    let one = builder.build(project, &tree("one"), Platform::Web).await;
    assert_eq!(one.text("dist/index.html"), "one\n", "{}", one.log);

    let levels = [SandboxChoice::Isolated, SandboxChoice::Restricted];
    let mut data = builder.stop_and_keep().await;
    let mut all = vec!["one"];
    for (level, text) in levels.into_iter().zip(["two", "three"]) {
        let builder = Builder::resume_at(level, data).await;
        let built = builder.build(project, &tree(text), Platform::Web).await;
        all.push(text);
        let lines = format!("{}\n", all.join("\n"));
        assert_eq!(built.text("dist/index.html"), lines, "{}", built.log);
        data = builder.stop_and_keep().await;
    }
}

/// Says on the page what was reached of the list, each with its name.
const REACH: &str = r#"
const fs = require('fs'), net = require('net'), cp = require('child_process');
const reached = [];
const attempt = (name, f) => { try { f(); reached.push(name); } catch {} };
const connect = (name, where) => new Promise((done) => {
  try {
    const socket = net.connect(where);
    socket.on('connect', () => { reached.push(name); socket.destroy(); done(); });
    socket.on('error', () => done());
  } catch { done(); }
});
const run = (command) => cp.execSync(command, { stdio: 'pipe' });
const { data, server, port, memory } = JSON.parse(fs.readFileSync('where.json', 'utf8'));
(async () => {
  attempt('database', () => fs.readFileSync(data + '/db/hivesync.redb'));
  attempt('data folder', () => fs.readdirSync(data));
  attempt('repositories', () => fs.readdirSync(data + '/repos'));
  attempt('builds', () => fs.readdirSync(data + '/tmp'));
  attempt('server environment', () => fs.readFileSync(`/proc/${server}/environ`));
  attempt('server memory', () => fs.openSync(`/proc/${server}/mem`));
  attempt('server descriptors', () => fs.readlinkSync(`/proc/${server}/fd/1`));
  attempt('first environment', () => fs.readFileSync('/proc/1/environ'));
  attempt('users', () => fs.readFileSync('/etc/shadow'));
  attempt('keys', () => fs.readdirSync('/etc/ssl/private'));
  attempt('write beside', () => fs.writeFileSync('../beside', ''));
  attempt('write data', () => fs.writeFileSync(data + '/planted', ''));
  attempt('write tmp', () => fs.writeFileSync('/tmp/hivesync-planted', ''));
  attempt('truncate', () => run(`truncate -s 0 ${data}/db/hivesync.redb`));
  attempt('close', () => fs.chmodSync(data + '/db/hivesync.redb', 0));
  attempt('open to all', () => fs.chmodSync(data + '/db/hivesync.redb', 0o666));
  attempt('open to others', () => fs.chmodSync(data + '/db/hivesync.redb', 0o644));
  attempt('close a folder', () => fs.chmodSync(data + '/repos', 0o600));
  attempt('close by a tool', () => run(`chmod 600 ${data}/repos`));
  attempt('close what is shared', () => {
    fs.chmodSync(process.execPath, 0o600);
    run('true; node -e 0');
    throw new Error('still there');
  });
  attempt('rename', () => fs.renameSync(data + '/repos', data + '/gone'));
  attempt('kernel settings', () => fs.writeFileSync('/proc/sys/kernel/core_pattern', 'x'));
  attempt('namespaces', () => run('unshare -Ur true'));
  attempt('mount', () => run('mount -t tmpfs none .'));
  attempt('shared memory', () => run('perl -e "exit(defined(shmget(0, 4096, 0600)) ? 0 : 1)"'));
  attempt('shared memory of another', () => {
    run(`perl -e 'exit(shmread(${memory}, my $byte, 0, 1) ? 0 : 1)'`);
  });
  attempt('message queue', () => run('perl -e "exit(defined(msgget(0, 0600)) ? 0 : 1)"'));
  attempt('semaphores', () => run('perl -e "exit(defined(semget(0, 1, 0600)) ? 0 : 1)"'));
  attempt('file in memory', () => {
    const call = process.arch === 'x64' ? 319 : 279;
    run(`perl -e "exit(syscall(${call}, 'a', 0) < 0)"`);
  });
  attempt('signal', () => process.kill(server, 0));
  attempt('root', () => { if (process.getuid() !== 0) throw new Error('no'); });
  attempt('capabilities', () => {
    const set = /CapEff:\s*(\w+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
    if (/^0+$/.test(set)) throw new Error('none');
  });
  attempt('descriptors', () => {
    const open = fs.readdirSync('/proc/self/fd').map((n) => fs.readlinkSync('/proc/self/fd/' + n));
    if (!open.some((path) => path.startsWith(data + '/db'))) throw new Error('none');
  });
  await connect('loopback', { host: '127.0.0.1', port });
  await connect('metadata', { host: '169.254.169.254', port: 80 });
  await connect('operator socket', { path: data + '/run/hivesync.sock' });
  await new Promise((done) => {
    try {
      const dgram = require('dgram').createSocket('udp4');
      dgram.on('error', () => done());
      dgram.bind(0, '127.0.0.1', () => { reached.push('datagrams'); dgram.close(); done(); });
    } catch { done(); }
  });
  attempt('secrets', () => {
    const ours = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'CI', 'HIVESYNC_BUILD'];
    const seen = Object.keys(process.env).filter((n) => /SECRET|TOKEN|DATA_DIR|CARGO/.test(n));
    if (seen.length === 0 || seen.every((n) => ours.includes(n))) throw new Error('none');
  });
  // What a build must be able to do.
  attempt('own files', () => {
    fs.writeFileSync('mine', 'a');
    fs.writeFileSync('runs', '#!/bin/sh\nexit 0');
    fs.chmodSync('runs', 0o755);
    run('./runs && cp runs copied && chmod +x copied && ./copied && cp -r . "$TMPDIR/all"');
    fs.mkdirSync('there');
    fs.cpSync('there', 'too', { recursive: true });
    fs.renameSync('mine', 'there/mine');
    fs.writeFileSync(process.env.TMPDIR + '/a', '');
    fs.writeFileSync(process.env.HOME + '/a', '');
    if (run('echo piped').toString() !== 'piped\n') throw new Error('no children');
  });
  attempt('own urgency', () => {
    require('os').setPriority(1);
    run('ulimit -n 100 && nice -n 1 ionice -c 3 true && taskset 1 true');
  });
  fs.mkdirSync('dist');
  fs.writeFileSync('dist/index.html', reached.join(', '));
})();
"#;

/// A segment that another program has made, and anybody may read.
struct SharedMemory {
    id: String,
}

impl SharedMemory {
    fn open_to_all() -> Self {
        let made = Command::new("ipcmk")
            .args(["-M", "4096", "-p", "0666"])
            .output();
        let said = String::from_utf8(made.expect("it runs").stdout).expect("text");
        let id = said.trim().rsplit(' ').next().expect("a number").to_owned();
        assert!(id.parse::<u32>().is_ok(), "{said}");
        Self { id }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let _ = Command::new("ipcrm").args(["-m", &self.id]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_build_reaches_its_own_files_alone() {
    let builder = restricted().await;
    let app = builder.app();
    let secret = app.data.root().join("tmp-secret");
    fs::write(&secret, "not for builds").expect("a file of the server's");
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::of(&[(
        "package.json",
        r#"{"name": "reach", "scripts": {"build": "node reach.js"}}"#,
    )]);
    tree.put("reach.js", REACH);
    let port = app.listening.get().expect("it listens").port();
    let memory = SharedMemory::open_to_all();
    let told = serde_json::json!({
        "data": app.data.root(), "server": std::process::id(), "port": port,
        "memory": memory.id,
    });
    tree.put("where.json", &told.to_string());
    let built = builder.build(project, &tree, Platform::Web).await;
    let reached = built.text("dist/index.html");
    assert_eq!(reached, "own files, own urgency", "{}", built.log);
    assert_eq!(built.preview.sandbox, Some(SandboxLevel::Restricted));
    assert!(!app.data.root().join("planted").exists());
    builder.stop().await;
}

/// More than the watch allows, and so never met by who is watched in time.
#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_bounds_a_process_that_is_quicker_than_the_watch() {
    for level in [SandboxChoice::Isolated, SandboxChoice::Restricted] {
        let builder = Builder::with(|config| {
            config.builds.sandbox = level;
            config.builds.limits.memory_bytes = 512 << 20;
        })
        .await;
        let project = builder.project(ProjectConfig::default()).await;
        let tree = Tree::script("mkdir dist && ulimit -d > dist/index.html");
        let built = builder.build(project, &tree, Platform::Web).await;
        let kilobytes = built.text("dist/index.html");
        assert_eq!(kilobytes.trim(), (2_u64 << 20).to_string());
        builder.stop().await;
    }
}

/// Here nothing can be mounted read-only: what a build is given must not be
/// shared with others, or not be its to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_build_cannot_poison_the_dependencies_it_shares() {
    let builder = restricted().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::script_with(
        "ms",
        "2.1.3",
        r#"
mkdir -p dist
target=node_modules/ms/index.js
chmod u+w $target 2>/dev/null
echo "throw new Error('poison');" >> $target
ln $target linked 2>/dev/null && echo poison >> linked
touch node_modules/.cache/kept node_modules/.vite/scratch || exit 1
git diff --no-index /dev/null $target | grep -c poison > dist/index.html
true
"#,
    );
    for _ in 0..2 {
        builder.build(project, &tree, Platform::Web).await;
        let sets = crate::builder::dependency_sets(&builder);
        let kept = fs::read_to_string(sets[0].join("0/ms/index.js")).expect("the cached package");
        assert!(!kept.contains("poison"), "{kept}");
        tree.put("again", "a different commit");
    }
    builder.stop().await;
}
