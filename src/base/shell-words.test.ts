import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { escapeForTerminal, fileArgument, shellLine, shellWord } from './index.ts';

const HOSTILE = [
  ...[
    'nbd:localhost:1',
    'json:{}',
    '-x',
    'a b',
    "it's",
    '"',
    'a\nb',
    ';rm -rf x',
    '$(id)',
    '`id`',
    'a,b=c',
    'fat:rw:x',
    '*',
    '!x',
    '~root',
  ],
  ...['=ls', '#x', '\\', '\u001b]0;x\u0007', '\u009b31m', 'a\u202eb', '\udcff', 'é\udc80x', "\t'\n$0", 'x\u0001777', '', '日本'],
];

function printed(line: string): Buffer {
  return execFileSync('bash', ['-c', `printf '%s' ${line}`]);
}

describe('shellWord()', () => {
  it.each(HOSTILE)('quotes %j so that a shell gives back its bytes', (word) => {
    const bytes = Array.from(word, (one) => (/^[\udc80-\udcff]$/.test(one) ? Buffer.from([one.charCodeAt(0) - 0xdc00]) : Buffer.from(one)));
    expect(printed(shellWord(word))).toEqual(Buffer.concat(bytes));
  });

  it.each(HOSTILE)('writes %j with nothing that a terminal obeys', (word) => {
    const line = shellWord(word).replaceAll('\\', '');
    expect(escapeForTerminal(line)).toBe(line);
  });

  it('leaves plain names as they are', () => {
    expect(shellLine(['qemu-img', 'info', '-f', 'raw', './disk-1.img'])).toBe('qemu-img info -f raw ./disk-1.img');
  });
});

describe('fileArgument()', () => {
  it.each([
    ['-x', './-x'],
    ['nbd:localhost:1', './nbd:localhost:1'],
    ['nbd:a/b', './nbd:a/b'],
    ['/srv/json:{}', '/srv/json:{}'],
    ['../up', '../up'],
    ['./here', './here'],
    ['..hidden', './..hidden'],
  ])('makes %j %j', (path, argument) => {
    expect(fileArgument(path)).toBe(argument);
  });
});
