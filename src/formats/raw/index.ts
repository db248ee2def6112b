/** Raw images: the file's bytes are the guest's. */
export { openRaw } from './image.ts';
