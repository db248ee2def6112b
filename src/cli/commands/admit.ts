/** `plimsoll admit`: does a new image fit, and if asked, hold the space for it. */
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
    summary: 'does a new image fit on a store?',
    description:
      'Asks the daemon (plimsoll serve) whether a store can take an image, and shows the sum that led to the answer. The policy ' +
      'promise wants room for everything that can still be written; growth for what grows until the store could be relieved; entitled ' +
      'for a share of what may be written. With --reserve the space is held, for as long as --ttl says, until it is released, or until ' +
      'the image appears under the path given with --for. Without a daemon the store is scanned; reservations and growth are then not known.',
    figures: ['commitment', 'residual'],
    examples: [
      { does: 'may a qcow2 of 40 GiB be made here?', line: 'plimsoll admit --size 40G --store /srv/vm' },
      { does: 'hold the space, and let go of it later', line: 'plimsoll admit --size 40G --store /srv/vm --reserve --key web7 --ttl 15m' },
      { does: 'by bytes, in a script', line: 'plimsoll admit --bytes 10G --store /srv/vm --json | jq .sum.remaining' },
    ],
    exits: ['doesNotFit', 'couldNotTell', 'notFound', 'conflict'],
    exitMeanings: {
      ok: 'admitted; with --reserve: the space is held',
      doesNotFit: 'it does not fit',
      couldNotTell: 'could not tell, or the daemon does not answer',
      notFound: 'no such store, and nothing to scan',
      conflict: 'the key holds something else',
    },
  });
  command
    .requiredOption('--store <path>', 'the store: a path on it, or its id')
    .option('--size <size>', 'the capacity of the image, such as 40G; what it can come to is worked out', (text) =>
      parseSize(text, '--size'),
    )
    .option('--bytes <size>', 'what is to fit, instead of an image', (text) => parseSize(text, '--bytes'))
    .addOption(new Option('-f, --format <format>', 'the format of the image').choices(['raw', 'qcow2']).default('qcow2'))
    .option('-o, --option <key=value,...>', 'creation options, as qemu-img takes them (may be repeated)', collect)
    .addOption(new Option('--policy <policy>', "instead of the store's own").choices(POLICIES))
    .option('--share <share>', 'with the policy entitled: the share of the residual that counts, 0 to 1', parseShare)
    .option('--reserve', 'hold the space; needs --key')
    .option('--key <key>', 'your name for what is held; asked for twice, it is held once')
    .option('--ttl <duration>', 'hold it that long, such as 15m; 15m unless said otherwise', (text) => parseDuration(text, '--ttl'))
    .option('--for <path>', 'the image it is for; when that appears, it is released')
    .option('--overcommit', 'hold it even if it does not fit')
    .option('--socket <path>', "the daemon's socket")
    .option('--explain', 'show the sum; on a terminal it is shown anyway');
  return addOutputOptions(addAssumeOption(command)).action((flags: AdmitFlags) => runAdmit(flags, session));
}

async function runAdmit(flags: AdmitFlags, session: Session): Promise<void> {
  const decision = await decisionFor(flags, requestOf(flags), session);
  session.exitCode = exitCodeOf(decision, flags.reserve === true);
  if (flags.output === 'json') return session.print(`${jsonText(decision)}\n`);
  const { admissionLines } = await import('../render/admission.ts');
  return session.printLines(admissionLines(decision, session.theme, flags.explain ?? session.theme.terminal));
}

/** What is held is held, whether it fits or not: whoever overcommits knows. */
export function exitCodeOf({ admitted, reservation }: AdmissionDecision, wantsHold: boolean): number {
  if (wantsHold && reservation !== null) return EXIT_CODES.ok;
  if (admitted === null) return EXIT_CODES.couldNotTell;
  return admitted ? EXIT_CODES.ok : EXIT_CODES.doesNotFit;
}

async function decisionFor(flags: AdmitFlags, request: AdmissionRequest, session: Session): Promise<AdmissionDecision> {
  const client = new DaemonClient(socketPath(flags.socket));
  try {
    if (flags.reserve !== true) return await client.admit(request);
    const { ttl = DEFAULT_TTL_SECONDS, key, overcommit } = flags;
    if (key === undefined) throw misused('--reserve without --key', 'a key, by which it can be released');
    const path = flags.for === undefined ? {} : { path: resolve(flags.for) };
    return await client.reserve({ ...request, key, ttlSeconds: ttl, ...path, ...(overcommit === true ? { overcommit } : {}) });
  } catch (error) {
    if (!(error instanceof PlimsollError) || error.code !== 'DAEMON_ABSENT' || flags.reserve === true || isId(flags.store)) throw error;
    session.warn(`plimsoll: ${escapeForTerminal(error.message)}`);
    session.warn('plimsoll: the answer is from a scan of that directory alone; reservations and growth are not known');
    const { admitByScan } = await import('../admit-by-scan.ts');
    return admitByScan(request, session);
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
  throw new PlimsollError('usage', 'SHARE_SYNTAX', { doing: 'understand --share', found: text, expected: 'a number from 0 to 1' });
}

function misused(found: string, expected: string): PlimsollError {
  return new PlimsollError('usage', 'ADMIT_OPTIONS', { doing: 'admit', found, expected });
}
