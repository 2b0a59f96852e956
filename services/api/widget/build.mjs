// Builds dist/ from src/: `npm run build`; `npm run check` says whether dist/ is what src/ gives.
// esbuild bundles; terser makes it 3 % smaller than esbuild's own minifier does.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';
import { minify } from 'terser';

const here = dirname(fileURLToPath(import.meta.url));
const target = 'es2022';

const style = async (name) => {
  const source = await readFile(join(here, `src/w/${name}.css`));
  return (await transform(source, { loader: 'css', minify: true, target, charset: 'utf8' })).code.trim();
};
const smaller = async (code, module) => {
  const options = { module, toplevel: true, ecma: 2022, compress: { passes: 4, unsafe_arrows: true } };
  return (await minify(code, options)).code + '\n';
};
/** A script of its own. */
const script = async (name) => {
  const entryPoints = [join(here, `src/${name}.js`)];
  const { outputFiles } = await build({ entryPoints, bundle: true, format: 'iife', target, write: false });
  return smaller(outputFiles[0].text, false);
};
/** A module, in which CSS stands for the style sheet of its name. */
const module = async (name) => {
  const define = { CSS: JSON.stringify(await style(name)) };
  const source = await readFile(join(here, `src/w/${name}.js`));
  return smaller((await transform(source, { define, target, charset: 'utf8' })).code, true);
};
const theme = async (name) => `export default${JSON.stringify(await style(name))}\n`;

const files = new Map();
for (const name of ['t', 'widget']) files.set(`${name}.js`, await script(name));
for (const name of ['counter', 'views', 'rating', 'odometer']) files.set(`w/${name}.js`, await module(name));
for (const name of ['classic', 'minimal']) files.set(`w/${name}.js`, await theme(name));

const dist = join(here, 'dist');
if (process.argv.includes('--check')) {
  const there = (await readdir(dist, { recursive: true })).filter((name) => name.endsWith('.js'));
  const names = new Set([...there, ...files.keys()]);
  const texts = new Map(await Promise.all(there.map(async (name) => [name, await readFile(join(dist, name), 'utf8')])));
  const stale = [...names].filter((name) => texts.get(name) !== files.get(name));
  if (stale.length) {
    console.error(`${stale.join(', ')}: not what src/ gives; run \`npm run build\` and commit dist/.`);
    process.exit(1);
  }
} else {
  await rm(dist, { recursive: true, force: true });
  for (const [name, text] of files) {
    await mkdir(dirname(join(dist, name)), { recursive: true });
    await writeFile(join(dist, name), text);
  }
}
