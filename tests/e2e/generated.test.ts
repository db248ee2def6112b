/** What is generated from the command definitions: completions, asked by the shells themselves, and the manual page. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMAND, plimsoll, ROOT, run, shellWord } from '../support/command.ts';

const SCRIPTS = join(ROOT, 'dist', 'completions');
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-completion-'));
  mkdirSync(join(directory, 'images dir'));
  writeFileSync(join(directory, 'image one.raw'), '');
  symlinkSync(COMMAND, join(directory, 'plimsoll'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a shell offers for the last word of `words`. */
interface Shell {
  readonly name: string;
  offers(words: readonly string[]): Promise<string[]>;
}

const bash: Shell = {
  name: 'bash',
  offers: async (words) => {
    const line = ['plimsoll', ...words].map(shellWord).join(' ');
    const script = `source ${shellWord(join(SCRIPTS, 'plimsoll.bash'))}; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _plimsoll; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return answer(await run('bash', ['-uec', script], { cwd: directory }));
  },
};

const fish: Shell = {
  name: 'fish',
  offers: async (words) => {
    const line = ['plimsoll', ...words].join(' ');
    const script = `source ${shellWord(join(SCRIPTS, 'plimsoll.fish'))}; complete -C ${shellWord(line)}`;
    const lines = answer(await run('fish', ['--no-config', '-c', script], { cwd: directory }));
    return lines.map((one) => one.split('\t')[0] ?? '');
  },
};

/** zsh completes only in its line editor: one in a pseudo-terminal is asked to list what it would offer. */
const zsh: Shell = {
  name: 'zsh',
  offers: async (words) => {
    const inner = [
      `fpath=(${shellWord(SCRIPTS)} $fpath)`,
      'autoload -Uz compinit && compinit -u -D',
      'PS1="ready> "',
      // What is offered goes to the screen as plain words, one on a line.
      "compadd () { local -a found; builtin compadd -A found -O found \"$@\" 2>/dev/null; builtin compadd -O found \"$@\"; print -rl -- 'offer:'${^found}; }",
    ].join('\n');
    const script = `
      zmodload zsh/zpty
      zpty z zsh -f -i
      zpty -w z ${shellWord(inner)}
      zpty -w z 'print all-"set"'
      zpty -r -m z out '*all-set*'
      zpty -w -n z ${shellWord(`plimsoll ${words.join(' ')}`)}$'\\t'
      sleep 1
      zpty -w -n z $'\\x03'
      zpty -w z 'print all-"done"'
      zpty -r -m z out '*all-done*'
      print -r -- "$out"
      zpty -d z`;
    const { stdout } = await run('zsh', ['-f', '-c', script], { cwd: directory, env: { TERM: 'dumb' } });
    return [...stdout.matchAll(/offer:([^\r\n]*)/g)].map((match) => match[1] ?? '');
  },
};

function answer({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }): string[] {
  expect([code, stderr]).toEqual([0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}

describe.each([bash, fish, zsh])('completion in $name', (shell) => {
  it('offers the commands', async () => expect(await shell.offers([''])).toEqual(expect.arrayContaining(['scan', 'info', 'measure', 'create', 'demo'])));
  it('completes a command', async () => expect(await shell.offers(['inf'])).toContain('info'));
  it('offers the options of the command', async () => {
    const offered = await shell.offers(['scan', '--f']);
    expect(offered).toEqual(expect.arrayContaining(['--floor', '--frozen-backing']));
    expect(offered).not.toContain('--format');
  });
  it('offers the values of an option', async () => expect((await shell.offers(['info', '--format', ''])).sort()).toEqual(['qcow2', 'raw']));
  it('offers directories to scan, and no files', async () => {
    const offered = (await shell.offers(['scan', ''])).join('|');
    expect(offered).toMatch(/images(\\ | )dir/);
    expect(offered).not.toContain('image one.raw');
  });
  it('offers files to info', async () => expect((await shell.offers(['info', ''])).join('|')).toMatch(/image(\\ | )one\.raw/));
});

describe('completion scripts', () => {
  it.each(['bash', 'zsh', 'fish'])('%s: printed as the build wrote them', async (shell) => {
    const { code, stdout } = await plimsoll(['completion', shell]);
    expect(code).toBe(0);
    const file = { bash: 'plimsoll.bash', zsh: '_plimsoll', fish: 'plimsoll.fish' }[shell] ?? '';
    expect(stdout).toBe((await run('cat', [join(SCRIPTS, file)])).stdout);
  });
});

describe('the manual page', () => {
  it('is rendered without a warning', async () => {
    const { code, stdout, stderr } = await run('man', ['--warnings', '-l', join(ROOT, 'dist', 'man', 'plimsoll.1')], { env: { MANWIDTH: '80' } });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^PLIMSOLL\(1\)/);
    for (const text of ['plimsoll scan [OPTION]... DIRECTORY...', '--frozen-backing', 'commitment', 'EXIT STATUS', "find /srv -name '*.qcow2' -print0 | plimsoll info -0 --json -"]) {
      expect(stdout).toContain(text);
    }
  });
});
