// The projects: how each is made, what it is built for, and an edit that can
// be found in its bundle.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const write = (folder, files) => {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, typeof text === 'string' ? text : `${JSON.stringify(text, null, 2)}\n`);
  }
};

const change = (folder, name, edit) => {
  const file = path.join(folder, name);
  writeFileSync(file, edit(readFileSync(file, 'utf8')));
};

// npm's lockfile, or pnpm's where the registry lacks packages for other
// machines that npm insists on having in it.
const lock = (folder, run) => {
  run('npm', ['install', '--package-lock-only', '--no-audit', '--no-fund', '--ignore-scripts'], folder);
  try {
    run('npm', ['ci', '--dry-run', '--no-audit', '--no-fund', '--ignore-scripts'], folder);
  } catch {
    rmSync(path.join(folder, 'package-lock.json'));
    run('npx', ['--yes', 'pnpm@10.34.9', 'install', '--lockfile-only', '--ignore-scripts'], folder);
  }
};

const undot = (folder, name) => {
  for (const prefix of ['', '_']) {
    const plain = path.join(folder, `${prefix}${name}`);
    if (existsSync(plain)) renameSync(plain, path.join(folder, `.${name}`));
  }
};

// Appends a line to a JavaScript module that no bundler can leave out.
const marked = (name) => (folder, mark) =>
  change(folder, name, (text) => `${text.replace(/\nglobalThis\.mark = .*;\n$/, '')}\nglobalThis.mark = '${mark}';\n`);

const expo = (name, title, spec, platforms, entry, more = () => {}) => ({
  name,
  title,
  source: `\`${spec}\``,
  platforms,
  kept: true,
  make(folder, { run, fetchTemplate }) {
    fetchTemplate(spec, folder);
    undot(folder, 'gitignore');
    change(folder, 'package.json', (text) => `${JSON.stringify({ ...JSON.parse(text), name, private: true }, null, 2)}\n`);
    more(folder);
    lock(folder, run);
  },
  edit: marked(entry),
});

const vite = (framework, entry) => ({
  name: `vite-${framework}`,
  title: `Vite, ${framework[0].toUpperCase()}${framework.slice(1)}`,
  source: `\`create-vite@7\`, template \`${framework}\``,
  platforms: ['web'],
  make(folder, { run, fetchTemplate }) {
    fetchTemplate('create-vite@7', `${folder}.create`);
    cpSync(path.join(`${folder}.create`, `template-${framework}`), folder, { recursive: true });
    rmSync(`${folder}.create`, { recursive: true });
    undot(folder, 'gitignore');
    lock(folder, run);
  },
  edit: marked(entry),
});

export const projects = [
  expo('expo-blank', 'Expo, blank', 'expo-template-blank@56.0.26', ['ios', 'android'], 'App.js'),
  expo('expo-typescript', 'Expo, TypeScript', 'expo-template-blank-typescript@56.0.35', ['ios', 'android'], 'App.tsx'),
  expo('expo-tabs', 'Expo, tabs (expo-router)', 'expo-template-tabs@55.1.15', ['ios', 'web'], 'app/(tabs)/index.tsx'),
  expo('expo-default', 'Expo, default (expo-router, native tabs)', 'expo-template-default@56.0.36', ['android', 'web'], 'src/app/index.tsx'),
  {
    name: 'react-native',
    title: 'React Native, community template',
    source: '`@react-native-community/template@0.84.1`',
    platforms: ['ios', 'android'],
    kept: true,
    make(folder, { run, fetchTemplate }) {
      fetchTemplate('@react-native-community/template@0.84.1', `${folder}.package`);
      cpSync(path.join(`${folder}.package`, 'template'), folder, { recursive: true });
      rmSync(`${folder}.package`, { recursive: true });
      for (const name of ['gitignore', 'eslintrc.js', 'prettierrc.js', 'watchmanconfig']) undot(folder, name);
      lock(folder, run);
    },
    edit: marked('App.tsx'),
  },
  vite('react', 'src/main.jsx'),
  vite('vue', 'src/main.js'),
  vite('svelte', 'src/main.js'),
  {
    name: 'next-export',
    title: 'Next.js, static export',
    source: '`create-next-app@15`, `output: "export"`',
    platforms: ['web'],
    config: { output_dir: 'out' },
    make(folder, { run }) {
      run('npx', ['--yes', 'create-next-app@15', folder, '--js', '--app', '--no-eslint', '--no-tailwind', '--no-src-dir',
        '--no-turbopack', '--import-alias', '@/*', '--skip-install', '--disable-git', '--use-npm', '--yes'], path.dirname(folder),
      { NEXT_TELEMETRY_DISABLED: '1' });
      write(folder, { 'next.config.mjs': "export default { output: 'export', images: { unoptimized: true } };\n" });
      // Its own pages ask Google for fonts, and a build has no network.
      write(folder, {
        'app/layout.js': "import './globals.css';\n\nexport default function Layout({ children }) {\n  return (\n    <html lang=\"en\">\n      <body>{children}</body>\n    </html>\n  );\n}\n",
      });
      lock(folder, run);
    },
    edit: (folder, mark) =>
      write(folder, { 'app/about/page.js': `export default function About() {\n  return <p>${mark}</p>;\n}\n` }),
  },
  {
    name: 'astro',
    title: 'Astro, static',
    source: '`astro@5`, two pages and a component',
    platforms: ['web'],
    make(folder, { run }) {
      write(folder, {
        'package.json': { name: 'astro-site', private: true, type: 'module', scripts: { build: 'astro build' }, dependencies: { astro: '^5.16.0' } },
        'astro.config.mjs': "import { defineConfig } from 'astro/config';\n\nexport default defineConfig({});\n",
        'src/components/Card.astro': '---\nconst { title } = Astro.props;\n---\n<article><h2>{title}</h2><slot /></article>\n<style>article { padding: 1rem; }</style>\n',
        'src/pages/about.astro': '<html lang="en"><body><p>About</p></body></html>\n',
      });
      lock(folder, run);
    },
    edit: (folder, mark) =>
      write(folder, {
        'src/pages/index.astro': `---\nimport Card from '../components/Card.astro';\n---\n<html lang="en"><body><Card title="Meadow">${mark}</Card></body></html>\n`,
      }),
  },
  {
    name: 'workspace',
    title: 'npm workspace: an Expo app and a shared package',
    source: '`expo-template-blank@56.0.26` in `apps/mobile`',
    platforms: ['ios'],
    kept: true,
    config: { root: 'apps/mobile' },
    make(folder, { run, fetchTemplate }) {
      const app = path.join(folder, 'apps/mobile');
      fetchTemplate('expo-template-blank@56.0.26', app);
      change(app, 'package.json', (text) => {
        const manifest = JSON.parse(text);
        return `${JSON.stringify({ ...manifest, name: 'mobile', private: true, dependencies: { ...manifest.dependencies, '@meadow/greeting': '1.0.0' } }, null, 2)}\n`;
      });
      change(app, 'App.js', (text) => `import { greeting } from '@meadow/greeting';\n${text.replace('Open up App.js to start working on your app!', '{greeting}')}`);
      write(folder, {
        'package.json': { name: 'meadow', private: true, workspaces: ['apps/*', 'packages/*'] },
        'packages/greeting/package.json': { name: '@meadow/greeting', version: '1.0.0', main: 'index.js' },
        'packages/greeting/index.js': "export const greeting = 'unmarked';\n",
      });
      lock(folder, run);
    },
    edit: (folder, mark) => write(folder, { 'packages/greeting/index.js': `export const greeting = '${mark}';\n` }),
  },
  {
    name: 'static',
    title: 'Static site',
    source: 'an `index.html`, a style and a script',
    platforms: ['web'],
    make(folder) {
      write(folder, { 'style.css': 'body { margin: 2rem; }\n', 'script.js': "document.title += '!';\n" });
    },
    edit: (folder, mark) =>
      write(folder, { 'index.html': `<!doctype html><title>Meadow</title><link rel="stylesheet" href="style.css"><p>${mark}</p><script src="script.js"></script>\n` }),
  },
];
