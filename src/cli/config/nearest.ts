/** Suggests the known word nearest to a misspelt one. */

/** The word of `known` with the fewest changes from `word`, if it is near enough. */
export function nearestTo(word: string, known: readonly string[]): string | undefined {
  const near = known.map((one) => ({ one, distance: distanceOf(word.toLowerCase(), one) })).sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= Math.max(2, Math.floor(word.length / 3)) ? near.one : undefined;
}

/** Letters inserted, removed, replaced (Levenshtein). Long words are cut: no key is that long. */
function distanceOf(from: string, to: string): number {
  const [a, b] = [from.slice(0, 64), to.slice(0, 64)];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
