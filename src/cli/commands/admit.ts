/** `plimsoll admit`: checks whether a new image fits, and reserves the space on request. */
import { resolve } from 'node:path';
import { Option } from 'commander';
import { type Assumption, escapeForTerminal, parseDuration, parseSize, PlimsollError, jsonText } from '#base';
import { type AdmissionDecision, type AdmissionRequest, EXIT_CODES, POLICIES, type Policy } from '#wire';
import { DaemonClient, socketPath } from '#client';
import { addAssumeOption, addOutputOptions, collect, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface AdmitFlags extends OutputFlags {
  readonly store: string;
  readonly size?: number;
  readonly bytes?: number;
  readonly format: 'raw' | 'qcow2';
  readonly option?: readonly string[];
  readonly policy?: Policy;
  readonly share?: number;
  readonly reserve?: true;
  readonly key?: string;
  readonly ttl?: number;
  readonly for?: string;
  readonly overcommit?: true;
  readonly socket?: string;
  readonly explain?: boolean;
  readonly assume?: readonly Assumption[];
}

const DEFAULT_TTL_SECONDS = 900;

export function admitCommand(session: Session): VerbCommand {
  const command = new VerbCommand('admit', {
    summary: 'check whether a new image fits a store',
    description:
      'Queries the daemon (plimsoll serve) whether an image fits a store, and shows the calculation. The policy promise requires room ' +
      'for every write that guests can still make; growth, for the expected growth until an administrator can react; entitled, for a ' +
      'share of the residual. With --reserve the space is reserved for --ttl, until it is released or until the image appears at the ' +
      'path given with --for. Without a daemon the store is scanned; reservations and growth are then unknown.',
    figures: ['commitment', 'residual'],
    examples: [
      { does: 'check a qcow2 of 40 GiB', line: 'plimsoll admit --size 40G --store /srv/vm' },
      { does: 'reserve the space, to be released later', line: 'plimsoll admit --size 40G --store /srv/vm --reserve --key web7 --ttl 15m' },
      { does: 'check a number of bytes, in a script', line: 'plimsoll admit --bytes 10G --store /srv/vm --json | jq .sum.remaining' },
    ],
    exits: ['doesNotFit', 'undetermined', 'notFound', 'conflict'],
    exitMeanings: {
      ok: 'admitted; with --reserve: the space is reserved',
      doesNotFit: 'it does not fit',
      undetermined: 'unknown, or the daemon does not answer',
      notFound: 'store not found, and no directory to scan',
      conflict: 'the key already reserves space for a different request',
    },
  });
  command
    .requiredOption('--store <path>', 'the store: a path on it, or its id')
    .option('--size <size>', 'the capacity of the image, such as 40G; its commitment is computed', (text) => parseSize(text, '--size'))
    .option('--bytes <size>', 'check this many bytes instead of an image', (text) => parseSize(text, '--bytes'))
    .addOption(new Option('-f, --format <format>', 'the format of the image').choices(['raw', 'qcow2']).default('qcow2'))
    .option('-o, --option <key=value,...>', 'creation options, as qemu-img takes them (may be repeated)', collect)
    .addOption(new Option('--policy <policy>', "use this policy instead of the store's own").choices(POLICIES))
    .option('--share <share>', 'with the policy entitled: the share of the residual that counts, 0 to 1', parseShare)
    .option('--reserve', 'reserve the space; requires --key')
    .option('--key <key>', 'idempotency key: repeating a request with the same key reserves once')
    .option('--ttl <duration>', 'lifetime of the reservation, such as 30m (default: 15m)', (text) => parseDuration(text, '--ttl'))
    .option('--for <path>', 'path of the future image; the reservation is fulfilled when it appears')
    .option('--overcommit', 'reserve even if it does not fit')
    .option('--socket <path>', "the daemon's socket")
    .option('--explain', 'show the calculation (always shown on a terminal)');
  return addOutputOptions(addAssumeOption(command)).action((flags: AdmitFlags) => runAdmit(flags, session));
}

async function runAdmit(flags: AdmitFlags, session: Session): Promise<void> {
  const decision = await decisionFor(flags, requestOf(flags), session);
  session.exitCode = exitCodeOf(decision, flags.reserve === true);
  if (flags.output === 'json') return session.print(`${jsonText(decision)}\n`);
  const { admissionLines } = await import('../render/admission.ts');
  return session.printLines(admissionLines(decision, session.theme, flags.explain ?? session.theme.terminal));
}

/** A granted reservation is a success, whether it fits or not: --overcommit is explicit. */
export function exitCodeOf({ admitted, reservation }: AdmissionDecision, wantsHold: boolean): number {
  if (wantsHold && reservation !== null) return EXIT_CODES.ok;
  if (admitted === null) return EXIT_CODES.undetermined;
  return admitted ? EXIT_CODES.ok : EXIT_CODES.doesNotFit;
}

async function decisionFor(flags: AdmitFlags, request: AdmissionRequest, session: Session): Promise<AdmissionDecision> {
  const client = new DaemonClient(socketPath(flags.socket));
  try {
    if (flags.reserve !== true) return await client.admit(request);
    const { ttl = DEFAULT_TTL_SECONDS, key, overcommit } = flags;
    if (key === undefined) throw misused('--reserve without --key', 'a key, with which to release it');
    const path = flags.for === undefined ? {} : { path: resolve(flags.for) };
    return await client.reserve({ ...request, key, ttlSeconds: ttl, ...path, ...(overcommit === true ? { overcommit } : {}) });
  } catch (error) {
    if (!(error instanceof PlimsollError) || error.code !== 'DAEMON_ABSENT' || flags.reserve === true || isId(flags.store)) throw error;
    session.warn(`plimsoll: ${escapeForTerminal(error.message)}`);
    session.warn('plimsoll: no daemon: only this directory was scanned; reservations and growth are unknown');
    const [{ checkAdmissionByScan }, { collectScan }] = await Promise.all([import('#service'), import('./scan.ts')]);
    return checkAdmissionByScan(request, (directory, assume) => collectScan([directory], { assume }, session));
  }
}

function requestOf(flags: AdmitFlags): AdmissionRequest {
  const { size, bytes, format, policy, share } = flags;
  if ((size === undefined) === (bytes === undefined)) {
    throw misused(size === undefined ? 'neither --size nor --bytes' : 'both --size and --bytes', 'exactly one of --size and --bytes');
  }
  for (const [name, value] of Object.entries({
    '--key': flags.key,
    '--ttl': flags.ttl,
    '--for': flags.for,
    '--overcommit': flags.overcommit,
  })) {
    if (value !== undefined && flags.reserve !== true) throw misused(`${name} without --reserve`, `--reserve beside ${name}`);
  }
  const options = (flags.option ?? []).filter((one) => one !== '').join(',');
  return {
    store: isId(flags.store) ? flags.store : resolve(flags.store),
    ...(bytes === undefined ? {} : { bytes }),
    ...(size === undefined ? {} : { image: { format, capacity: size, ...(options === '' ? {} : { options }) } }),
    ...(policy === undefined ? {} : { policy }),
    ...(share === undefined ? {} : { idleShare: share }),
    ...(flags.assume === undefined ? {} : { assume: flags.assume }),
  };
}

function isId(store: string): boolean {
  return /^(uuid|dev):/.test(store);
}

function parseShare(text: string): number {
  const share = Number(text);
  if (/^[\d.]+$/.test(text) && share >= 0 && share <= 1) return share;
  throw new PlimsollError('usage', 'SHARE_SYNTAX', { doing: 'parse --share', found: text, expected: 'a number from 0 to 1' });
}

function misused(found: string, expected: string): PlimsollError {
  return new PlimsollError('usage', 'ADMIT_OPTIONS', { doing: 'admit', found, expected });
}
