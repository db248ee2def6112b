/** Runs the daemon: opens its resources, prints its address and waits for a signal. */
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { asPlimsollError, escapeForTerminal, formatBytes, PlimsollError, plural } from '#base';
import { loadPeerUsers, notifyManager, pingWatchdog } from '#host';
import { openDaemon, type StoreService } from '#service';
import {
  ensureToken,
  type GeneratedToken,
  openLog,
  openServer,
  parseListen,
  readToken,
  type RunningServer,
  type ServerOptions,
} from '#server';
import { type Growing, startGrowing } from '../demo/grow.ts';
import { makeStore } from '../demo/make-store.ts';
import { wrap } from '../render/text.ts';
import type { Session } from '../session.ts';
import { VERSION } from '../version.ts';
import { AUTO_LISTEN, planServe, type ServeFlags, type ServePlan, DEFAULT_LISTEN } from './plan.ts';
import { webDirectory } from './web-directory.ts';

export async function runServe(directories: readonly string[], flags: ServeFlags, session: Session): Promise<void> {
  if (flags.demo !== true || directories.length > 0) return serve(await planServe(directories, flags, process.env), session);
  const place = await mkdtemp(join(tmpdir(), 'plimsoll-demo-'));
  try {
    await serveDemo(place, flags, session);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** A demonstration store, with the daemon's state in the same directory: it is removed when the daemon stops. */
async function serveDemo(place: string, flags: ServeFlags, session: Session): Promise<void> {
  const store = join(place, 'store');
  await mkdir(store);
  const { notes } = await makeStore(store, session.signal);
  const growing = await startGrowing(store);
  const own: ServeFlags = {
    listen: AUTO_LISTEN,
    state: join(place, 'state'),
    socket: join(place, 'plimsoll.sock'),
    interval: 2,
    logLevel: 'warn',
    ...flags,
  };
  const remarks = demoRemarks(store, growing, notes);
  try {
    await serve(await planServe([store], own, {}), session, remarks);
  } finally {
    await growing.stop();
  }
}

function demoRemarks(store: string, { name, bytesPerMinute, most }: Growing, notes: readonly string[]): string[] {
  return [
    `The demonstration store is ${escapeForTerminal(store)}. Its size and free space are those of the filesystem that holds it.`,
    `${name} grows by ${formatBytes(bytesPerMinute)} a minute up to ${formatBytes(most)}, so that the dashboard shows growth.`,
    ...notes,
    'All files are removed when plimsoll ends (Ctrl-C).',
  ];
}

/**
 * How much the heap may grow from one collection of garbage to the next. V8 would let it double, since it knows nothing of
 * the images that the memory of a host is for: of a daemon over 10,000 images that is 50 MB and more.
 */
const HEAP_GROWTH_PERCENT = 25;

/** `demo`: remarks on a demonstration store, printed after the address, which then holds the token wherever the output goes. */
async function serve(plan: ServePlan, session: Session, demo?: readonly string[]): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const log = openLog(plan.logLevel);
  const configured = plan.tokenFile === undefined ? undefined : await readToken(plan.tokenFile);
  const service = await openDaemon({ ...plan, version: VERSION });
  try {
    const access = await accessOf(plan, configured);
    const token = access && { text: access.text, isConfigured: configured !== undefined };
    const userOf = await loadPeerUsers();
    const users = userOf === undefined ? {} : { userOf };
    const options = { service, version: VERSION, log, socket: plan.socket ?? undefined, token, webDirectory: webDirectory(), ...users };
    const server = await openAt(plan, options, session);
    const endPings = pingWatchdog();
    try {
      await notifyManager('READY=1');
      await tell(plan, server, service, placeOf(server, access, demo !== undefined || session.theme.terminal), session);
      await session.printLines((demo ?? []).flatMap((remark) => wrap(remark, session.theme.width)));
      log.info({ url: server.url, socket: server.socket, version: VERSION }, 'plimsoll is ready');
      if (!session.signal.aborted) await once(session.signal, 'abort');
      await notifyManager('STOPPING=1');
      log.info('plimsoll is stopping');
    } finally {
      endPings();
      await server.close();
    }
  } finally {
    await service.close();
  }
}

/**
 * A port that is taken is an error: the program that has it could answer in place of the daemon. Only where any free port was
 * asked for, another is taken.
 */
async function openAt(plan: ServePlan, options: Omit<ServerOptions, 'listen'>, session: Session): Promise<RunningServer> {
  const isAuto = plan.listen === AUTO_LISTEN;
  const listen = plan.listen === null ? undefined : parseListen(isAuto ? DEFAULT_LISTEN : plan.listen, 'listen');
  if (listen === undefined && plan.socket === null) {
    throw new PlimsollError('usage', 'SERVE_NOWHERE', {
      doing: 'serve',
      found: 'neither an address nor a socket',
      expected: 'one of --listen and --socket',
    });
  }
  try {
    return await openServer({ ...options, listen });
  } catch (thrown) {
    const error = asPlimsollError(thrown, 'serve');
    if (error.code !== 'IO_EADDRINUSE' || listen === undefined) throw error;
    if (isAuto) return openServer({ ...options, listen: { ...listen, port: 0 } });
    session.warn('plimsoll: set another address with --listen, or use a free port with --listen auto');
    throw error;
  }
}

/** The token that requests over TCP carry, and its file: the configured one, otherwise one in the state directory. */
async function accessOf(plan: ServePlan, configured: string | undefined): Promise<GeneratedToken | undefined> {
  if (plan.listen === null) return undefined;
  if (plan.tokenFile !== undefined && configured !== undefined) return { path: plan.tokenFile, text: configured };
  return ensureToken(plan.stateDirectory);
}

/**
 * Where the daemon answers. A person at a terminal gets the address with the token in its fragment, which browsers do not
 * send; a log gets the name of the file instead.
 */
function placeOf({ url, socket }: RunningServer, access: GeneratedToken | undefined, isForPerson: boolean): string {
  if (url === null || access === undefined) return url ?? socket ?? '';
  return isForPerson ? `${url}/#token=${encodeURIComponent(access.text)}` : `${url} (the token is in ${escapeForTerminal(access.path)})`;
}

/** Maximum wait at start for the first scan; a large store is served while it is scanned. */
const FIRST_SCAN_MS = 2000;

async function tell(
  plan: ServePlan,
  { url, socket }: RunningServer,
  service: StoreService,
  place: string,
  session: Session,
): Promise<void> {
  const isScanned = await isOverWithin(FIRST_SCAN_MS, service.ready(), session.signal);
  await session.print(`Monitoring ${await watched(plan, service, isScanned)}. Listening on ${place}\n`);
  if (url !== null && socket !== null)
    await session.print(`To use it from other commands: export PLIMSOLL_SOCKET=${escapeForTerminal(socket)}\n`);
  if (!isScanned) return;
  const { findings } = await service.status();
  for (const { level, message } of findings) if (level !== 'info') session.warn(`plimsoll: ${escapeForTerminal(message)}`);
}

async function isOverWithin(ms: number, work: Promise<void>, signal: AbortSignal): Promise<boolean> {
  const waiting = new AbortController();
  const late = sleep(ms, false, { signal: AbortSignal.any([signal, waiting.signal]) }).catch(() => false);
  const isOver = await Promise.race([work.then(() => true), late]);
  waiting.abort();
  return isOver;
}

async function watched(plan: ServePlan, service: StoreService, isScanned: boolean): Promise<string> {
  const directories = plan.stores.flatMap((one) => one.directories);
  if (!isScanned) return `${plural(directories.length, 'directory', 'directories')} (initial scan in progress)`;
  const stores = await service.queryStores();
  const images = stores.reduce((sum, one) => sum + one.imageCount, 0);
  return `${plural(stores.length, 'store')} (${plural(images, 'image')})`;
}
