// Projects that a process which is kept cannot build as a new one does. They are
// built cold, and their log says why.
'use strict';

const { existsSync, readdirSync } = require('node:fs');
const path = require('node:path');

/** Thrown for such a project. */
exports.Unsuited = class Unsuited extends Error {};

/**
 * Tools that make styles of what they find in all sources of the project: a
 * change of any file can change what becomes of another, and they remember what
 * they have found before.
 */
const STYLISTS = ['tailwindcss', 'nativewind', 'uniwind', 'react-native-css', 'unocss'];

/** For every kind of project. */
exports.any = (root) => {
  const found = STYLISTS.find((name) => installed(root, name));
  if (found) {
    throw new exports.Unsuited(`${found} makes styles of all sources`);
  }
};

/** For Expo: `exp` is the app's config. */
exports.expo = (root, platform, exp) => {
  exports.any(root);
  const { reactServerFunctions, reactServerComponentRoutes } = exp.experiments ?? {};
  if (reactServerFunctions || reactServerComponentRoutes) {
    throw new exports.Unsuited('React Server Components run in the bundler');
  }
  if (platform !== 'web') {
    return;
  }
  // The pages are rendered by the project's code, in the bundler's process:
  // what it leaves there would meet the next build.
  const output = exp.web?.output;
  if (output === 'static' || output === 'server') {
    throw new exports.Unsuited(`with \`web.output\`: "${output}" the app runs in the bundler`);
  }
  if (readdirSync(root).some((name) => name.startsWith('postcss.config.'))) {
    throw new exports.Unsuited('PostCSS may make styles of all sources');
  }
};

/** Whether node would find the package from there. */
function installed(from, name) {
  const above = path.dirname(from);
  const there = existsSync(path.join(from, 'node_modules', name));
  return there || (above !== from && installed(above, name));
}
