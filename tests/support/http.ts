/** Plain requests, with any header, for tests of a server. */
import { request, type IncomingHttpHeaders } from 'node:http';
import { tokenOf } from './access.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Parsed; undefined where it is no JSON. */
  readonly json: unknown;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Asks `base`, an http:// address, perhaps with `#token=...` at its end, or the path of a socket. */
export function ask(base: string, path: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  const place = base.startsWith('/')
    ? { socketPath: base }
    : { hostname: new URL(base).hostname.replace(/^\[|\]$/g, ''), port: new URL(base).port };
  const token = base.startsWith('/') || 'authorization' in headers ? undefined : (/#token=(.*)$/.exec(base)?.[1] ?? tokenOf(base));
  const access = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const type = text === undefined ? {} : { 'content-type': 'application/json' };
    const asked = request({ ...place, path, method, headers: { ...type, ...access, ...headers }, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const answer = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: answer, json: parsed(answer) });
      });
    });
    asked.on('error', reject);
    asked.end(text);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
