/**
 * Seccomp programs: which system calls a process may make, as classic BPF over struct seccomp_data.
 * Source: linux/bpf_common.h, linux/filter.h, linux/seccomp.h, linux/audit.h; Documentation/userspace-api/seccomp_filter.
 *
 * Whatever is not allowed fails with EPERM: it is better heard as an error by the one who tried than seen as a death.
 */

/** Allowed only where the low 32 bits of an argument, masked, are one of some values. */
export interface ArgumentRule {
  readonly number: number;
  /** 0 to 5. */
  readonly argument: number;
  readonly mask: number;
  readonly oneOf: readonly number[];
}

export interface FilterRules {
  /** AUDIT_ARCH_*: a process that changes its personality is killed. */
  readonly arch: number;
  /** System calls that are numbered from here on belong to another ABI (x32) and are refused. */
  readonly firstForeign: number;
  readonly allow: readonly number[];
  readonly allowIf?: readonly ArgumentRule[];
  /** Refused with an errno of their own, where a caller knows what to do about that one. */
  readonly refuseWith?: readonly { readonly number: number; readonly errno: number }[];
}

interface Instruction {
  readonly code: number;
  readonly whenTrue: number;
  readonly whenFalse: number;
  readonly value: number;
}

const INSTRUCTION_BYTES = 8;

/** BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_AND | BPF_K, BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JGE | BPF_K, BPF_RET | BPF_K. */
const CODE = { load: 0x20, and: 0x54, ifEqual: 0x15, ifAtLeast: 0x35, answer: 0x06 } as const;

/** struct seccomp_data: nr u32 at 0, arch u32 at 4, instruction_pointer u64 at 8, six arguments u64 from 16. */
const NUMBER_AT = 0;
const ARCH_AT = 4;
const ARGUMENTS_AT = 16;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const FAIL_WITH = 0x00050000;
const EPERM = 1;

/** The program as the kernel takes it: struct sock_filter after struct sock_filter, little-endian. */
export function assembleFilter(rules: FilterRules): Uint8Array {
  return encode([
    load(ARCH_AT),
    skipUnless('ifEqual', rules.arch, 1, 0),
    answer(KILL_PROCESS),
    load(NUMBER_AT),
    skipUnless('ifAtLeast', rules.firstForeign, 0, 1),
    answer(FAIL_WITH + EPERM),
    ...rules.allow.flatMap((number) => [skipUnless('ifEqual', number, 0, 1), answer(ALLOW)]),
    ...(rules.refuseWith ?? []).flatMap(({ number, errno }) => [skipUnless('ifEqual', number, 0, 1), answer(FAIL_WITH + errno)]),
    ...(rules.allowIf ?? []).flatMap(argumentCheck),
    answer(FAIL_WITH + EPERM),
  ]);
}

/** The low half alone: the kernel takes these arguments as 32-bit values, or masks what it knows of them. */
function argumentCheck({ number, argument, mask, oneOf }: ArgumentRule): Instruction[] {
  const check = [
    load(ARGUMENTS_AT + 8 * argument),
    { code: CODE.and, whenTrue: 0, whenFalse: 0, value: mask },
    ...oneOf.flatMap((value) => [skipUnless('ifEqual', value, 0, 1), answer(ALLOW)]),
    answer(FAIL_WITH + EPERM),
  ];
  return [skipUnless('ifEqual', number, 0, check.length), ...check];
}

function load(at: number): Instruction {
  return { code: CODE.load, whenTrue: 0, whenFalse: 0, value: at };
}

/** Jumps over so many instructions, at most 255. */
function skipUnless(condition: 'ifEqual' | 'ifAtLeast', value: number, whenTrue: number, whenFalse: number): Instruction {
  return { code: CODE[condition], whenTrue, whenFalse, value };
}

function answer(value: number): Instruction {
  return { code: CODE.answer, whenTrue: 0, whenFalse: 0, value };
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, whenTrue, whenFalse, value }] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, value, true);
  }
  return bytes;
}
