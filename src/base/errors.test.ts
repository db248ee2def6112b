import { describe, expect, it } from 'vitest';
import { asPlimsollError, PlimsollError } from './errors.ts';

describe('PlimsollError', () => {
  it.each([new Error('x'), { name: 'PlimsollError', kind: 'io', code: 'CODE' }, null, 'text'])('%s is not one', (value) => {
    expect(value instanceof PlimsollError).toBe(false);
  });

  it.each([
    [
      { doing: 'read qcow2 header', field: 'cluster_bits', at: 20, found: 31, expected: '9 to 21' },
      'Cannot read qcow2 header: cluster_bits at byte 20 is 31, expected 9 to 21',
    ],
    [{ doing: 'read x', field: 'offset', at: 4096, found: '0x10' }, 'Cannot read x: offset at offset 0x1000 is 0x10'],
    [{ doing: 'read x', at: 0, found: 'another signature' }, 'Cannot read x: another signature at byte 0'],
    [{ doing: 'read x', field: 'magic' }, 'Cannot read x: magic'],
    [{ doing: 'read x' }, 'Cannot read x'],
    [{ doing: 'read x', found: 0, expected: 1 }, 'Cannot read x: 0, expected 1'],
  ])('%j reads as a sentence', (where, message) => {
    expect(new PlimsollError('corrupt', 'CODE', where).message).toBe(message);
  });

  it('says numbers beyond 2^53 to the last digit', () => {
    expect(new PlimsollError('corrupt', 'CODE', { doing: 'read x', found: 2n ** 60n }).message).toBe('Cannot read x: 1152921504606846976');
  });

  it('escapes and shortens what was found', () => {
    const { message } = new PlimsollError('corrupt', 'CODE', { doing: 'read x', found: `\u001b[2J${'y'.repeat(1000)}` });
    expect(message).toContain('\\x1b[2J');
    expect(message.length).toBeLessThan(200);
  });

  it('says the same after a way through JSON', () => {
    const error = new PlimsollError('corrupt', 'CODE', { doing: 'read x', field: 'f', at: 4, found: 2n ** 60n, expected: 'less' });
    const revived = PlimsollError.revive(JSON.parse(JSON.stringify(error)) as ReturnType<PlimsollError['toJSON']>, '/image');
    expect(revived).toMatchObject({ kind: 'corrupt', code: 'CODE', message: error.message, where: { image: '/image', at: 4, field: 'f' } });
    expect(revived.toJSON()).toEqual(error.toJSON());
  });
});

describe('asPlimsollError()', () => {
  it('keeps what is one already', () => {
    const error = new PlimsollError('busy', 'CODE', { doing: 'x' });
    expect(asPlimsollError(error, 'read')).toBe(error);
  });

  it.each([
    ['ENOENT', 'not-found'],
    ['ENOTDIR', 'not-found'],
    ['EEXIST', 'conflict'],
    ['EIO', 'io'],
    ['EACCES', 'io'],
  ])('%s of the system is %s', (code, kind) => {
    expect(asPlimsollError(Object.assign(new Error(code), { code }), 'read', '/x')).toMatchObject({
      kind,
      code: `IO_${code}`,
      where: { image: '/x' },
    });
  });

  it.each([
    new RangeError('Offset is outside the bounds'),
    new TypeError('x is not a function'),
    'text',
    undefined,
    Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_VALUE' }),
  ])('%s is a bug', (thrown) => {
    expect(asPlimsollError(thrown, 'read').kind).toBe('bug');
  });
});
