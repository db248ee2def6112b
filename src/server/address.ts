/** Where a server listens: `127.0.0.1:9464`, `[::1]:9464`, `:9464`, and what is a loopback address. */
import { PlimsollError } from '#base';

export interface TcpAddress {
  readonly host: string;
  /** 0: the kernel chooses one. */
  readonly port: number;
}

export const DEFAULT_PORT = 9464;
export const DEFAULT_LISTEN: TcpAddress = { host: '127.0.0.1', port: DEFAULT_PORT };

/** `text` of the option or key `name` as an address. Throws: usage, LISTEN_SYNTAX. */
export function parseListen(text: string, name: string): TcpAddress {
  const match = /^(?:(\[[0-9a-f:.]+\]|[\w.-]+)?:)?(\d{1,5})$/i.exec(text.trim());
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new PlimsollError('usage', 'LISTEN_SYNTAX', {
      doing: `parse ${name}`,
      found: text,
      expected: 'ADDRESS:PORT such as 127.0.0.1:9464 or [::1]:9464',
    });
  }
  return { host: (match[1] ?? DEFAULT_LISTEN.host).replace(/^\[|\]$/g, ''), port };
}

/** Whether only programs of this host can connect to `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** `host` and `port` as in a URL. */
export function hostAndPort({ host, port }: TcpAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
