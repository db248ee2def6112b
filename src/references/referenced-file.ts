/** Files that an image refers to: opened by the host under the reference policy, wherever the image itself is parsed. */
import type { FileFacts, ReadableDevice } from '#block';
import { type HostCache, type OpenFile, openImageFile, realpaths } from '#host';
import { permitWithin } from './policy.ts';

export interface ReferencedFile {
  /** As in FileFacts. */
  readonly identity: string;
  readonly realPath: string;
  readonly device: ReadableDevice;
  facts(): Promise<FileFacts>;
  /** May be called twice. */
  close(): Promise<void>;
}

/**
 * Opens the file at a path that was made of a name found in an image.
 *
 * Throws: refused, by the policy or for anything but a regular file; not-found; io.
 */
export type OpenReference = (path: Buffer) => Promise<ReferencedFile>;

export interface ReferencePolicy {
  /** Further directories in which references may be followed. */
  readonly allowDirectories: readonly string[];
  readonly cache: HostCache;
}

/** For the references of `image`: below its own directory and the allowed ones, judged by where the file really lies. */
export function referencesOf(image: OpenFile, { allowDirectories, cache }: ReferencePolicy): (path: Buffer) => Promise<OpenFile> {
  let permit: Promise<ReturnType<typeof permitWithin>> | undefined;
  return async (path) => {
    permit ??= realpaths(allowDirectories).then((allowed) => permitWithin(image, allowed));
    return openImageFile(path, { cache, permit: await permit });
  };
}
