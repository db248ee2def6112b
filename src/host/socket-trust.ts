/**
 * Decides whether the program behind a Unix socket is trusted: it must run as root, as the caller, or as the owner of a
 * runtime directory created by root.
 *
 * With koffi the kernel names the user who listens (SO_PEERCRED). Without it the path decides: no users but these
 * may be able to create a socket there.
 */
import { lstatSync, realpathSync, type Stats } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { type Ffi, loadFfi } from './ffi.ts';

/** systemd makes RuntimeDirectory= here, as root, and gives it to the user of the service. */
const RUNTIME_ROOT = '/run';
/** Each user has a directory below it, /run/user/UID, which proves nothing about its owner. */
const USERS_ROOT = '/run/user';

export interface SocketTrust {
  readonly isTrusted: boolean;
  /** The reason, for an error message: `user 1000 listens`. */
  readonly found: string;
}

/**
 * Judges the listener behind `connected`, a connection to `path`. Never throws: what cannot be examined is not trusted.
 * `ffi`: undefined where koffi is missing.
 */
export async function trustOfSocket(connected: Socket, path: string): Promise<SocketTrust> {
  const fd = descriptorOf(connected);
  const ffi = await loadFfi();
  return ffi === undefined || fd === undefined ? trustByPath(path) : trustByPeer(ffi, fd, path);
}

/** Returns the user id at the other end of a connected Unix socket; undefined without koffi. */
export async function loadPeerUsers(): Promise<((socket: Socket) => number | undefined) | undefined> {
  const ffi = await loadFfi();
  if (ffi === undefined) return undefined;
  return (socket) => {
    const fd = descriptorOf(socket);
    const user = fd === undefined ? -1 : ffi.peerUser(fd);
    return user < 0 ? undefined : user;
  };
}

function trustByPeer(ffi: Ffi, fd: number, path: string): SocketTrust {
  const user = ffi.peerUser(fd);
  if (user < 0) return { isTrusted: false, found: `a listener whose user is unknown (errno ${-user})` };
  return { isTrusted: isSelfOrRoot(user) || user === serviceUser(path), found: `user ${user} listens` };
}

/** Node does not expose the descriptor of a socket. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}

/** Judges `path` alone: every directory on the way and the socket belong to trusted users, and no other user may write. */
export function trustByPath(path: string): SocketTrust {
  try {
    const real = realpathSync(path);
    const service = serviceUser(path);
    const isBelieved = (user: number): boolean => isSelfOrRoot(user) || user === service;
    const socket = lstatSync(real);
    if (!isBelieved(socket.uid)) return { isTrusted: false, found: `a socket of user ${socket.uid}` };
    for (let [child, place]: [Stats, string] = [socket, dirname(real)]; ; place = dirname(place)) {
      const directory = lstatSync(place);
      if (!isBelieved(directory.uid)) return { isTrusted: false, found: `${place}, a directory of user ${directory.uid}` };
      if (isWritableByOthers(directory) && !(isSticky(directory) && isBelieved(child.uid))) {
        return { isTrusted: false, found: `${place}, a directory that others may write` };
      }
      if (dirname(place) === place) return { isTrusted: true, found: `a socket of user ${socket.uid}` };
      child = directory;
    }
  } catch {
    return { isTrusted: false, found: 'a path that cannot be examined' };
  }
}

/** The owner of the directory that contains `path`, if root created it directly below /run; otherwise undefined. */
function serviceUser(path: string): number | undefined {
  try {
    const directory = dirname(realpathSync(path));
    if (directory === USERS_ROOT || dirname(directory) !== realpathSync(RUNTIME_ROOT)) return undefined;
    const parent = lstatSync(RUNTIME_ROOT);
    const own = lstatSync(directory);
    const isRoots = parent.uid === 0 && !isWritableByOthers(parent);
    return isRoots && own.isDirectory() && !isWritableByOthers(own) ? own.uid : undefined;
  } catch {
    return undefined;
  }
}

function isSelfOrRoot(user: number): boolean {
  return user === 0 || user === process.geteuid?.();
}

/** By the permission bits of group and others. */
function isWritableByOthers({ mode }: Stats): boolean {
  return /[2367].$|[2367]$/.test((mode % 0o1000).toString(8).padStart(3, '0'));
}

/** In a sticky directory only the owner of an entry, or of the directory, may rename or remove it. */
function isSticky({ mode }: Stats): boolean {
  return Math.floor((mode % 0o10000) / 0o1000) % 2 === 1;
}
