import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { reportFailure } from './failure.ts';
import { plainTheme } from './render/theme.ts';
import type { Session } from './session.ts';

function aSession(signal = new AbortController().signal): { session: Session; said: string[] } {
  const said: string[] = [];
  const session: Session = {
    signal,
    theme: plainTheme(),
    errorTheme: plainTheme(),
    exitCode: 0,
    print: async () => {},
    printLines: async () => {},
    warn: (line) => void said.push(line),
  };
  return { session, said };
}

describe('reportFailure()', () => {
  it('reports the error in one line, and returns the exit code of its kind', () => {
    const { session, said } = aSession();
    const error = new PlimsollError('refused', 'REFERENCE', { doing: 'open backing file', found: '/etc/shadow', image: '/x/\u001bweb' });
    expect(reportFailure(error, session)).toBe(15);
    expect(said).toEqual(['plimsoll: /x/\\x1bweb: Cannot open backing file: /etc/shadow']);
  });

  it('translates errors of the system', () => {
    const { session, said } = aSession();
    expect(reportFailure(Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC' }), session)).toBe(18);
    expect(said).toEqual(['plimsoll: Cannot complete the command: no space left on device']);
  });

  it('shows the stack of a bug, and where to report it', () => {
    const { session, said } = aSession();
    expect(reportFailure(new TypeError('x is not a function'), session)).toBe(70);
    expect(said.join('\n')).toMatch(/TypeError: x is not a function\n\s+at .*failure\.test/);
    expect(said.join('\n')).toContain('Please report it');
  });

  it('reports an interruption as such, whatever failed because of it', () => {
    const { session, said } = aSession(AbortSignal.abort());
    expect(reportFailure(new Error('premature close'), session)).toBe(130);
    expect(said).toEqual(['plimsoll: interrupted']);
  });

  it('does not repeat an error that commander has printed', () => {
    const { session, said } = aSession();
    expect(reportFailure(new CommanderError(1, 'commander.unknownOption', 'x'), session)).toBe(2);
    expect(reportFailure(new CommanderError(0, 'commander.helpDisplayed', 'x'), session)).toBe(0);
    expect(said).toEqual([]);
  });
});
