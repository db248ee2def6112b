/** The event stream of the server: reconnects with increasing delays. */
import type { ServeEvent, StoreView } from '#wire';
import { ChangeBuffer } from '../view/coalesce.ts';
import { EventStreamReader, type StreamEvent } from '../view/event-stream.ts';
import { Failure, request } from './api.ts';
import { connection, lastHeardMs, takeChanges, takeHello } from './state.ts';

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;
/** Silence in ms after which the connection is checked. */
const SILENCE_MS = 60_000;
/** Frames are not drawn while the page is hidden; events are then applied by a timer. */
const HIDDEN_MS = 1000;

const buffer = new ChangeBuffer();
let isFrameAsked = false;
let failures = 0;
let retry: { readonly timer: ReturnType<typeof setTimeout>; readonly now: () => void } | undefined;

/** Connects, and reconnects whenever the connection ends; never returns. */
export async function stayConnected(): Promise<void> {
  for (;;) {
    const ended = new AbortController();
    try {
      await listen(ended.signal);
      lose('The server closed the connection');
    } catch (error) {
      if (error instanceof Failure && error.status === 401) {
        connection.value = { state: 'locked' };
        return;
      }
      lose(error instanceof Failure ? error.message : 'Connection lost');
    } finally {
      ended.abort();
    }
    await pause();
  }
}

/** Ends the pause before the next attempt. */
export function retryNow(): void {
  retry?.now();
}

async function listen(signal: AbortSignal): Promise<void> {
  const silence = new AbortController();
  const response = await request('events', { headers: { accept: 'text/event-stream' }, signal: AbortSignal.any([signal, silence.signal]) });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  const stream = new EventStreamReader();
  const watch = setInterval(() => void checkSilence(silence), SILENCE_MS / 4);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      failures = 0;
      lastHeardMs.value = Date.now();
      for (const event of stream.push(value)) take(event);
    }
  } finally {
    clearInterval(watch);
  }
}

async function checkSilence(silence: AbortController): Promise<void> {
  if (Date.now() - lastHeardMs.value < SILENCE_MS) return;
  try {
    await request('alerts', { signal: AbortSignal.timeout(SILENCE_MS / 8) });
    lastHeardMs.value = Date.now();
  } catch {
    silence.abort();
  }
}

function take({ type, data }: StreamEvent): void {
  const value = JSON.parse(data) as unknown;
  if (type === 'hello') {
    buffer.take();
    takeHello((value as { readonly stores: readonly StoreView[] }).stores);
    return;
  }
  buffer.add(value as ServeEvent);
  if (isFrameAsked) return;
  isFrameAsked = true;
  if (document.hidden) setTimeout(flush, HIDDEN_MS);
  else requestAnimationFrame(flush);
}

function flush(): void {
  isFrameAsked = false;
  takeChanges(buffer.take());
}

function lose(message: string): void {
  failures += 1;
  const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  const before = connection.value;
  const sinceMs = before.state === 'lost' ? before.sinceMs : lastHeardMs.value;
  connection.value = { state: 'lost', sinceMs, retryAtMs: Date.now() + pauseMs, message };
}

function pause(): Promise<void> {
  const { value } = connection;
  const ms = value.state === 'lost' ? value.retryAtMs - Date.now() : FIRST_PAUSE_MS;
  return new Promise((resolve) => {
    const now = (): void => {
      clearTimeout(retry?.timer);
      retry = undefined;
      resolve();
    };
    retry = { timer: setTimeout(now, ms), now };
  });
}
