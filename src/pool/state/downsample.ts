/** Fewer samples that still show what matters: of each stretch the least and the most. */

/**
 * At most `most` of `samples`, which are in order of time: the first and the last, and of as many equal stretches as there is
 * room for the one with the least and the one with the most. All of them where they are few enough.
 */
export function downsample<T extends { readonly atMs: number }>(
  samples: readonly T[],
  most: number,
  valueOf: (sample: T) => number,
): readonly T[] {
  if (samples.length <= most) return samples;
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || most < 1) return [];
  if (most < 4) return [...new Set([first, last])].slice(-most);
  const stretches = Math.floor((most - 2) / 2);
  const span = Math.max(last.atMs - first.atMs, 1);
  const extremes = new Map<number, { least: T; most: T }>();
  for (const sample of samples) {
    const stretch = Math.min(Math.floor(((sample.atMs - first.atMs) / span) * stretches), stretches - 1);
    const found = extremes.get(stretch);
    if (found === undefined) extremes.set(stretch, { least: sample, most: sample });
    else if (valueOf(sample) < valueOf(found.least)) found.least = sample;
    else if (valueOf(sample) > valueOf(found.most)) found.most = sample;
  }
  const kept = new Set([first, last, ...[...extremes.values()].flatMap((one) => [one.least, one.most])]);
  return [...kept].sort((a, b) => a.atMs - b.atMs);
}
