/** Escapes untrusted names for display: invisible and direction characters become visible. */
import { escapeForTerminal } from '#base';

export interface NamePiece {
  readonly text: string;
  /** Replaces a character that cannot be displayed. */
  readonly isEscape: boolean;
}

/** `name` in segments: plain text as it is, everything else as an escape such as `\n` or `\u202e`. */
export function namePieces(name: string): NamePiece[] {
  const pieces: { text: string; isEscape: boolean }[] = [];
  for (const character of name) {
    const text = escapeForTerminal(character);
    const isEscape = text !== character;
    const last = pieces.at(-1);
    if (last?.isEscape === isEscape) last.text += text;
    else pieces.push({ text, isEscape });
  }
  return pieces;
}

/** The part after the last slash, and the part up to and including it. */
export function splitPath(path: string): { readonly folder: string; readonly name: string } {
  const slash = path.lastIndexOf('/');
  return { folder: path.slice(0, slash + 1), name: path.slice(slash + 1) };
}
