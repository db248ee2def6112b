/** The content of an image by its path, read inline in this process. */
import { newHostCache, openImageFile } from '#host';
import type { ImageFormat } from '#wire';
import { type GuestContent, openContent } from './content.ts';
import { referencesOf } from './referenced-file.ts';

export interface ContentFileOptions {
  readonly format?: ImageFormat | undefined;
  /** Further directories in which references may be followed. */
  readonly allowDirectories?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The extents of the guest's disk of the image at `path`; the bytes themselves are not read.
 *
 * Throws: as `openContent`.
 */
export async function openContentFile(path: string, { format, allowDirectories = [], signal }: ContentFileOptions): Promise<GuestContent> {
  const cache = newHostCache();
  const file = await openImageFile(path, { cache });
  const open = referencesOf(file, { allowDirectories, cache });
  const close = (): Promise<void> => file.close();
  try {
    const options = { path: Buffer.from(path), shownPath: file.path, format, open, purpose: 'extents', signal } as const;
    const content = await openContent(file, options);
    const dispose = async (): Promise<void> => {
      await content[Symbol.asyncDispose]();
      await close();
    };
    return { ...content, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await close();
    throw error;
  }
}
