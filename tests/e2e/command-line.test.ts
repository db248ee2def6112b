/** What every command has in common: help, version, usage errors, signals, pipes. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMAND, plimsoll, ROOT, run, shellWord } from '../support/command.ts';

const VERBS = ['scan', 'info', 'who', 'measure', 'create', 'demo', 'completion', 'man'];
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-e2e-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('plimsoll --version', () => {
  it('is that of the package, executed as a program', async () => {
    expect(await run(COMMAND, ['--version'])).toEqual({ code: 0, stdout: `plimsoll ${version}\n`, stderr: '' });
    expect((await run(COMMAND, ['-V'])).stdout).toBe(`plimsoll ${version}\n`);
  });
});

describe('help', () => {
  it.each(VERBS)('of %s explains the command, within 80 columns', async (verb) => {
    const { code, stdout, stderr } = await plimsoll([verb, '--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`^Usage: plimsoll ${verb}`));
    expect(stdout).toContain('Examples:');
    expect(stdout).toMatch(/Exit codes:\n {4}0 {2}/);
    for (const line of stdout.split('\n')) expect(stringWidth(line)).toBeLessThanOrEqual(80);
    expect((await plimsoll(['help', verb])).stdout).toBe(stdout);
  });

  it.each(VERBS)('of %s fits a narrow terminal, with examples that can still be pasted', async (verb) => {
    const { stdout } = await plimsoll([verb, '--help'], { env: { COLUMNS: '60' } });
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(60);
    // Continued lines are still one command line.
    expect(stdout.replaceAll(/ \\\n +/g, ' ')).toMatch(/^ {2}plimsoll /m);
  });

  it('of scan defines the figures it prints and the codes of its verdict', async () => {
    const { stdout } = await plimsoll(['scan', '--help']);
    for (const figure of ['allocation', 'commitment', 'residual', 'exclusive', 'headroom'])
      expect(stdout).toMatch(new RegExp(`^  ${figure} +\\w`, 'm'));
    expect(stdout).toMatch(/^ {3}10 {2}the images can outgrow a store$/m);
    expect(stdout).toMatch(/^ {3}11 {2}/m);
  });

  it('lists every command', async () => {
    const { stdout } = await plimsoll(['--help']);
    for (const verb of VERBS) expect(stdout).toMatch(new RegExp(`^  ${verb}\\b`, 'm'));
  });
});

describe('a wrong command line', () => {
  it.each([
    [[], /Usage: plimsoll/],
    [['inof', 'x'], /^plimsoll: unknown command 'inof'\n\(Did you mean info\?\)\nTry: plimsoll --help\n$/],
    [['help', 'foo'], /^plimsoll: unknown command 'foo'\nTry: plimsoll --help\n$/],
    [['info'], /^plimsoll: missing required argument 'image'\nTry: plimsoll info --help\n$/],
    [['info', '--bogus', 'x'], /^plimsoll: unknown option '--bogus'/],
    [['info', '-f', 'bochs', 'x'], /^plimsoll: .*'bochs' is invalid. Allowed choices are raw, qcow2/],
    [['info', '-'], /^plimsoll: Cannot read images: no names on standard input/],
    [['scan', '--floor', '20GB', '/'], /^plimsoll: Cannot parse --floor: 20GB, expected 20GiB/],
    [['scan', '--limit', '0', '/'], /^plimsoll: Cannot parse --limit: 0/],
    [
      ['info', '--allow-dir', '/nowhere', 'x'],
      /^plimsoll: Cannot parse --allow-dir: \/nowhere: no such file or directory, expected a directory/,
    ],
    [['scan', '--allow-dir', '/etc/passwd', '/'], /^plimsoll: Cannot parse --allow-dir: \/etc\/passwd: not a directory/],
    [['measure', '--allow-dir', '', '--from', 'x'], /^plimsoll: .*--allow-dir/],
    [['measure'], /^plimsoll: Cannot measure: neither a size nor an image/],
    [['measure', '--size', '1G', '--from', 'x'], /^plimsoll: Cannot measure: more than one of SIZE, --size and --from/],
    [['measure', '-o', 'colour=red', '--size', '1G'], /^plimsoll: Cannot .*colour/],
    [['measure', '40X'], /^plimsoll: Cannot parse SIZE: 40X, expected one of the suffixes K, M, G, T, P\n/],
    [
      ['measure', '-o', 'cluster_size', '1G'],
      /^plimsoll: Cannot parse -o: cluster_size is on, as a key without a value is, expected a size/,
    ],
    [['create', 'x', '1G'], /^plimsoll: required option '-f, --format <format>' not specified/],
    [['create', '-f', 'raw', '/nowhere/x'], /^plimsoll: .*Cannot create image: no size, expected a SIZE such as 40G/],
    [['create', '-f', 'qcow2', '-b', 'base', '/nowhere/x', '1G'], /^plimsoll: Cannot create an overlay: -b without -F/],
    [['completion', 'tcsh'], /^plimsoll: .*Allowed choices are bash, zsh, fish/],
  ])('%j: exit code 2, a reason on standard error, nothing on standard output', async (words, reason) => {
    const { code, stdout, stderr } = await plimsoll(words);
    expect(stderr).toMatch(reason);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('escapes a hostile word', async () => {
    const { stderr } = await plimsoll(['info', '--\u001b[2J', 'x']);
    expect(stderr).toContain("unknown option '--\\x1b[2J'");
  });
});

describe('pipes', () => {
  it('exits quietly when the reader has closed the pipe, and never with 0', async () => {
    const names = Buffer.from(`${join(directory, 'missing')}\n`.repeat(5000));
    writeFileSync(join(directory, 'names'), names);
    const line = `${shellWord(process.execPath)} ${shellWord(COMMAND)} info - < ${shellWord(join(directory, 'names'))} | head -1; echo "codes \${PIPESTATUS[*]}"`;
    const { stdout, stderr } = await run('bash', ['-c', line]);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/missing\ncodes 141 0\n$/);
  });

  it.each([
    ['info', '/proc/version'],
    ['info', '--json', 'missing'],
    ['scan', '.'],
    ['help'],
    ['measure', '--help'],
    ['--version'],
    ['measure', '1G'],
  ])('%s: says what is wrong when its output cannot be written', async (...words) => {
    const line = `${[process.execPath, COMMAND, ...words].map(shellWord).join(' ')} > /dev/full`;
    expect(await run('bash', ['-c', line], { cwd: directory })).toEqual({
      code: 18,
      stdout: '',
      stderr: 'plimsoll: Cannot write to standard output: no space left on device\n',
    });
  });

  it('writes no colour into a pipe', async () => {
    const image = join(directory, 'plain.raw');
    writeFileSync(image, '');
    truncateSync(image, 1024 * 1024);
    const { stdout } = await plimsoll(['info', image], { env: { TERM: 'xterm', FORCE_COLOR: '1' } });
    expect(stdout).not.toContain('\u001b');
  });
});
