/** What is generated from the command definitions: completions, asked by the shells themselves, and the manual page. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
    return answer(await run('bash', ['--norc', '-uec', script], { cwd: directory }));
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
    const startUp = `
      PS1=
      fpath=(${shellWord(SCRIPTS)} $fpath)
      autoload -Uz compinit && compinit -u -D
      compadd () {
        builtin compadd "$@" || return
        # With one of these it only computes, for a later call that offers.
        (( \${@[(I)-[OAD]]} )) && return
        local -a offered
        builtin compadd -A offered "$@"
        print -rl -- "" "offer:"$^offered
      }
      ask () { zle list-choices; print -r -- ask"ed" }
      zle -N ask && bindkey '^I' ask
      print -r -- rea"dy"`;
    writeFileSync(join(directory, 'start-up.zsh'), startUp);
    const script = `
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell 'source ./start-up.zsh'
      zpty -r -m shell seen '*ready*'
      zpty -w -n shell ${shellWord(`plimsoll ${words.join(' ')}`)}$'\\t'
      zpty -r -m shell seen '*asked*'
      print -r -- "$seen"
      zpty -d shell`;
    const { stdout } = await run('timeout', ['300', 'zsh', '-f', '-c', script], { cwd: directory, env: { TERM: 'dumb' } });
    return [...stdout.matchAll(/offer:([^\r\n]*)/g)].map((match) => match[1] ?? '');
  },
};

function answer({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }): string[] {
  expect([code, stderr]).toEqual([0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}

describe.each([bash, fish, zsh])('completion in $name', (shell) => {
  it('offers the commands', async () =>
    expect(await shell.offers([''])).toEqual(expect.arrayContaining(['scan', 'info', 'measure', 'create', 'demo'])));
  it('completes a command', async () => expect(await shell.offers(['inf'])).toContain('info'));
  it('offers the options of the command', async () => {
    const offered = await shell.offers(['scan', '--f']);
    expect(offered).toEqual(expect.arrayContaining(['--floor']));
    expect(offered).not.toContain('--format');
  });
  it('offers the values of an option', async () =>
    expect((await shell.offers(['info', '--format', ''])).sort()).toEqual([
      'luks',
      'qcow',
      'qcow2',
      'qed',
      'raw',
      'vdi',
      'vhd',
      'vhdx',
      'vmdk',
    ]));
  it('offers the value after a =', async () => {
    const words = shell.name === 'bash' ? ['info', '--output', '=', 'j'] : ['info', '--output=j'];
    expect((await shell.offers(words)).join('|')).toMatch(/json$/);
  });
  it('completes the argument of help', async () => expect(await shell.offers(['help', 'me'])).toContain('measure'));
  it('offers directories to scan, and no files', async () => {
    const offered = (await shell.offers(['scan', ''])).join('|');
    expect(offered).toMatch(/images(\\ | )dir/);
    expect(offered).not.toContain('image one.raw');
  });
  it('offers files to info', async () => expect((await shell.offers(['info', ''])).join('|')).toMatch(/image(\\ | )one\.raw/));
});

describe('completion on the command line of bash', () => {
  it.each([
    ['inf', 'info '],
    ['info -f vm', 'info -f vmdk '],
    ['info --output=j', 'info --output=json '],
    ['scan images', 'scan images\\ dir/'],
  ])('%s becomes %s, whatever lies in the directory', async (typed, completed) => {
    for (const name of ['info', 'qcow2', 'json']) mkdirSync(join(directory, name), { recursive: true });
    // The line is completed, quoted from its beginning (^A) to its end (^E), and so printed.
    const input = `PS1=; bind 'set enable-bracketed-paste off'; source ${join(SCRIPTS, 'plimsoll.bash')}\nplimsoll ${typed}\t\u0001echo "<\u0005>"\nexit\n`;
    const shell = 'stty -echo; bash --norc --noprofile -i';
    const { stdout } = await run('script', ['-qec', shell, '/dev/null'], { cwd: directory, input, env: { TERM: 'dumb' } });
    expect(stdout).toContain(`<plimsoll ${completed}>`);
  });
});

describe('completion scripts', () => {
  it.each(['bash', 'zsh', 'fish'])('%s: printed exactly as built', async (shell) => {
    const { code, stdout } = await plimsoll(['completion', shell]);
    expect(code).toBe(0);
    const file = { bash: 'plimsoll.bash', zsh: '_plimsoll', fish: 'plimsoll.fish' }[shell] ?? '';
    expect(stdout).toBe((await run('cat', [join(SCRIPTS, file)])).stdout);
  });
});

describe.each(['README.md', 'docs/cli.md'])('the exit codes in %s', (page) => {
  it('are those of --help', async () => {
    const rows = readFileSync(join(ROOT, page), 'utf8').matchAll(/^\| (\d+) \| (.*) \|$/gm);
    const documented = [...rows].map(([, code = '', text = '']) => `${code} ${text.replaceAll('`', '')}`);
    const { stdout } = await plimsoll(['--help'], { env: { COLUMNS: '200' } });
    const printed = [...stdout.slice(stdout.indexOf('Exit codes:')).matchAll(/^ +(\d+) {2}(.*)$/gm)];
    expect(documented).toEqual(printed.map(([, code, text]) => `${code} ${text}`));
  });
});

describe('the manual page', () => {
  it('is rendered without a warning', async () => {
    const { code, stdout, stderr } = await run('man', ['--warnings', '-l', join(ROOT, 'dist', 'man', 'plimsoll.1')], {
      env: { MANWIDTH: '80' },
    });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^PLIMSOLL\(1\)/);
    for (const text of [
      'plimsoll scan [OPTION]... DIRECTORY...',
      '--exclude',
      '--never-written',
      'commitment',
      'EXIT STATUS',
      'plimsoll help [COMMAND]',
      'plimsoll --version',
      'images to examine; - reads their names from standard input',
      'default for an overlay',
      '(raw, qcow2); default: qcow2',
      'TMPDIR',
      'PLIMSOLL_NO_FFI',
      "find /srv -name '*.qcow2' -print0 | plimsoll info -0 --json -",
    ]) {
      expect(stdout).toContain(text);
    }
  });
});
