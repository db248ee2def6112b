import { describe, expect, it } from 'vitest';
import { assembleFilter } from './bpf.ts';
import { sealFilter, startFilter } from './filters.ts';

interface Call {
  readonly number: number;
  readonly arch?: number;
  readonly words?: readonly number[];
}

/** What the kernel's interpreter would answer; only the instructions that we use, and each jump inside of the program. */
function answerOf(program: Uint8Array, { number, arch = X64, words = [] }: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, arch, true);
  for (const [index, word] of words.entries()) data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, BigInt(word)), true);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; ; at += 8) {
    const value = view.getUint32(at + 4, true);
    const jump = (condition: boolean): number => 8 * view.getUint8(condition ? at + 2 : at + 3);
    switch (view.getUint16(at, true)) {
      case 0x20:
        accumulator = data.getUint32(value, true);
        break;
      case 0x54:
        accumulator = (accumulator & value) >>> 0;
        break;
      case 0x15:
        at += jump(accumulator === value);
        break;
      case 0x35:
        at += jump(accumulator >= value);
        break;
      case 0x06:
        return value;
      default:
        throw new Error(`unknown instruction at ${at}`);
    }
  }
}

const X64 = 0xc000003e;
const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0x80000000;

describe('assembleFilter()', () => {
  const program = assembleFilter({
    arch: X64,
    firstForeign: 0x40000000,
    allow: [1, 2],
    refuseWith: [{ number: 3, errno: 38 }],
    allowIf: [
      { number: 4, argument: 2, mask: 0xf0, oneOf: [0x10, 0x20] },
      { number: 5, argument: 0, mask: 0xffffffff, oneOf: [7] },
    ],
  });

  it.each([
    [{ number: 1 }, ALLOW],
    [{ number: 2 }, ALLOW],
    [{ number: 0 }, EPERM],
    [{ number: 3 }, ENOSYS],
    [{ number: 6 }, EPERM],
    [{ number: 4, words: [0, 0, 0x1f] }, ALLOW],
    [{ number: 4, words: [0, 0, 0x20] }, ALLOW],
    [{ number: 4, words: [0x10, 0x10, 0x30] }, EPERM],
    [{ number: 5, words: [7] }, ALLOW],
    [{ number: 5, words: [8] }, EPERM],
    [{ number: 0x40000001 }, EPERM],
    [{ number: 0xffffffff }, EPERM],
    [{ number: 1, arch: 0x40000003 }, KILL],
    [{ number: 1, arch: 0xc00000b7 }, KILL],
  ])('%j: 0x%x', (call, answer) => {
    expect(answerOf(program, call)).toBe(answer);
  });
});

describe('the filters of the worker', () => {
  it('let every system call of the seal through at the start too: the second can only take away', () => {
    const allowedBy = (filter: Uint8Array): number[] =>
      Array.from({ length: 500 }, (_, number) => number).filter((number) => answerOf(filter, { number }) === ALLOW);
    expect(allowedBy(startFilter())).toEqual(expect.arrayContaining(allowedBy(sealFilter())));
  });

  it.each([
    ['private memory', { number: 9, words: [0, 4096, 3, 0x22] }, ALLOW],
    ['shared memory', { number: 9, words: [0, 4096, 3, 0x21] }, EPERM],
    ['shared memory, validated', { number: 9, words: [0, 4096, 3, 0x03] }, EPERM],
    ['flags of a descriptor', { number: 72, words: [4, 3] }, ALLOW],
    ['a lock', { number: 72, words: [4, 6] }, EPERM],
    ['a thread', { number: 56, words: [0x3d0f00] }, EPERM],
    ['openat', { number: 257 }, EPERM],
    ['socket', { number: 41 }, EPERM],
    ['execve', { number: 59 }, EPERM],
  ])('the seal answers %s', (_, call, answer) => {
    expect(answerOf(sealFilter(), call)).toBe(answer);
  });

  it.each([
    ['a thread', { number: 56, words: [0x3d0f00] }, ALLOW],
    ['a process in a user namespace', { number: 56, words: [0x10000011] }, EPERM],
    ['a process in a time namespace', { number: 56, words: [0x80] }, EPERM],
    ['clone3, whose flags cannot be seen', { number: 435 }, ENOSYS],
    ['socket', { number: 41 }, EPERM],
    ['kill', { number: 62 }, EPERM],
    ['mount', { number: 165 }, EPERM],
    ['unshare', { number: 272 }, EPERM],
  ])('the start answers %s', (_, call, answer) => {
    expect(answerOf(startFilter(), call)).toBe(answer);
  });
});
