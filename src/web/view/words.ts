/** The words that the dashboard explains, and where on the page their definitions are. */
import { WORDS } from '#wire';

export const WORDS = {
  ...DEFINITIONS,
  size: 'bytes of the whole filesystem',
  available: 'bytes that can still be written, as df says',
  others: 'what the store holds beside images: other files, and what the filesystem needs for itself',
  kept: 'bytes that the filesystem keeps back for root and for itself: neither used nor available',
  images: 'storage that all images of the store consume now, blocks that they share counted once',
  reserved: 'held for images that are not there yet',
  floor: 'free bytes that must always remain',
  'load line': 'size - floor: what lies above it must stay free',
  waterline: 'how deep the store lies when all has come that its policy counts; above the load line it is overloaded',
  remaining: 'what remains under the policy in force, by the sum that decides; below 0 it does not fit',
  'growth rate': 'bytes per second, not slower and not faster than these by what was seen',
  'next snapshot': 'what one more internal snapshot could add to the commitment',
  promise: 'policy: every future guest write must fit',
  growth: 'policy: what grows until somebody could have relieved the store must fit',
  entitled: 'policy: allocation and a share of the residual must fit',
  'max length': 'the bound on the length: the highest byte offset that the file can reach',
} as const;

export type Word = keyof typeof WORDS;

/** The id of the element that holds the definition of `word`. */
export function definitionId(word: Word): string {
  return `word-${word.replaceAll(' ', '-')}`;
}
