/** The words that the dashboard explains, and where on the page their definitions are. */
import { WORDS } from '#wire';

export { WORDS };

export type Word = keyof typeof WORDS;

/** The id of the element that holds the definition of `word`. */
export function definitionId(word: Word): string {
  return `word-${word.replaceAll(' ', '-')}`;
}
