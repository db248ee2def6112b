/** A store of a few images, made by plimsoll itself: the stage for the examples and schemas of the documentation. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMAND, plimsoll, ROOT } from './command.ts';

export interface SmallStore extends Disposable {
  /** Where the store's directory `vm` lies, and `bin` with the command. */
  readonly path: string;
  readonly bin: string;
}

/** Below `vm`, in this order: name, then the rest of `plimsoll create`. */
const IMAGES: readonly (readonly string[])[] = [
  ['base.qcow2', '-f', 'qcow2', '20G'],
  ['web.qcow2', '-f', 'qcow2', '40G'],
  ['mail.qcow2', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2'],
  ['db.raw', '-f', 'raw', '10G'],
];

/** A new directory with `vm/` = base.qcow2, web.qcow2, mail.qcow2 (an overlay on base.qcow2) and db.raw. */
export async function smallStore(): Promise<SmallStore> {
  const path = mkdtempSync(join(realpathSync(tmpdir()), 'plimsoll-docs-'));
  const bin = join(path, '.bin');
  mkdirSync(join(path, 'vm'));
  mkdirSync(bin);
  writeFileSync(join(bin, 'plimsoll'), `#!/bin/sh\nexec '${process.execPath}' '${COMMAND}' "$@"\n`, { mode: 0o755 });
  // The library under its own name, for examples in TypeScript.
  mkdirSync(join(path, 'node_modules'));
  symlinkSync(ROOT, join(path, 'node_modules', 'plimsoll'));
  writeFileSync(join(path, 'package.json'), '{"type":"module"}');
  for (const [name, ...rest] of IMAGES) {
    const operands = rest.filter((word, index) => !word.startsWith('-') && !rest[index - 1]?.startsWith('-'));
    const options = rest.slice(0, rest.length - operands.length);
    const { code, stderr } = await plimsoll(['create', '--quiet', ...options, join('vm', name ?? ''), ...operands], { cwd: path });
    if (code !== 0) throw new Error(`Cannot make ${name ?? ''} of the documentation's store: ${stderr}`);
  }
  return { path, bin, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
