// Builds real projects of different shape through the HTTP API, each cold (on
// a data folder that has never seen it) and again after one edit, and writes
// the list with its times to docs/compatibility.md.
//
//   node tests/compatibility/run.mjs [--only NAME,...] [--write]
//
// Everything it makes lies in .compatibility; the templates come from the npm
// registry and are not a part of this repository.
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { projects } from './projects.mjs';

const repository = path.resolve(import.meta.dirname, '../..');
const work = path.join(repository, '.compatibility');
const hivesync = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, 'target'), 'debug/hivesync');

const options = process.argv.slice(2);
const only = options.includes('--only') ? options[options.indexOf('--only') + 1].split(',') : null;

function run(program, args, cwd, env = {}) {
  return execFileSync(program, args, {
    cwd,
    env: { ...process.env, npm_config_update_notifier: 'false', ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 << 20,
  });
}

// What builds need to reach the registry from here: they see none of our
// environment.
function npmrc() {
  const lines = [];
  for (const key of ['registry', 'cafile', 'proxy', 'https-proxy', 'noproxy']) {
    let value = run('npm', ['config', 'get', key], work).trim();
    if (key === 'cafile' && (value === '' || value === 'null')) value = process.env.NODE_EXTRA_CA_CERTS ?? '';
    if (value !== '' && value !== 'null' && value !== 'undefined') lines.push(`${key}=${value}\n`);
  }
  const file = path.join(work, 'npmrc');
  writeFileSync(file, lines.join(''));
  return file;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

class Server {
  static async start() {
    const data = path.join(work, 'data');
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data, { recursive: true, mode: 0o700 });
    const port = await freePort();
    const env = {
      PATH: process.env.PATH,
      DATA_DIR: data,
      PORT: String(port),
      BIND: '127.0.0.1',
      BUILD_NPMRC: npmrc(),
      // The times are for people to read; a loaded machine must not end a build.
      PREVIEW_MAX_TIMEOUT_MS: '120000',
      PREVIEW_COLD_TIMEOUT_MS: '900000',
      PREVIEW_INSTALL_TIMEOUT_MS: '900000',
    };
    const password = 'compatible-with-everything-1';
    const file = path.join(work, 'password');
    writeFileSync(file, password, { mode: 0o600 });
    const log = path.join(work, 'server.log');
    const child = spawn('sh', ['-c', 'exec "$0" serve >"$1" 2>&1', hivesync, log], { env });
    const server = new Server(`http://127.0.0.1:${port}`, child);
    await server.ready(log);
    run(hivesync, ['admin', 'create-user', '--username', 'ada', '--email', 'ada@example.com', '--role', 'admin',
      '--password-file', file], work, env);
    const login = await server.call('POST', '/auth/login', { username_or_email: 'ada', password });
    server.token = login.token;
    return server;
  }

  constructor(address, child) {
    this.address = address;
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
  }

  async ready(log) {
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline && this.child.exitCode === null) {
      const answer = await fetch(`${this.address}/readyz`).catch(() => null);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the server did not start:\n${readFileSync(log, 'utf8')}`);
  }

  async call(method, route, body, type = 'application/json') {
    const answer = await fetch(`${this.address}/api/v1${route}`, {
      method,
      headers: { ...(this.token && { authorization: `Bearer ${this.token}` }), ...(body && { 'content-type': type }) },
      body: type === 'application/json' && body ? JSON.stringify(body) : body,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${text}`);
    return text.startsWith('{') ? JSON.parse(text) : text;
  }

  // Asks for a preview and follows its events to the end: seconds and job.
  async preview(project, platform) {
    const started = performance.now();
    const { token } = await this.call('POST', '/preview/token', { project_id: project, git_ref: 'latest', platform });
    const { job_id: id } = await this.call('POST', '/preview/build', { token });
    const events = await fetch(`${this.address}/api/v1/preview/events/${id}`, {
      headers: { authorization: `Bearer ${this.token}` },
    });
    // The stream ends with the preview.
    for await (const _ of events.body);
    const seconds = (performance.now() - started) / 1000;
    const status = await this.call('GET', `/preview/status/${id}`);
    if (status.status !== 'success') {
      const log = await this.call('GET', `/preview/logs/${id}`);
      throw new Error(`${status.error?.code}: ${status.error?.message}\n${log.split('\n').slice(-30).join('\n')}`);
    }
    return { seconds, status };
  }

  async bundle(id) {
    const answer = await fetch(`${this.address}/api/v1/preview/download/${id}`, {
      headers: { authorization: `Bearer ${this.token}` },
    });
    const file = path.join(work, 'bundle.zip');
    writeFileSync(file, Buffer.from(await answer.arrayBuffer()));
    return file;
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}

function archive(folder) {
  const file = path.join(work, 'upload.tar.gz');
  run('tar', ['czf', file, '--exclude=node_modules', '--exclude=.git', '-C', folder, '.']);
  return readFileSync(file);
}

// The mark that the edit leaves must be in the bundle: in the text of any file.
function holds(zip, mark) {
  return run('sh', ['-c', 'unzip -p "$0" | grep -c -a -F -- "$1" || true', zip, mark]).trim() !== '0';
}

async function tryProject(server, project) {
  const folder = path.join(work, 'projects', project.name);
  if (!existsSync(path.join(folder, '.made'))) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    project.make(folder, { run, fetchTemplate });
    writeFileSync(path.join(folder, '.made'), '');
  }
  const made = await server.call('POST', '/projects', { name: project.name, config: project.config });
  const results = [];
  const manager = ['package-lock.json', 'pnpm-lock.yaml'].find((file) => existsSync(path.join(folder, file)));
  for (const platform of project.platforms) {
    const row = { project, platform, manager: { 'package-lock.json': 'npm', 'pnpm-lock.yaml': 'pnpm' }[manager] ?? 'none' };
    try {
      for (const state of ['cold', 'warm', 'again']) {
        const mark = `mark-${platform}-${state === 'again' ? 'warm' : state}`;
        project.edit(folder, mark);
        await server.call('PUT', `/projects/${made.id}/source/archive`, archive(folder), 'application/gzip');
        const { seconds, status } = await server.preview(made.id, platform);
        if (!holds(await server.bundle(status.job_id), mark)) throw new Error(`the ${state} bundle lacks the edit`);
        row[state] = { seconds, size: status.size, warm: status.warm, sandbox: status.sandbox };
      }
      if (project.kept && platform !== 'web') row.kept = await keptBundler(server, project, made.id, folder, platform);
    } catch (error) {
      row.error = error.message;
    }
    report(row);
    results.push(row);
  }
  return results;
}

// After a build the server starts a bundler for the project in the background:
// edits and asks until a preview comes from it.
async function keptBundler(server, project, id, folder, platform) {
  const deadline = Date.now() + 120_000;
  for (let edit = 1; Date.now() < deadline; edit += 1) {
    const mark = `mark-${platform}-kept-${edit}`;
    project.edit(folder, mark);
    await server.call('PUT', `/projects/${id}/source/archive`, archive(folder), 'application/gzip');
    const { seconds, status } = await server.preview(id, platform);
    if (!holds(await server.bundle(status.job_id), mark)) throw new Error('the bundle of the kept bundler lacks the edit');
    const log = await server.call('GET', `/preview/logs/${status.job_id}`);
    if (log.includes('the warm bundler has them')) return { seconds };
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
  throw new Error('no preview came from a kept bundler');
}

function fetchTemplate(spec, folder) {
  const stem = run('npm', ['pack', '--silent', spec, '--pack-destination', work], work).trim().split('\n').pop();
  mkdirSync(folder, { recursive: true });
  run('tar', ['xzf', path.join(work, stem), '--strip-components=1', '-C', folder]);
  rmSync(path.join(work, stem));
}

const time = (state) => (state ? `${state.seconds.toFixed(2)} s` : '–');

function report(row) {
  const label = `${row.project.name} (${row.platform})`.padEnd(36);
  console.log(`${label} cold ${time(row.cold)}  edited ${time(row.warm)}  kept ${time(row.kept)}  again ${time(row.again)}  ${row.error ?? ''}`);
}

function page(rows) {
  const lines = rows.map((row) => {
    const size = row.again ? `${(row.again.size / 1024).toFixed(0)} KiB` : '–';
    const outcome = row.error ? `fails: ${row.error.split('\n')[0]}` : 'builds';
    return `| ${row.project.title} | ${row.project.source} | ${row.manager} | ${row.platform} | ${outcome} | ${time(row.cold)} | ` +
      `${time(row.warm)} | ${time(row.kept)} | ${time(row.again)} | ${size} |`;
  });
  const intro = readFileSync(path.join(import.meta.dirname, 'page.md'), 'utf8');
  const machine = `${cpus().length} cores, node ${process.version}, npm ${run('npm', ['--version'], work).trim()}, ` +
    `${run('git', ['--version'], work).trim()}, ${run(hivesync, ['--version'], work).trim()} (debug build)`;
  return intro
    .replace('{{machine}}', machine)
    .replace('{{date}}', new Date().toISOString().slice(0, 10))
    .replace('{{sandbox}}', rows.find((row) => row.cold)?.cold.sandbox ?? 'none')
    .replace('{{rows}}', lines.join('\n'));
}

mkdirSync(work, { recursive: true });
const chosen = projects.filter((project) => !only || only.includes(project.name));
const server = await Server.start();
let rows = [];
try {
  for (const project of chosen) rows = rows.concat(await tryProject(server, project));
} finally {
  await server.stop();
}
if (options.includes('--write')) writeFileSync(path.join(repository, 'docs/compatibility.md'), page(rows));
process.exitCode = rows.some((row) => row.error) ? 1 : 0;
