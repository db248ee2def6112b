/** Contenders measured in turns, in the same run: warm-up, then rounds in which each runs once, the order turned around each time. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A whole process (or a shell loop over many) to be timed. */
export interface Contender {
  readonly name: string;
  readonly words: readonly [string, ...string[]];
  readonly cwd?: string;
  /** Exit codes that mean "done": a scan may say that the store does not fit. */
  readonly exitCodes?: readonly number[];
}

export interface Measured {
  readonly name: string;
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  /** Largest resident memory of one process in any round; undefined where it was not asked for. */
  readonly peakBytes: number | undefined;
}

export interface RoundsChoice {
  readonly rounds: number;
  /** Starts each contender under GNU time, which adds a millisecond to all of them. */
  readonly memory?: boolean;
}

/** NODE_EXTRA_CA_CERTS alone costs each Node process tens of milliseconds: no contender sees it. */
function quietEnvironment(): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...rest } = process.env;
  return { ...rest, LC_ALL: 'C.UTF-8' };
}

export function measureInTurns(contenders: readonly Contender[], { rounds, memory = false }: RoundsChoice): Measured[] {
  const scratch = mkdtempSync(join(tmpdir(), 'plimsoll-bench-'));
  const samples = new Map(contenders.map(({ name }) => [name, [] as Sample[]]));
  try {
    for (const contender of contenders) runOnce(contender, memory, scratch);
    for (let round = 0; round < rounds; round += 1) {
      const order = round % 2 === 0 ? contenders : contenders.toReversed();
      for (const contender of order) samples.get(contender.name)?.push(runOnce(contender, memory, scratch));
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
  return [...samples].map(([name, list]) => summary(name, list));
}

interface Sample {
  readonly ms: number;
  readonly peakBytes: number | undefined;
}

function runOnce(contender: Contender, memory: boolean, scratch: string): Sample {
  const memoryFile = join(scratch, 'kilobytes');
  const words = memory ? ['/usr/bin/time', '-q', '-f', '%M', '-o', memoryFile, ...contender.words] : contender.words;
  const [program = '', ...rest] = words;
  const begun = process.hrtime.bigint();
  const { status, error, stderr } = spawnSync(program, rest, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: quietEnvironment(),
    ...(contender.cwd === undefined ? {} : { cwd: contender.cwd }),
  });
  const ms = Number(process.hrtime.bigint() - begun) / 1e6;
  if (error !== undefined) throw new Error(`Cannot run ${program}: ${error.message}${memory ? ' (Debian package: time)' : ''}`);
  if (!(contender.exitCodes ?? [0]).includes(status ?? -1)) {
    throw new Error(`${contender.name} ended with ${String(status)}: ${stderr.toString().slice(0, 400)}`);
  }
  return { ms, peakBytes: memory ? Number(readFileSync(memoryFile, 'utf8')) * 1024 : undefined };
}

function summary(name: string, samples: readonly Sample[]): Measured {
  const times = samples.map(({ ms }) => ms).sort((a, b) => a - b);
  const peaks = samples.flatMap(({ peakBytes }) => peakBytes ?? []);
  return {
    name,
    medianMs: median(times),
    fastestMs: times[0] ?? 0,
    slowestMs: times.at(-1) ?? 0,
    peakBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
  };
}

/** Of an ascending list. */
function median(times: readonly number[]): number {
  const middle = Math.floor(times.length / 2);
  return times.length % 2 === 1 ? (times[middle] ?? 0) : ((times[middle - 1] ?? 0) + (times[middle] ?? 0)) / 2;
}
